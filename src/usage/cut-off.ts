import type { Context } from 'hono'
import type { Sql } from '../db/client.ts'
import { rpcErrorOf } from '../errors.ts'
import { openStreamsOf } from '../ledger/open-streams.ts'
import { jsonRpcError, type RequestId } from '../mcp/json-rpc.ts'
import type { SessionVariables, UserVariables } from '../variables.ts'

/** Has something called when the caller's access ends; returns what ends the watch. */
export type WatchAccess = (cut: () => void) => () => void

/** Watches whether the caller of a request may still be answered: their row, their access token and their session. */
export function accessOf(c: Context, sql: Sql): WatchAccess {
  const user = c.get('user') as UserVariables['user']
  const caller = c.get('caller') as UserVariables['caller'] | undefined
  const session = c.get('session') as SessionVariables['session'] | undefined
  const owner = {
    userId: user?.id ?? null,
    issuedAt: caller?.identity?.issuedAt ?? null,
    accessToken: caller?.accessToken ?? null,
    sessionId: session?.id ?? null,
  }
  return (cut) => openStreamsOf(sql).watch(owner, cut)
}

const DETAIL = 'Access was withdrawn while the answer was on its way.'

/** What ends a stream of events when it is cut: an error for each request that waits, where a whole event stands before. */
export function createFarewell() {
  // The end of what has passed: one event ends with an empty line, in any of the line ends of the specification.
  let tail = '\n\n'
  const decoder = new TextDecoder('latin1')
  return {
    push(chunk: Uint8Array): void {
      tail = (tail + decoder.decode(chunk.subarray(-4))).slice(-4)
    },
    /** @param waiting the ids of requests that are not answered yet. */
    say(waiting: readonly (RequestId | null)[]): Uint8Array {
      if (!/(?:\n\n|\r\r|\r\n\r\n)$/.test(tail)) return new Uint8Array(0)
      const { code, data } = rpcErrorOf({ code: 'invalid_token' })
      const events = waiting.map(
        (id) => `event: message\ndata: ${JSON.stringify(jsonRpcError(id, code, DETAIL, data))}\n\n`,
      )
      return new TextEncoder().encode(events.join(''))
    },
  }
}
