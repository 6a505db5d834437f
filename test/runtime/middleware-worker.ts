// The smallest Worker with the kit in front of a handler, written as its users write one: what the middleware weighs.
import { Hono } from 'hono'
import postgres from 'postgres'
import { mcpMetadata, mcpUserContext } from '../../src/index.ts'

const resource = 'https://mcp.example.com/mcp'
const options = {
  sql: () => postgres('postgres://app@db.hyperdrive.local/db', { max: 5, fetch_types: false }),
  tokens: { jwksUrl: 'https://id.example.com/jwks', issuer: 'https://id.example.com', audience: resource },
  resource,
}

export default new Hono()
  .route('/', mcpMetadata(options))
  .all('/mcp', mcpUserContext(options), (c) => c.json({ jsonrpc: '2.0', id: 1, result: {} }))
