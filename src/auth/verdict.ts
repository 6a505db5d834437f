import type { Claims, Identity, UserContext } from '../variables.ts'
import { isIdentifier, readClaims, type ClaimPaths } from './claims.ts'
import { identityIds } from './user-id.ts'

/** Everything that a token decides, made once and kept: frozen, for every request of the token shares it. */
export interface Verdict {
  kind: 'user' | 'service'
  user: UserContext | null
  identity: Omit<Identity, 'issuedAt'> | null
  issuedAtMs: number | null
  /** The id of an access token of ours. */
  accessToken?: string
  scopes: readonly string[]
  claims: Claims
}

/** The issuer of claims that name none: those of a `verify` function that knows only one. */
const UNNAMED_ISSUER = 'verify'

/** For what many requests share. */
export const freezeDeep = <T>(value: T): T => {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    Object.values(value).forEach(freezeDeep)
  }
  return value
}

/** Beyond the year 9999 a NumericDate is none that a token was issued at: milliseconds, most likely. */
export const MOMENTS_END = 253_402_300_800

/** The moment of a NumericDate (RFC 7519 section 2), if a Date can hold it. */
const momentOf = (seconds: unknown): number | null =>
  typeof seconds === 'number' && seconds >= 0 && seconds < MOMENTS_END ? seconds * 1000 : null

/** What verified claims mean; null where they name nobody. */
export async function verdictOf(claims: Claims, paths: ClaimPaths): Promise<Verdict | null> {
  const issuer = claims.iss ?? UNNAMED_ISSUER
  const bearer = readClaims(claims, paths)
  if (bearer === null || !isIdentifier(issuer)) return null
  const { kind, subject, scopes, ...profile } = bearer
  const common = { kind, scopes, claims, issuedAtMs: momentOf(claims.iat) }
  if (kind === 'service') return freezeDeep({ ...common, user: null, identity: null })
  const ids = await identityIds(issuer, subject)
  return freezeDeep({
    ...common,
    user: { id: ids.firstId, ...profile, scopes, issuer, subject, claims },
    identity: { issuer, subject, ...ids, ...profile },
  })
}
