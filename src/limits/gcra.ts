/** `limit` calls in `windowSeconds`, `burst` of them at once. */
export interface Rate {
  limit: number
  windowSeconds: number
  burst: number
}

export type RateDecision =
  | { allowed: true; emptyAtMs: number; remaining: number; resetMs: number }
  | { allowed: false; retryAfterMs: number; remaining: number; resetMs: number }

/** Moments are whole microseconds in the database, and hardly finer in a double: so much of a call is none. */
const ROUNDING = 1e-3

/**
 * The generic cell rate algorithm (ITU-T I.371): the ledger's statement decides in the same way. A cell holds one
 * moment, at which the calls so far have been worked off; each call moves it by window / limit, and it may lie
 * `burst` calls ahead of now.
 * @param emptyAtMs the cell, in milliseconds; undefined for one that nobody has used.
 * @param nowMs the moment to judge at.
 * @param calls how many are wanted, all or none. More than `burst` never fit.
 */
export function decideRate(
  { limit, windowSeconds, burst }: Rate,
  emptyAtMs: number | undefined,
  nowMs: number,
  calls = 1,
): RateDecision {
  const intervalMs = (windowSeconds * 1000) / limit
  const before = Math.max(emptyAtMs ?? nowMs, nowMs)
  const after = before + calls * intervalMs
  const waitMs = after - nowMs - burst * intervalMs
  const left = (at: number) => Math.max(Math.floor(burst - (at - nowMs) / intervalMs + ROUNDING), 0)
  if (waitMs > ROUNDING) {
    return {
      allowed: false,
      retryAfterMs: Math.ceil(waitMs),
      remaining: left(before),
      resetMs: Math.ceil(before - nowMs),
    }
  }
  return { allowed: true, emptyAtMs: after, remaining: left(after), resetMs: Math.ceil(after - nowMs) }
}
