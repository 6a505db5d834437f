import { type Caller, createClient } from './client.ts'
import { pause } from './statistics.ts'

/** What became of a call; each has a name of its own, by which its row and its run are found. */
export interface Fate {
  name: string
  /** 0: no answer, since the server was gone. */
  status: number
  retryAfter: string | undefined
  ms: number
  /** Milliseconds since the load began at which the answer came. */
  at: number
}

export interface SteadyLoad {
  /** Lets the calls on their way end, and tells of all. */
  stop(): Promise<Fate[]>
}

/** Calls without a pause, on so many connections, until it is stopped. */
export function startLoad(port: number, caller: Caller, prefix: string, connections = 30): SteadyLoad {
  const client = createClient(connections)
  const fates: Fate[] = []
  const begin = performance.now()
  const stopped = new AbortController()
  let next = 0
  async function work(): Promise<void> {
    while (!stopped.signal.aborted) {
      const name = `${prefix}-${(next += 1)}`
      const sent = performance.now()
      const fate = (status: number, retryAfter?: string): void => {
        const now = performance.now()
        fates.push({ name, status, retryAfter, ms: now - sent, at: now - begin })
      }
      try {
        const { status, headers } = await client.post(port, caller.call(name, {}, name))
        fate(status, headers['retry-after'])
      } catch {
        fate(0)
        await pause(100)
      }
    }
  }
  const workers = Array.from({ length: connections }, work)
  return {
    async stop() {
      stopped.abort()
      await Promise.all(workers)
      client[Symbol.dispose]()
      return fates
    },
  }
}
