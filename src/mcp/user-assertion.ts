import { type Context, Hono } from 'hono'
import { calculateJwkThumbprint, type CryptoKey, importJWK, type JWK, SignJWT } from 'jose'

/** What an assertion may say of a user beside their id. */
export type AssertedClaim = 'email' | 'name' | 'department' | 'role'

/** How upstream servers are told who is calling. */
export interface UserAssertionOptions {
  /**
   * Private keys as JWK (EC, P-256). The first signs, and all are published, so that a new key can be known before
   * it signs, and an old one for as long as its last assertion lives; those after the first may be public ones.
   */
  keys: readonly JWK[]
  /** `iss`: the origin under which this kit is reached, where `assertionKeys()` publishes the keys. */
  issuer: string
  /** What is said of the user beside their id. @default nothing */
  claims?: readonly AssertedClaim[]
  /** For how long an assertion holds, in seconds, 60 at most. @default 60 */
  lifetimeSeconds?: number
}

/** The request header in which an upstream server finds the assertion. Nothing that a client sends in it travels on. */
export const ASSERTION_HEADER = 'user-context-assertion'

/** Where the public keys are published, below the issuer. */
export const ASSERTION_KEYS_PATH = '/.well-known/jwks.json'

export const ASSERTED_CLAIMS = ['email', 'name', 'department', 'role'] as const satisfies AssertedClaim[]

const MAX_LIFETIME_SECONDS = 60
const ALGORITHM = 'ES256'

/** As much of `c.var.user` as is said. */
type Asserted = { id: string } & Partial<Record<AssertedClaim, string | null>>

const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''

/** What is wrong with a list of keys; no part of a key is quoted. */
export function assertionKeyFaults(keys: unknown): string[] {
  if (!Array.isArray(keys) || keys.length === 0) return ['has no key: give one EC key on P-256 as a JWK']
  return (keys as (Partial<JWK> | null)[]).flatMap((key, index) => {
    const name = `key ${index + 1}`
    const isEc = key?.kty === 'EC' && key.crv === 'P-256' && isText(key.x) && isText(key.y)
    if (!isEc) return [`${name} is no EC key on P-256: ES256 needs kty EC, crv P-256, x and y`]
    if (index === 0 && !isText(key.d)) return [`${name} is a public one: the first signs, and needs its d`]
    return []
  })
}

/** What is wrong with the options. */
export function assertionFaults({
  keys,
  issuer,
  claims = [],
  lifetimeSeconds,
}: UserAssertionOptions): string[] {
  const unknown = claims.filter((claim) => !ASSERTED_CLAIMS.includes(claim))
  const lives = lifetimeSeconds ?? MAX_LIFETIME_SECONDS
  return [
    ...assertionKeyFaults(keys).map((fault) => `assertion.keys: ${fault}`),
    ...(isText(issuer) ? [] : ['assertion.issuer is missing: give the origin of this kit']),
    ...(unknown.length === 0
      ? []
      : [`assertion.claims has no ${unknown.join(', ')}: give ${ASSERTED_CLAIMS.join(', ')}`]),
    ...(Number.isSafeInteger(lives) && lives >= 1 && lives <= MAX_LIFETIME_SECONDS
      ? []
      : [`assertion.lifetimeSeconds must be from 1 to ${MAX_LIFETIME_SECONDS}`]),
  ]
}

const kidOf = async (key: JWK): Promise<string> => key.kid ?? (await calculateJwkThumbprint(key))

/** Signs assertions for one upstream server. */
export function createAssertionSigner(
  { keys, issuer, claims = [], lifetimeSeconds = MAX_LIFETIME_SECONDS }: UserAssertionOptions,
  audience: string,
): (user: Asserted) => Promise<string> {
  // The key itself and not its promise: a Worker's request must not wait for what another one began.
  let known: { key: CryptoKey | Uint8Array; kid: string } | undefined
  return async (user) => {
    known ??= { key: await importJWK(keys[0]!, ALGORITHM), kid: await kidOf(keys[0]!) }
    const said = claims.flatMap((claim) => (user[claim] == null ? [] : [[claim, user[claim]] as const]))
    const now = Math.floor(Date.now() / 1000)
    return await new SignJWT(Object.fromEntries(said))
      .setProtectedHeader({ alg: ALGORITHM, kid: known.kid, typ: 'JWT' })
      .setIssuer(issuer)
      .setSubject(user.id)
      .setAudience(audience)
      .setIssuedAt(now)
      .setExpirationTime(now + lifetimeSeconds)
      .setJti(crypto.randomUUID())
      .sign(known.key)
  }
}

const publicPart = async (key: JWK): Promise<JWK> => ({
  kty: 'EC',
  crv: 'P-256',
  x: key.x!,
  y: key.y!,
  kid: await kidOf(key),
  alg: ALGORITHM,
  use: 'sig',
})

const MAX_AGE_SECONDS = 300

/**
 * Publishes the keys with which upstream servers verify who is calling (RFC 7517), at `/.well-known/jwks.json`.
 * @param options those of the assertion will do; private parts stay here.
 * @returns a Hono app with the one route, open to everybody. Mount it at the root of the issuer.
 * @throws TypeError at creation, naming every fault of the keys.
 * @example app.route('/', assertionKeys({ keys: [{ kty: 'EC', crv: 'P-256', x: 'f83O…', y: 'x_FE…', d: 'jpsQ…' }] }))
 */
export function assertionKeys({ keys }: Pick<UserAssertionOptions, 'keys'>): Hono {
  const faults = assertionKeyFaults(keys)
  if (faults.length > 0) throw new TypeError(`assertionKeys: ${faults.join('; ')}`)
  return new Hono().get(ASSERTION_KEYS_PATH, async (c: Context) =>
    c.json({ keys: await Promise.all(keys.map(publicPart)) }, 200, {
      'cache-control': `public, max-age=${MAX_AGE_SECONDS}`,
    }),
  )
}
