import { Hono } from 'hono'
import type { Sql } from '../../src/db/client.ts'
import { mcpUserContext } from '../../src/mcp-user-context.ts'
import type { McpVariables } from '../../src/variables.ts'
import { optionsFor } from '../support/mcp.ts'
import { pause } from './statistics.ts'

/** What a call is expected to use at most; each uses a random part of it. */
export const ESTIMATE = { tokens: 1000, cost: '0.01' }
const COST_UNITS = Number(ESTIMATE.cost) * 1e10

const random = (most: number): number => Math.floor(Math.random() * (most + 1))

/** The kit in front of a handler that takes some milliseconds, reports what it used, and tells which calls it ran. */
export function spender(sql: Sql) {
  const ran: unknown[] = []
  const app = new Hono<{ Variables: McpVariables }>()
  app.all('/mcp', mcpUserContext({ ...optionsFor(sql), quota: { estimate: ESTIMATE } }), async (c) => {
    const { id } = c.var.parsedBody as { id: unknown }
    ran.push(id)
    await pause(random(20))
    const tokens = random(ESTIMATE.tokens)
    const promptTokens = random(tokens)
    const cost = (random(COST_UNITS) / 1e10).toFixed(10)
    c.var.usage?.add({ model: 'bench', promptTokens, completionTokens: tokens - promptTokens, cost })
    return c.json({ jsonrpc: '2.0', id, result: { content: [] } })
  })
  return app.get('/ran', (c) => c.json(ran))
}

/** A server without the kit, to be governed: its tools take some milliseconds. */
export const tools = () =>
  new Hono().post('/mcp', async (c) => {
    const { id } = await c.req.json<{ id: unknown }>()
    await pause(random(20))
    return c.json({ jsonrpc: '2.0', id, result: { resultType: 'complete', content: [] } })
  })
