import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { createMcpHandler, McpServer, type ServerContext } from '@modelcontextprotocol/server'
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { mcpApi } from '../../src/api/mcp-api.ts'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { mcpUserContext } from '../../src/mcp-user-context.ts'
import { serveMcp } from '../../src/mcp/serve-mcp.ts'
import type { CostReport } from '../../src/reports/costs.ts'
import type { AuthInfo } from '../../src/variables.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { ISSUER, SECRET, tokenFor } from '../support/mcp.ts'
import { serveHere, type Served } from '../support/serve.ts'

const ANSWER = 'A note of forty characters, exactly so!!'
const usageOf = (ctx: ServerContext) => (ctx.http!.authInfo!.extra as AuthInfo['extra']).usage!
const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })

/** One tool that asks two models, one that says nothing of what it used, and one that is stopped while it works. */
const tools = createMcpHandler(() => {
  const server = new McpServer({ name: 'tools', version: '1.0.0' })
  server.registerTool('research', {}, (ctx) => {
    usageOf(ctx).add({ model: 'gpt-4o', promptTokens: 1000, completionTokens: 300 })
    usageOf(ctx).add({ model: 'claude-3-5-sonnet-20241022', promptTokens: 800, completionTokens: 200 })
    usageOf(ctx).add({ model: 'gpt-4o', promptTokens: 200, completionTokens: 50 })
    return text('found')
  })
  server.registerTool('note', { inputSchema: z.object({ about: z.string() }) }, () => text(ANSWER))
  server.registerTool('draft', {}, async (ctx) => {
    usageOf(ctx).add({ model: 'gpt-4o-mini', promptTokens: 600, completionTokens: 40 })
    await ctx.mcpReq.notify({
      method: 'notifications/progress',
      params: { progressToken: ctx.mcpReq._meta!.progressToken!, progress: 1 },
    })
    await new Promise((resolve) => ctx.mcpReq.signal.addEventListener('abort', resolve))
    return text('never read')
  })
  return server
})

let database: TestDatabase
let served: Served
beforeAll(async () => {
  database = await createTestDatabase()
  served = await serveHere((origin) => {
    const resource = `${origin}/mcp`
    const tokens = { secret: SECRET, issuer: ISSUER, audience: resource }
    const options = { sql: database.sql, tokens, resource }
    return new Hono().route('/api/mcp', mcpApi(options)).all('/mcp', mcpUserContext(options), serveMcp(tools))
      .fetch
  })
})
afterAll(async () => {
  await served[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

const headersOf = async (name: string, claims = {}) => ({
  authorization: `Bearer ${await tokenFor(name, { aud: `${served.origin}/mcp`, ...claims })}`,
  'content-type': 'application/json',
})

async function rest(path: string, init: { method?: string; body?: string } = {}): Promise<unknown> {
  const headers = await headersOf('Ada', { app_metadata: { role: 'admin' } })
  const response = await fetch(`${served.origin}/api/mcp${path}`, { ...init, headers })
  expect(response.ok, path).toBe(true)
  return await response.json()
}

const costsBy = async (group: string) => {
  const { rows, total } = (await rest(`/costs?group_by=${group}`)) as CostReport
  return { rows: Object.fromEntries(rows.map(({ key, cost }) => [key ?? 'none', cost])), total: total.cost }
}

// Prices of 1,000 tokens, in and out: gpt-4o 0.0025 and 0.01, claude-3-5-sonnet 0.003 and 0.015, gpt-4o-mini 0.00015
// and 0.0006.
const RESEARCH_GPT = '0.0065' // 1.2 x 0.0025 + 0.35 x 0.01
const RESEARCH_CLAUDE = '0.0054' // 0.8 x 0.003 + 0.2 x 0.015
const RESEARCH = '0.0119'
const NOTE = '0.002' // its own price: of an estimate no model is known
const DRAFT = '0.000114' // 0.6 x 0.00015 + 0.04 x 0.0006, until it was stopped
const ALL = '0.014014'

describe.each(['auto', 'legacy'] as const)('what the official client (%s) calls', (mode) => {
  it('costs what a hand calculation says, by REST and in SQL', async () => {
    await database.owner`truncate archon_mcp_requests, archon_mcp_tool_prices cascade`
    const price = { tool_name: 'note', price: NOTE, effective_at: '2026-01-01T00:00:00Z' }
    await rest('/pricing', { method: 'PUT', body: JSON.stringify(price) })
    const client = new Client({ name: 'Claude Code', version: '1.0.0' }, { versionNegotiation: { mode } })
    const requestInit = { headers: await headersOf('Alice') }
    await client.connect(new StreamableHTTPClientTransport(new URL('/mcp', served.origin), { requestInit }))

    expect(await client.callTool({ name: 'research' })).toMatchObject(text('found'))
    await client.callTool({ name: 'note', arguments: { about: 'tea' } })
    const stop = new AbortController()
    const stopped = client.callTool(
      { name: 'draft' },
      { signal: stop.signal, onprogress: () => stop.abort('enough') },
    )
    await expect(stopped).rejects.toThrow('enough')
    await client.close()

    const calls = async () => {
      await ledgerOf(database.sql).drained()
      return [
        ...(await database.sql`
          select tool_name as tool, status, trim_scale(cost)::text as cost, prompt_tokens, completion_tokens, estimated
          from archon_mcp_requests where method = 'tools/call' and status <> 'open' order by timestamp`),
      ]
    }
    await expect.poll(calls).toHaveLength(3)
    expect(await calls()).toEqual([
      {
        tool: 'research',
        status: 'success',
        cost: RESEARCH,
        prompt_tokens: 2000,
        completion_tokens: 550,
        estimated: false,
      },
      // {"about":"tea"} has 15 characters, a quarter of which are 4 tokens; the answer's 40 are 10.
      {
        tool: 'note',
        status: 'success',
        cost: NOTE,
        prompt_tokens: 4,
        completion_tokens: 10,
        estimated: true,
      },
      {
        tool: 'draft',
        status: 'error',
        cost: DRAFT,
        prompt_tokens: 600,
        completion_tokens: 40,
        estimated: false,
      },
    ])

    const byTool = await costsBy('tool')
    expect(byTool.rows).toMatchObject({ research: RESEARCH, note: NOTE, draft: DRAFT })
    expect(byTool.total).toBe(ALL)
    expect(await costsBy('model')).toEqual({
      rows: {
        'gpt-4o': RESEARCH_GPT,
        'claude-3-5-sonnet-20241022': RESEARCH_CLAUDE,
        none: NOTE,
        'gpt-4o-mini': DRAFT,
      },
      total: ALL,
    })
  })
})
