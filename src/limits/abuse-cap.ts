import type { Context } from 'hono'
import type { Refusal } from '../errors.ts'
import type { UserVariables } from '../variables.ts'
import { createMemoryStore } from './memory-store.ts'
import type { Rate } from './gcra.ts'

/** Far above what any client needs to connect and to listen, and low enough to stop a loop. */
export const DEFAULT_ABUSE_CAP: Rate = { limit: 1200, windowSeconds: 60, burst: 1200 }

/**
 * Holds what no limit counts (discovery, initialize, notifications, ping, GET, DELETE) to a cap of its own, for each
 * user in the memory of one process. It answers 503: the official client (2.4) that is told 429 at `server/discover`
 * takes the server for one of the older era, and stays with it.
 * @returns the refusal, or null.
 */
export function createAbuseCap(cap: Rate = DEFAULT_ABUSE_CAP, now: () => number = Date.now) {
  const store = createMemoryStore()
  return function abuseCap(c: Context, count = 1): Refusal | null {
    const user = c.get('user') as UserVariables['user']
    const caller = c.get('caller') as UserVariables['caller']
    // Strangers share no bucket: one of them could shut the door for all.
    if (user === null && caller.kind === 'anonymous') return null
    const holder = user?.id ?? `service ${(c.get('auth') as UserVariables['auth'])?.clientId ?? ''}`
    const decision = store.take(holder, cap, count, now())
    if (decision.allowed) return null
    return {
      code: 'abuse_cap',
      detail: `More than ${cap.limit} requests in ${cap.windowSeconds} seconds that no limit counts: is this client in a loop?`,
      retryAfterSeconds: decision.retryAfterMs / 1000,
    }
  }
}
