// The Worker that middleware-worker.ts is without the kit, with those parts of Hono that the kit uses.
import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { matchedRoutes } from 'hono/route'

export default new Hono()
  .use(cors({ origin: 'https://app.example.com' }))
  .all('/mcp', (c) => c.json({ jsonrpc: '2.0', id: 1, result: matchedRoutes(c).length }))
