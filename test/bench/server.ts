// A server to be measured, in a process of its own: `bare` has nothing in front of the handler, `governed` the kit.
import { serve } from '@hono/node-server'
import { createMcpHandler } from '@modelcontextprotocol/server'
import { Hono } from 'hono'
import { connect } from '../../src/db/client.ts'
import { mcpUserContext } from '../../src/mcp-user-context.ts'
import { serveMcp } from '../../src/mcp/serve-mcp.ts'
import { optionsFor, toolServer } from '../support/mcp.ts'

const [kind, databaseUrl = ''] = process.argv.slice(2)
const handler = createMcpHandler(() => toolServer())
const app = new Hono()
if (kind === 'governed') {
  const sql = connect(databaseUrl)
  app.all(
    '/mcp',
    mcpUserContext({ ...optionsFor(sql), rateLimit: { limit: 1_000_000, windowSeconds: 1 } }),
    serveMcp(handler),
  )
} else {
  app.post('/mcp', async (c) => handler.fetch(c.req.raw, { parsedBody: await c.req.json() }))
}
app.get('/cpu', (c) => c.json(process.cpuUsage()))
serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => console.log(port))
