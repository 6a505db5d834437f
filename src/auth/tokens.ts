import { jwtVerify, type JWTVerifyGetKey, type JWTVerifyOptions } from 'jose'
import { JOSEAlgNotAllowed, JWKSMultipleMatchingKeys, JWSSignatureVerificationFailed } from 'jose/errors'
import type { Refusal } from '../errors.ts'
import type { Claims } from '../variables.ts'
import { createJwks, isWeak } from './jwks.ts'
import { audiencesOf, tokenFaults, type JwtOptions, type TokenVerifier } from './token-options.ts'
import { MOMENTS_END } from './verdict.ts'
import { AuthUnavailableError, fromJose, InvalidTokenError } from './token-errors.ts'

/** How far the clocks of issuer and server may lie apart. */
export const CLOCK_SKEW_SECONDS = 60

/** Beyond this nothing is parsed. Headers of common servers end at 8 or 16 KiB. */
export const MAX_TOKEN_LENGTH = 8 * 1024

/** The one algorithm of the secret: a public key can never be taken for it (RFC 8725 section 3.1). */
const SECRET_ALGORITHMS = ['HS256']

const JWKS_ALGORITHMS = 'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519'.split(' ')

/** Base64url without padding, and without bits that say nothing (RFC 4648 section 3.5): one text for what it holds. */
const PART = '(?:[\\w-]{4})*(?:[\\w-][AQgw]|[\\w-]{2}[AEIMQUYcgkosw048])?'
/** The compact form of RFC 7515 section 7.1. jose takes parts in the other alphabet too, and with bits left over. */
const COMPACT = new RegExp(`^${PART}\\.${PART}\\.${PART}$`)

/** Imported at first use and kept: jose would import a bare secret at every token. */
const secretKey = (secret: string): (() => Promise<CryptoKey>) => {
  let key: CryptoKey | undefined
  const algorithm = { name: 'HMAC', hash: 'SHA-256' }
  return async () =>
    (key ??= await crypto.subtle.importKey('raw', new TextEncoder().encode(secret), algorithm, false, [
      'verify',
    ]))
}

/** The key set may hold several keys that could have signed a token without `kid`: each is tried. */
async function verifyWithAny(token: string, keys: JWKSMultipleMatchingKeys, options: JWTVerifyOptions) {
  for await (const key of keys) {
    if (isWeak(key)) continue
    try {
      return await jwtVerify(token, key, options)
    } catch (error) {
      if (!(error instanceof JWSSignatureVerificationFailed)) throw error
    }
  }
  throw new JWSSignatureVerificationFailed()
}

/**
 * Verifies the JWTs of one issuer: signature, `exp`, `nbf`, `iss` and `aud`. The algorithm of a token only chooses
 * between the key sources that are configured, and each takes its own algorithms alone; keys and key addresses in
 * the token's header (`jwk`, `jku`, `x5u`) are never looked at.
 * @returns `verify`, which throws InvalidTokenError or AuthUnavailableError.
 * @throws TypeError naming every fault of the options.
 * @example const { verify } = createTokenVerifier({ secret, issuer, audience: resource })
 */
export function createTokenVerifier(tokens: JwtOptions): TokenVerifier {
  const faults = tokenFaults(tokens)
  if (faults.length > 0) throw new TypeError(`createTokenVerifier: ${faults.join('; ')}`)
  const { secret, jwksUrl, issuer, fetch, onOutage, now = () => new Date() } = tokens
  const bySecret = secret === undefined ? null : secretKey(secret)
  const byUrl = jwksUrl === undefined ? null : createJwks({ url: jwksUrl, now, fetch, onOutage })
  const algorithms = [...(bySecret ? SECRET_ALGORITHMS : []), ...(byUrl ? JWKS_ALGORITHMS : [])]
  const audience = audiencesOf(tokens)

  // jose has held header.alg against the list above before it asks for a key.
  const keyOf: JWTVerifyGetKey = async (header, token) => {
    if (bySecret && SECRET_ALGORITHMS.includes(header.alg)) return bySecret()
    if (byUrl && JWKS_ALGORITHMS.includes(header.alg)) return byUrl(header, token)
    throw new JOSEAlgNotAllowed()
  }

  return {
    async verify(token) {
      if (token.length > MAX_TOKEN_LENGTH) throw new InvalidTokenError('The token is too long.')
      if (!COMPACT.test(token)) throw new InvalidTokenError('The token is malformed.')
      const options = {
        algorithms,
        issuer,
        audience,
        requiredClaims: ['exp'],
        clockTolerance: CLOCK_SKEW_SECONDS,
        currentDate: now(),
      }
      try {
        const { payload } = await jwtVerify(token, keyOf, options).catch((error: unknown) => {
          if (error instanceof JWKSMultipleMatchingKeys) return verifyWithAny(token, error, options)
          throw error
        })
        return payload
      } catch (error) {
        throw fromJose(error)
      }
    },
  }
}

/** What became of a token, as data. */
export type TokenResult = { ok: true; claims: Claims } | { ok: false; refusal: Refusal }

const invalid = (detail: string): TokenResult => ({ ok: false, refusal: { code: 'invalid_token', detail } })

const isClaims = (value: unknown): value is Claims =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Our own copy, so that a verifier may go on using its object; and plain JSON, as every reader of claims expects. */
const copyOf = (claims: unknown): Claims | null => {
  const copy: unknown = isClaims(claims) ? JSON.parse(JSON.stringify(claims)) : null
  return isClaims(copy) ? copy : null
}

/**
 * Asks any verifier about a token. Without `strict` a throw that it did not name is taken as its no, as promised to
 * those who bring their own; with it, as the fault it is.
 */
export async function judgeToken(
  verifier: TokenVerifier,
  token: string,
  { now, strict = false }: { now: Date; strict?: boolean },
): Promise<TokenResult> {
  let claims: Claims | null
  try {
    claims = copyOf(await verifier.verify(token))
  } catch (error) {
    if (error instanceof AuthUnavailableError) {
      return { ok: false, refusal: { code: 'auth_unavailable', retryAfterSeconds: error.retryAfterSeconds } }
    }
    if (error instanceof InvalidTokenError) return invalid(error.description)
    if (strict) throw error
    return invalid('The token is not valid.')
  }
  if (claims === null) return invalid('The token is not valid.')
  const { exp, iat } = claims
  // It would outlive every cut-off. What no moment is, such as milliseconds, is read as none.
  if (typeof iat === 'number' && iat < MOMENTS_END && iat > now.getTime() / 1000 + CLOCK_SKEW_SECONDS)
    return invalid('The token was issued in the future.')
  if (exp === undefined) return { ok: true, claims }
  if (typeof exp !== 'number') return invalid('The expiry of the token is not a number.')
  return exp + CLOCK_SKEW_SECONDS > Math.floor(now.getTime() / 1000)
    ? { ok: true, claims }
    : invalid('The token has expired.')
}
