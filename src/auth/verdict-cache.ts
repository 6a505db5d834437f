/** A verdict dies after this long whatever its token says, so that a rotated-out key stops working. */
export const VERDICT_MAX_AGE_SECONDS = 5 * 60

/** The last characters of a token are its signature's: 43 of them hold the 32 bytes of HS256 whole. */
const KEY_LENGTH = 43

interface Entry<V> {
  token: string
  verdict: V
  expiresAtMs: number
}

export interface VerdictCacheOptions {
  /** How many verdicts one generation holds; there are two. @default 5000 */
  capacity?: number
}

/** Remembers what was decided of a token. Times are milliseconds since the epoch. */
export interface VerdictCache<V> {
  get(token: string, nowMs: number): V | undefined
  set(token: string, verdict: V, expiresAtMs: number, nowMs: number): void
  /** How many verdicts are held; never more than twice the capacity. */
  readonly size: number
}

/**
 * A bounded map in two generations: when the young one is full it becomes the old one, and what nobody asks for
 * any more leaves with the next turn. No list to keep in order and no timer, so a hit costs a look-up and one
 * comparison of strings.
 */
export function createVerdictCache<V>({ capacity = 5000 }: VerdictCacheOptions = {}): VerdictCache<V> {
  if (!Number.isInteger(capacity) || capacity < 1) {
    throw new TypeError(`createVerdictCache: capacity must be a positive integer, got ${capacity}`)
  }
  let young = new Map<string, Entry<V>>()
  let old = new Map<string, Entry<V>>()

  const keep = (key: string, entry: Entry<V>): void => {
    if (young.size >= capacity && !young.has(key)) {
      old = young
      young = new Map()
    }
    young.set(key, entry)
  }

  return {
    get(token, nowMs) {
      const key = token.slice(-KEY_LENGTH)
      const entry = young.get(key) ?? old.get(key)
      // Compared whole: the key alone could be the end of a forged token.
      if (entry === undefined || entry.token !== token) return undefined
      if (nowMs >= entry.expiresAtMs) {
        young.delete(key)
        old.delete(key)
        return undefined
      }
      if (!young.has(key)) keep(key, entry)
      return entry.verdict
    },
    set(token, verdict, expiresAtMs, nowMs) {
      const until = Math.min(expiresAtMs, nowMs + VERDICT_MAX_AGE_SECONDS * 1000)
      if (until > nowMs) keep(token.slice(-KEY_LENGTH), { token, verdict, expiresAtMs: until })
    },
    get size() {
      return young.size + old.size
    },
  }
}
