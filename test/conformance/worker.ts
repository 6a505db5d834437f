// The conformance server on Workers, behind the kit as src/worker.ts mounts it: one client for each request.
import { connect as connectSocket } from 'node:net'
import { connect, type Sql } from '../../src/db/client.ts'
import { serveMcp } from '../../src/mcp/serve-mcp.ts'
import type { WorkerEnv } from '../../src/worker.ts'
import { appWith } from '../support/mcp.ts'
import { statelessHandler } from './server.ts'

const handler = serveMcp(statelessHandler())

const clients = new WeakMap<object, Sql>()

const app = appWith((c) => {
  const known = clients.get(c.executionCtx)
  if (known !== undefined) return known
  const url = (c.env as WorkerEnv).HYPERDRIVE?.connectionString ?? ''
  const client = connect(url, { max: 3, socket: ({ host, port }) => connectSocket(port[0] ?? 5432, host[0]) })
  clients.set(c.executionCtx, client)
  return client
}, handler)

export default app
