import { decideRate, type Rate, type RateDecision } from './gcra.ts'

/** Cells at most; beyond this the empty ones go, and then those that are soonest empty. */
const MAX_CELLS = 100_000

/** Rate limits of one process, for a server that has no second instance. */
export interface MemoryStore {
  take(key: string, rate: Rate, calls: number, nowMs: number): RateDecision
  /** Whether another one would be allowed; takes nothing. */
  look(key: string, rate: Rate, nowMs: number): RateDecision
}

export function createMemoryStore(maxCells = MAX_CELLS): MemoryStore {
  const cells = new Map<string, number>()

  function makeRoom(nowMs: number): void {
    for (const [key, emptyAtMs] of cells) if (emptyAtMs <= nowMs) cells.delete(key)
    if (cells.size < maxCells) return
    const soonest = [...cells].toSorted(([, a], [, b]) => a - b).slice(0, Math.ceil(maxCells / 10))
    for (const [key] of soonest) cells.delete(key)
  }

  return {
    look: (key, rate, nowMs) => decideRate(rate, cells.get(key), nowMs),
    take(key, rate, calls, nowMs) {
      const decision = decideRate(rate, cells.get(key), nowMs, calls)
      if (decision.allowed) {
        if (!cells.has(key) && cells.size >= maxCells) makeRoom(nowMs)
        cells.set(key, decision.emptyAtMs)
      }
      return decision
    },
  }
}
