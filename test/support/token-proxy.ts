import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface TokenProxy extends AsyncDisposable {
  origin: string
}

/**
 * A listener of 127.0.0.1 for clients that can carry no token: it adds one and leaves every other header as it came,
 * Host and Origin too.
 * @param origin where the requests go.
 */
export async function serveWithToken(origin: string, token: string): Promise<TokenProxy> {
  const { hostname, port } = new URL(origin)
  const server = createServer((incoming, outgoing) => {
    const { method, url: path, headers } = incoming
    const target = { hostname, port, method, path, headers: { ...headers, authorization: `Bearer ${token}` } }
    const forwarded = request(target, (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.rawHeaders)
      // Server-sent events begin with their headers, long before there is an event.
      outgoing.flushHeaders()
      response.on('error', () => outgoing.destroy())
      response.pipe(outgoing)
    })
    forwarded.on('error', () => outgoing.destroy())
    outgoing.on('close', () => forwarded.destroy())
    incoming.pipe(forwarded)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
