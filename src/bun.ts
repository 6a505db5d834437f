import { type Listen, runServer } from './server.ts'

// As much of Bun's API as is used here (bun.sh/docs/api/http), so that its types need not be installed.
declare const Bun: {
  serve(options: {
    fetch: (
      request: Request,
      server: { requestIP(request: Request): { address: string } | null },
    ) => Response | Promise<Response>
    hostname: string
    port: number
    /** Seconds without a byte after which a connection is closed; 0 never: a tool may think for long. */
    idleTimeout: number
  }): { port: number; stop(closeActiveConnections?: boolean): Promise<void> }
}

const listen: Listen = (fetch, { host, port }) => {
  const server = Bun.serve({
    fetch: (request, serving) => fetch(request, serving.requestIP(request)?.address),
    hostname: host,
    port,
    idleTimeout: 0,
  })
  return Promise.resolve({
    port: server.port,
    async close(graceMs) {
      const cut = setTimeout(() => void server.stop(true), graceMs)
      await server.stop()
      clearTimeout(cut)
    },
  })
}

await runServer('bun', listen)
