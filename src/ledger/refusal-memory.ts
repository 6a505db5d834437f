import type { AdmissionRequest, RefusalCount, RefusedVerdict } from './types.ts'

/** Milliseconds for which a refusal is given again without asking, at most. */
const MEMORY_MS: Partial<Record<RefusedVerdict['code'], number>> = {
  // Nothing but time makes room; but an administrator may.
  rate_limited: 5000,
  // What others hold may come free, and the limit may be raised.
  quota_exceeded: 1000,
}

/** Refusals at most; beyond this the oldest go. */
const MAX_REFUSALS = 10_000

interface Remembered {
  verdict: RefusedVerdict
  atMs: number
  untilMs: number
}

/** What one instance refused a moment ago: an agent that runs away costs the database nothing. */
export interface RefusalMemory {
  /** The same refusal again, counted; null when the database must be asked. */
  recall(request: AdmissionRequest, nowMs: number): RefusedVerdict | null
  keep(request: AdmissionRequest, verdict: RefusedVerdict, nowMs: number): void
  /** What was refused since, to be sent along. */
  takeCounts(): RefusalCount[]
  /** For counts that could not be sent. */
  giveBack(counts: RefusalCount[]): void
}

/** What the database judges by, but for the session: the same caller with the same calls gets the same answer. */
function keyOf({ caller, calls, rate, maxCallsInFlight, quotas }: AdmissionRequest): string {
  const limits = [
    rate?.limit,
    rate?.windowSeconds,
    rate?.burst,
    rate?.per,
    rate?.key,
    rate?.calls,
    maxCallsInFlight,
  ]
  const wanted = calls.map(({ method, tool, estimate }) => [method, tool, estimate?.tokens, estimate?.cost])
  return JSON.stringify([caller?.issuer, caller?.subject, caller?.department, quotas, limits, wanted])
}

const later = ({ verdict, atMs }: Remembered, nowMs: number): RefusedVerdict => {
  const passed = nowMs - atMs
  const { retryAfterMs, rate } = verdict
  return {
    ...verdict,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs: Math.max(retryAfterMs - passed, 1) }),
    ...(rate === undefined ? {} : { rate: { ...rate, resetMs: Math.max(rate.resetMs - passed, 0) } }),
  }
}

export function createRefusalMemory(maxRefusals = MAX_REFUSALS): RefusalMemory {
  const remembered = new Map<string, Remembered>()
  const counts = new Map<string, RefusalCount>()

  function count(added: RefusalCount): void {
    const quarter = Math.floor(added.at.getTime() / 900_000)
    const key = `${quarter} ${added.userId} ${added.code} ${added.quotaId}`
    const known = counts.get(key)
    if (known === undefined) counts.set(key, { ...added })
    else known.calls += added.calls
  }

  return {
    recall(request, nowMs) {
      if (remembered.size === 0) return null
      const key = keyOf(request)
      const found = remembered.get(key)
      if (found === undefined) return null
      if (nowMs >= found.untilMs) {
        remembered.delete(key)
        return null
      }
      const { code, userId, quotaId, calls } = found.verdict
      count({ at: new Date(nowMs), userId, code, quotaId, calls })
      return later(found, nowMs)
    },
    keep(request, verdict, nowMs) {
      const memoryMs = MEMORY_MS[verdict.code]
      if (memoryMs === undefined) return
      const untilMs = nowMs + Math.min(verdict.retryAfterMs ?? memoryMs, memoryMs)
      const key = keyOf(request)
      // Set anew, so that the order of the map is that of age.
      remembered.delete(key)
      remembered.set(key, { verdict, atMs: nowMs, untilMs })
      if (remembered.size > maxRefusals) remembered.delete(remembered.keys().next().value ?? '')
    },
    takeCounts() {
      const taken = [...counts.values()]
      counts.clear()
      return taken
    },
    giveBack(given) {
      for (const each of given) count(each)
    },
  }
}
