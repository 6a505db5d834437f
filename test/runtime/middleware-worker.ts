// The smallest Worker with the kit in front of a handler: what the middleware alone weighs.
import { connect as connectSocket } from 'node:net'
import { Hono } from 'hono'
import { connect, type Sql } from '../../src/db/client.ts'
import { mcpMetadata, mcpUserContext } from '../../src/index.ts'

const resource = 'https://mcp.example.com/mcp'
const sql = (): Sql =>
  connect('postgres://app@db.hyperdrive.local/db', {
    socket: ({ host, port }) => connectSocket(port[0] ?? 5432, host[0]),
  })
const options = {
  sql,
  tokens: { jwksUrl: 'https://id.example.com/jwks', issuer: 'https://id.example.com', audience: resource },
  resource,
}

export default new Hono()
  .route('/', mcpMetadata(options))
  .all('/mcp', mcpUserContext(options), (c) => c.json({ jsonrpc: '2.0', id: 1, result: {} }))
