import type { Server } from 'node:http'
import { serve } from '@hono/node-server'
import { type Listen, runServer } from './server.ts'

const listen: Listen = (fetch, { host, port }) =>
  new Promise((resolve, reject) => {
    const server = serve({ fetch, port, hostname: host }, (address) => {
      resolve({ port: address.port, close: (graceMs) => closeServer(server, graceMs) })
    }) as Server
    server.once('error', reject)
  })

async function closeServer(server: Server, graceMs: number): Promise<void> {
  const cut = setTimeout(() => server.closeAllConnections(), graceMs)
  await new Promise<void>((resolve) => {
    server.close(() => resolve())
    server.closeIdleConnections()
  })
  clearTimeout(cut)
}

await runServer('node', listen)
