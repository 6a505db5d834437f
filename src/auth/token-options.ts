import type { FetchImplementation } from 'jose'
import type { Claims } from '../variables.ts'

/** Tokens of one issuer: JWTs signed with a shared secret, with keys behind a URL, or with either. */
export interface JwtOptions {
  /** HS256 secret, taken as raw UTF-8; at least 32 bytes (RFC 7518 section 3.2). */
  secret?: string | undefined
  /** Where the issuer publishes its public keys (RFC 7517): https, or http on loopback. */
  jwksUrl?: string | undefined
  /** The one accepted `iss`. */
  issuer: string
  /** The accepted `aud` values; of a URL with and without one trailing slash. */
  audience: string | readonly string[]
  /** How long a verdict on a token is remembered, in seconds, at most 300. 0 remembers nothing. @default 300 */
  cacheSeconds?: number | undefined
  /** Told of every failed fetch of the keys (one in five seconds at most); clients see a plain 503. @default nothing */
  onOutage?: ((error: unknown) => void) | undefined
  /** Fetches the keys. @default the runtime's fetch */
  fetch?: FetchImplementation | undefined
  /** The clock. @default () => new Date() */
  now?: (() => Date) | undefined
}

/** Whatever verifies a token. A throw means 401; throw AuthUnavailableError where nobody can say (503). */
export interface TokenVerifier {
  verify: (token: string) => Promise<Claims>
}

/** Bring your own: anything that turns a token into claims. */
export interface VerifyOptions extends TokenVerifier {
  /**
   * How long a verdict on a token is remembered, in seconds, at most 300. Until then a token you have revoked
   * goes on working. @default 0: every request asks
   */
  cacheSeconds?: number | undefined
}

/** How tokens are verified: by keys, or by a function of your own. */
export type TokenOptions = JwtOptions | VerifyOptions

/** Whether somebody brought their own. */
export const isVerifier = (tokens: object): tokens is VerifyOptions =>
  'verify' in tokens && typeof tokens.verify === 'function'

/** Each `aud` value, and a URL also in its other spelling: URL.href ends a bare origin with a slash, people do not. */
export const audiencesOf = ({ audience }: JwtOptions): string[] => {
  const audiences = typeof audience === 'string' ? [audience] : audience
  return audiences.flatMap((value) => {
    if (!/^https?:\/\//i.test(value)) return [value]
    return [value, value.endsWith('/') ? value.slice(0, -1) : `${value}/`]
  })
}

const LOOPBACK_NAMES = new Set(['localhost', '127.0.0.1', '[::1]'])

/** Whether a hostname, as `URL.hostname` writes it, is this machine. */
export const isLoopback = (hostname: string): boolean => LOOPBACK_NAMES.has(hostname)

/** URL.parse, which early releases of Node 20 lack. */
export const parseUrl = (value: string): URL | null => (URL.canParse(value) ? new URL(value) : null)

/** What is wrong with a URL that must be reached safely, as a half-sentence; null if nothing is. */
export const urlFault = (value: unknown): string | null => {
  const url = typeof value === 'string' ? parseUrl(value) : null
  if (url === null) return 'must be an absolute URL'
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must be an http or https URL'
  if (url.username !== '' || url.password !== '') return 'must not carry credentials'
  if (url.hash !== '' || String(value).includes('#')) return 'must have no fragment'
  return null
}

/** As urlFault, and encrypted unless it stays on this machine. */
export const secureUrlFault = (value: unknown): string | null => {
  const fault = urlFault(value)
  if (fault !== null) return fault
  const url = new URL(String(value))
  return url.protocol === 'http:' && !isLoopback(url.hostname)
    ? 'must use https (http is for loopback only)'
    : null
}

const isText = (value: unknown): value is string => typeof value === 'string' && value.trim() !== ''

const jwtFaults = (tokens: Partial<JwtOptions>): string[] => {
  const { secret, jwksUrl, issuer, audience } = tokens
  const faults: string[] = []
  if (secret === undefined && jwksUrl === undefined) {
    faults.push('tokens needs a secret, a jwksUrl or a verify function')
  }
  if (secret !== undefined && (typeof secret !== 'string' || new TextEncoder().encode(secret).length < 32)) {
    faults.push('tokens.secret must be at least 32 bytes long (RFC 7518 section 3.2): use a longer one')
  }
  const fault = jwksUrl === undefined ? null : secureUrlFault(jwksUrl)
  if (fault !== null) faults.push(`tokens.jwksUrl ${fault}`)
  if (!isText(issuer) || issuer.length > 255) {
    faults.push('tokens.issuer is missing: give the iss of your tokens, 255 characters at most')
  }
  const audiences = typeof audience === 'string' ? [audience] : (audience ?? [])
  if (!Array.isArray(audiences) || audiences.length === 0 || !audiences.every(isText)) {
    faults.push('tokens.audience is missing: give the aud of your tokens, usually the URL of the resource')
  }
  return faults
}

/** Everything that is wrong with the options of tokens, a half-sentence each, with the remedy and no secret. */
export function tokenFaults(tokens: unknown): string[] {
  if (typeof tokens !== 'object' || tokens === null)
    return ['tokens is missing: give a secret, a jwksUrl or a verify function']
  const { cacheSeconds } = tokens as Partial<JwtOptions & VerifyOptions>
  const faults = isVerifier(tokens) ? [] : jwtFaults(tokens)
  if (cacheSeconds !== undefined && !(cacheSeconds >= 0 && cacheSeconds <= 300)) {
    faults.push('tokens.cacheSeconds must be from 0 to 300')
  }
  return faults
}
