import { createRemoteJWKSet, customFetch, type FetchImplementation, type JWTVerifyGetKey } from 'jose'
import { JWKSMultipleMatchingKeys, JWKSNoMatchingKey } from 'jose/errors'
import { AuthUnavailableError } from './token-errors.ts'

/** A key set older than this is fetched anew behind the request that notices. */
const REFRESH_AFTER_MS = 10 * 60 * 1000
/** One older than this makes a request wait for the fetch: after a quiet hour a key may have been withdrawn. */
const AWAIT_AFTER_MS = 60 * 60 * 1000
/** The last good set goes on working this long in an outage, and no longer: a withdrawn key must die some day. */
const STALE_FOR_MS = 24 * 60 * 60 * 1000
/** An unknown `kid` makes us look for new keys, but anybody can make up a `kid`. */
const UNKNOWN_KID_COOLDOWN_MS = 30 * 1000
/** After a failed fetch the issuer is left alone for so long. */
const FAILURE_COOLDOWN_MS = 5 * 1000
const FETCH_TIMEOUT_MS = 5 * 1000

export interface JwksOptions {
  url: string
  now: () => Date
  fetch?: FetchImplementation | undefined
  onOutage?: ((error: unknown) => void) | undefined
}

/** Whether a key is an RSA key that nobody should use (RFC 7518 section 3.3: 2,048 bits at least). */
export const isWeak = (key: unknown): boolean =>
  key instanceof CryptoKey && Number(Reflect.get(key.algorithm, 'modulusLength') ?? Infinity) < 2048

/**
 * Keys from a JWKS URL. jose fetches, checks and finds them; when to fetch is decided here, because jose neither
 * serves stale keys nor spares an issuer that is down, and reads the clock itself.
 * Only moments are remembered, never a promise: on Workers the promise of another request may never settle (jose
 * shares a fetch between concurrent callers everywhere but there, for that reason).
 * @returns a resolver that throws JWKSNoMatchingKey for the token's fault, AuthUnavailableError for ours.
 */
export function createJwks({ url, now, fetch, onOutage }: JwksOptions): JWTVerifyGetKey {
  const remote = createRemoteJWKSet(new URL(url), {
    timeoutDuration: FETCH_TIMEOUT_MS,
    cacheMaxAge: Infinity,
    cooldownDuration: Infinity,
    ...(fetch === undefined ? {} : { [customFetch]: fetch }),
  })
  let loadedAtMs = -Infinity
  let triedAtMs = -Infinity
  /** The last failure since the last success. */
  let failedAtMs = -Infinity
  const sinceMs = (momentMs: number) => now().getTime() - momentMs

  const load = async (): Promise<void> => {
    triedAtMs = now().getTime()
    try {
      await remote.reload()
    } catch (cause) {
      // Callers that shared the fetch share its failure: it is told, and counted, once.
      if (sinceMs(failedAtMs) >= FAILURE_COOLDOWN_MS) {
        failedAtMs = now().getTime()
        onOutage?.(cause)
      }
      throw new AuthUnavailableError(FAILURE_COOLDOWN_MS / 1000, { cause })
    }
    loadedAtMs = now().getTime()
    failedAtMs = -Infinity
  }

  const loadUnlessCoolingDown = async (): Promise<void> => {
    const waitMs = FAILURE_COOLDOWN_MS - sinceMs(failedAtMs)
    if (waitMs > 0) throw new AuthUnavailableError(waitMs / 1000)
    await load()
  }

  /** Makes the set as fresh as it must be; throws only where no usable set is left. */
  const freshen = async (): Promise<void> => {
    const ageMs = sinceMs(loadedAtMs)
    if (ageMs < REFRESH_AFTER_MS) return
    if (ageMs >= STALE_FOR_MS) return loadUnlessCoolingDown()
    // Nobody waits for an issuer that is known to be down.
    const wait = ageMs >= AWAIT_AFTER_MS && failedAtMs === -Infinity
    if (!wait && sinceMs(triedAtMs) < FAILURE_COOLDOWN_MS) return
    const loaded = load().catch(() => undefined)
    if (wait) await loaded
  }

  /** A key of theirs that cannot be used is no fault of the token either. */
  const find: JWTVerifyGetKey = async (header, token) => {
    try {
      const key = await remote(header, token)
      if (isWeak(key)) throw new TypeError('an RSA key of the set has less than 2048 bits')
      return key
    } catch (error) {
      if (error instanceof JWKSNoMatchingKey || error instanceof JWKSMultipleMatchingKeys) throw error
      throw new AuthUnavailableError(UNKNOWN_KID_COOLDOWN_MS / 1000, { cause: error })
    }
  }

  return async (header, token) => {
    await freshen()
    try {
      return await find(header, token)
    } catch (error) {
      const unknown = error instanceof JWKSNoMatchingKey
      if (!unknown || sinceMs(loadedAtMs) < UNKNOWN_KID_COOLDOWN_MS) throw error
      // With the issuer out of reach the key may well be a new one of theirs: that is an outage, not a bad token.
      await loadUnlessCoolingDown()
      return find(header, token)
    }
  }
}
