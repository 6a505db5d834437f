import type { Server } from 'node:http'
import { serve } from '@hono/node-server'

export interface Served extends AsyncDisposable {
  origin: string
}

/** Serves on a free port of 127.0.0.1. `makeFetch` is told the origin, for apps that must know their own. */
export async function serveHere(
  makeFetch: (origin: string) => (request: Request) => Response | Promise<Response>,
): Promise<Served> {
  let fetch: ((request: Request) => Response | Promise<Response>) | undefined
  const { server, port } = await new Promise<{ server: Server; port: number }>((resolve) => {
    const server = serve({ fetch: (request) => fetch!(request), port: 0, hostname: '127.0.0.1' }, (address) =>
      resolve({ server, port: address.port }),
    ) as Server
  })
  const origin = `http://127.0.0.1:${port}`
  fetch = makeFetch(origin)
  return {
    origin,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
