import {
  JOSEAlgNotAllowed,
  JOSEError,
  JWKSNoMatchingKey,
  JWSSignatureVerificationFailed,
  JWTClaimValidationFailed,
  JWTExpired,
} from 'jose/errors'

/** A token that is refused. Thrown by `verify`, turned into a 401 at the edge. */
export class InvalidTokenError extends Error {
  override name = 'InvalidTokenError'
  /** The sentence the client is told: never a part of the token. */
  readonly description: string

  constructor(description = 'The token is not valid.', options?: ErrorOptions) {
    super(description, options)
    this.description = description
  }
}

/** Nobody can say whether a token is good. Thrown by `verify`, turned into a 503 with `Retry-After` at the edge. */
export class AuthUnavailableError extends Error {
  override name = 'AuthUnavailableError'
  readonly retryAfterSeconds: number

  constructor(retryAfterSeconds = 5, options?: ErrorOptions) {
    super('Tokens cannot be verified right now', options)
    // RFC 9110 section 10.2.3: a whole number of seconds.
    this.retryAfterSeconds = Number.isFinite(retryAfterSeconds)
      ? Math.max(1, Math.ceil(retryAfterSeconds))
      : 5
  }
}

const CLAIM_SENTENCES: Record<string, string> = {
  nbf: 'The token is not valid yet.',
  iss: 'The token comes from another issuer.',
  aud: 'The token was issued for another audience.',
  exp: 'The token has no expiry.',
}

const sentenceOf = (error: JOSEError): string => {
  if (error instanceof JWTExpired) return 'The token has expired.'
  if (error instanceof JWTClaimValidationFailed) {
    return CLAIM_SENTENCES[error.claim] ?? 'A claim of the token is not valid.'
  }
  if (error instanceof JWKSNoMatchingKey) return 'The token is signed with an unknown key.'
  if (error instanceof JWSSignatureVerificationFailed) return 'The signature of the token does not match.'
  if (error instanceof JOSEAlgNotAllowed) return 'The algorithm of the token is not accepted.'
  return 'The token is malformed.'
}

/**
 * What jose found, as ours. Only jose's own errors are the token's fault; anything else is a fault of this side
 * and goes on as it is, so that it is seen.
 */
export const fromJose = (error: unknown): unknown =>
  error instanceof JOSEError ? new InvalidTokenError(sentenceOf(error), { cause: error }) : error
