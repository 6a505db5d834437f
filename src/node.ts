import type { Server } from 'node:http'
import { type Http2Bindings, type HttpBindings, serve } from '@hono/node-server'
import { type Listen, runServer } from './server.ts'

/** More than the app lets pass, so that it is the app that says what is too large. */
const MAX_HEADER_BYTES = 64 * 1024

const IDLE_CHECK_MS = 50

const listen: Listen = (fetch, { host, port }) =>
  new Promise((resolve, reject) => {
    const options = {
      fetch: (request: Request, { incoming }: HttpBindings | Http2Bindings) =>
        fetch(request, incoming.socket.remoteAddress),
      port,
      hostname: host,
      serverOptions: { maxHeaderSize: MAX_HEADER_BYTES },
    }
    const server = serve(options, (address) => {
      resolve({ port: address.port, close: (graceMs) => closeServer(server, graceMs) })
    }) as Server
    server.once('error', reject)
  })

async function closeServer(server: Server, graceMs: number): Promise<void> {
  const cut = setTimeout(() => server.closeAllConnections(), graceMs)
  // Browsers keep a connection open whose answer has ended: nobody waits for them.
  const idle = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS)
  await new Promise<void>((resolve) => {
    server.close(() => resolve())
  })
  clearInterval(idle)
  clearTimeout(cut)
}

await runServer('node', listen)
