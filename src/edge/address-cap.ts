import type { MiddlewareHandler } from 'hono'
import type { Refusal } from '../errors.ts'
import type { Rate } from '../limits/gcra.ts'
import { createMemoryStore } from '../limits/memory-store.ts'
import { clientAddress } from './client-address.ts'
import type { EdgeOptions } from './edge.ts'

/** Far more than people and their clients get wrong, and too few to guess or to flood with. */
export const FAILURES: Rate = { limit: 600, windowSeconds: 60, burst: 600 }

/** Refusals that a limit or an outage has answered are no fault of the client's manners. */
const isFailure = (status: number): boolean => status >= 400 && status < 500 && status !== 429

/**
 * Holds what an address may get wrong, before a token is looked at: requests that were refused as wrong (400 to 499,
 * but for 429) count, good ones do not, so that many people behind one address disturb nobody. Past the cap everything
 * from there is answered 503, as a 429 at `server/discover` would make clients take the server for an older one.
 */
export function addressCap({
  peerOf,
  trustedProxies,
  refuse,
  now = () => Date.now(),
}: EdgeOptions): MiddlewareHandler {
  const store = createMemoryStore()
  let warned = false
  return async function addressCap(c, next) {
    const forwardedFor = c.req.header('x-forwarded-for')
    const address = clientAddress({ peer: peerOf(c), forwardedFor, trustedProxies })
    if (address === null) return await next()
    const decision = store.look(address, FAILURES, now())
    if (!decision.allowed) {
      if (!warned && trustedProxies === 0 && forwardedFor !== undefined) {
        warned = true
        console.warn(
          'mcp-user-context: the abuse cap holds an address that says it forwards for others: behind a proxy, set TRUSTED_PROXIES',
        )
      }
      const refusal: Refusal = {
        code: 'abuse_cap',
        detail: `More than ${FAILURES.limit} requests of this address went wrong within ${FAILURES.windowSeconds} seconds: is a client in a loop?`,
        retryAfterSeconds: decision.retryAfterMs / 1000,
      }
      return refuse(c, refusal)
    }
    await next()
    if (isFailure(c.res.status)) store.take(address, FAILURES, 1, now())
  }
}
