// A server to be measured, in a process of its own: `server.ts KIND DATABASE_URL`. It prints its port when it is ready.
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { mcpApi } from '../../src/api/mcp-api.ts'
import { connect, type Sql } from '../../src/db/client.ts'
import { mcpUserContext } from '../../src/mcp-user-context.ts'
import { serveMcp } from '../../src/mcp/serve-mcp.ts'
import type { McpVariables } from '../../src/variables.ts'
import { counting } from '../support/ledger.ts'
import { optionsFor } from '../support/mcp.ts'
import { echoHandler } from './handler.ts'
import { QUOTA, RATE } from './limits-of-comparison.ts'
import { oneByOne } from './one-by-one.ts'
import { spender, tools } from './spender.ts'
import { usualChain } from './usual-chain.ts'

// As src/bun.ts serves.
declare const Bun: {
  serve(options: { fetch: typeof app.fetch; hostname: string; port: number; idleTimeout: number }): {
    port: number
  }
}

/** Nothing in front of the handler, which is given its parsed body. */
function bare() {
  const handler = echoHandler()
  return new Hono().post('/mcp', async (c) => handler.fetch(c.req.raw, { parsedBody: await c.req.json() }))
}

/** The kit as the README mounts it, with everything on. */
const governed = (sql: Sql) =>
  new Hono<{ Variables: McpVariables }>().all(
    '/mcp',
    mcpUserContext({ ...optionsFor(sql), rateLimit: RATE, quota: QUOTA }),
    serveMcp(echoHandler()),
  )

/** REST, and no MCP. */
const reports = (sql: Sql) => new Hono().route('/api/mcp', mcpApi(optionsFor(sql)))

const apps = { bare, governed, 'one-by-one': oneByOne, 'usual-chain': usualChain, spender, tools, reports }

const [kind = '', databaseUrl = ''] = process.argv.slice(2)
if (!Object.hasOwn(apps, kind)) throw new Error(`There is no server "${kind}"`)
const { sql, statements } = counting(connect(databaseUrl))
const app = new Hono().route('/', apps[kind as keyof typeof apps](sql) as Hono)
app.get('/stats', (c) => {
  const { user, system } = process.cpuUsage()
  const peakBytes = process.resourceUsage().maxRSS * 1024
  return c.json({ cpuMicros: user + system, statements: statements(), peakBytes })
})
const address = { port: 0, hostname: '127.0.0.1' }
if ('bun' in process.versions) console.log(Bun.serve({ ...address, fetch: app.fetch, idleTimeout: 0 }).port)
else serve({ ...address, fetch: app.fetch }, ({ port }) => console.log(port))
// So that a profile is written.
process.once('SIGTERM', () => process.exit())
