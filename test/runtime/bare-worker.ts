// The Worker that middleware-worker.ts is without the kit.
import { Hono } from 'hono'

export default new Hono().all('/mcp', (c) => c.json({ jsonrpc: '2.0', id: 1, result: {} }))
