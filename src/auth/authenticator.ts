import type { Sql } from '../db/client.ts'
import type { Refusal } from '../errors.ts'
import type { AuthInfo, Caller, UserVariables } from '../variables.ts'
import { claimsToBeAccessToken } from './access-token-text.ts'
import { judgeAccessToken } from './access-token-verdict.ts'
import { challenger, readCredentials } from './challenge.ts'
import { DEFAULT_CLAIM_PATHS } from './claims.ts'
import { isVerifier, tokenFaults, urlFault, type TokenOptions } from './token-options.ts'
import { CLOCK_SKEW_SECONDS, createTokenVerifier, judgeToken } from './tokens.ts'
import { verdictOf, type Verdict } from './verdict.ts'
import { createVerdictCache, VERDICT_MAX_AGE_SECONDS } from './verdict-cache.ts'

export interface AuthenticatorOptions {
  /** Who vouches for tokens: one issuer's JWTs, or a `verify` function of your own. */
  tokens: TokenOptions
  /** Canonical URL of the endpoint: absolute, without a fragment (RFC 8707 section 2). */
  resource: string
  /** Whether a token is required. Without one, false lets a caller pass as anonymous; a bad one is 401 all the same. @default true */
  required?: boolean | undefined
  /** Scopes that every token must have; without one of them the answer is 403 naming all. @default [] */
  requiredScopes?: readonly string[] | undefined
  /** The claim with the department: its name or a dotted path, never below `user_metadata`. @default 'app_metadata.department' */
  departmentClaim?: string | undefined
  /** The claim with the role: member, manager, finance or admin. @default 'app_metadata.role' */
  roleClaim?: string | undefined
  /** The clock. @default () => new Date() */
  now?: (() => Date) | undefined
}

/** Where access tokens of ours are looked up. */
export interface AccessTokenSource {
  sql: Sql
  /** Whether the ledger judges the token again for this request, so that its verdict may be remembered. */
  judgedAgain: boolean
}

/** Who is calling, or why not. */
export type Authentication = { ok: true; variables: UserVariables } | { ok: false; refusal: Refusal }

// RFC 6749 section 3.3
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+$/

const claimFault = (name: string, path: unknown): string[] => {
  if (path === undefined) return []
  if (typeof path !== 'string' || path === '') return [`${name} must be the name of a claim`]
  return /^(raw_)?user_meta_?data(\.|$)/.test(path)
    ? [`${name} must not lie in user_metadata, which users can edit: use app_metadata`]
    : []
}

const optionFaults = (options: AuthenticatorOptions): string[] => {
  const fault = urlFault(options.resource)
  const scopes = options.requiredScopes ?? []
  return [
    ...tokenFaults(options.tokens),
    ...(fault === null ? [] : [`resource ${fault}`]),
    ...(Array.isArray(scopes) && scopes.every((scope) => SCOPE.test(scope))
      ? []
      : ['requiredScopes must be a list of scopes without spaces, quotes or backslashes']),
    ...claimFault('departmentClaim', options.departmentClaim),
    ...claimFault('roleClaim', options.roleClaim),
  ]
}

const textClaim = (value: unknown): string | null => (typeof value === 'string' ? value : null)

/**
 * Prepares the answer to "who is calling?": a plain function of the request's headers that knows no Hono.
 * @throws TypeError naming every fault of the options at once.
 */
export function createAuthenticator(options: AuthenticatorOptions) {
  const faults = optionFaults(options)
  if (faults.length > 0) throw new TypeError(`userContext: ${faults.join('; ')}`)
  const { tokens, resource, required = true, requiredScopes = [], now = () => new Date() } = options
  const paths = {
    department: options.departmentClaim ?? DEFAULT_CLAIM_PATHS.department,
    role: options.roleClaim ?? DEFAULT_CLAIM_PATHS.role,
  }
  const jwt = !isVerifier(tokens)
  const verifier = isVerifier(tokens) ? tokens : createTokenVerifier({ ...tokens, now: tokens.now ?? now })
  const cacheSeconds = tokens.cacheSeconds ?? (jwt ? VERDICT_MAX_AGE_SECONDS : 0)
  const verdicts = createVerdictCache<Verdict>()
  const challenge = challenger(resource, requiredScopes)
  const invalidTokenChallenge = challenge({
    error: 'invalid_token',
    description: 'The token is no longer accepted.',
  })

  const refuse = (refusal: Refusal): Authentication => {
    const { code, detail: description } = refusal
    if (code === 'auth_unavailable' || code === 'database_unavailable') return { ok: false, refusal }
    const error = code === 'invalid_token' || code === 'insufficient_scope' ? code : undefined
    const header = challenge(error === undefined ? {} : { error, description })
    return { ok: false, refusal: { ...refusal, headers: { 'www-authenticate': header } } }
  }

  /** What one request gets: fresh wherever something may be written to, so that no request sees another's. */
  const variablesOf = (token: string, verdict: Verdict): UserVariables => {
    const { kind, user, identity, issuedAtMs, scopes, claims, accessToken } = verdict
    const expiresAt = claims.exp
    const auth: AuthInfo = {
      token,
      clientId: textClaim(claims['client_id']) ?? textClaim(claims['azp']) ?? '',
      scopes: [...scopes],
      ...(expiresAt === undefined ? {} : { expiresAt }),
      resource: new URL(resource),
      extra: { user, role: user?.role ?? 'service', claims },
    }
    const issuedAt = issuedAtMs === null ? null : new Date(issuedAtMs)
    const caller: Caller = {
      kind,
      identity: identity && { ...identity, issuedAt },
      ...(accessToken === undefined ? {} : { accessToken }),
      invalidTokenChallenge,
    }
    return { user, auth, caller }
  }

  /** What an access token of ours decides; as a rule it is known already, for what may change is judged by the ledger. */
  async function accessTokenVerdict(
    { sql, judgedAgain }: AccessTokenSource,
    token: string,
    nowMs: number,
  ): Promise<Verdict | Refusal> {
    const known = judgedAgain ? verdicts.get(token, nowMs) : undefined
    if (known !== undefined) return known
    const judged = await judgeAccessToken(sql, token)
    if ('refusal' in judged) return judged.refusal
    if (judgedAgain) verdicts.set(token, judged.verdict, Infinity, nowMs)
    return judged.verdict
  }

  async function tokenVerdict(token: string, moment: Date): Promise<Verdict | Refusal> {
    const known = verdicts.get(token, moment.getTime())
    if (known !== undefined) return known
    const result = await judgeToken(verifier, token, { now: moment, strict: jwt })
    if (!result.ok) return result.refusal
    const judged = await verdictOf(result.claims, paths)
    if (judged === null) return { code: 'invalid_token', detail: 'The token names no user.' }
    const { exp = Infinity } = result.claims
    const untilMs = Math.min((exp + CLOCK_SKEW_SECONDS) * 1000, moment.getTime() + cacheSeconds * 1000)
    verdicts.set(token, judged, untilMs, moment.getTime())
    return judged
  }

  return async function authenticate(
    headers: Headers,
    accessTokens: AccessTokenSource | null = null,
  ): Promise<Authentication> {
    const credentials = readCredentials(headers.get('authorization'))
    if (credentials.kind === 'refused') return refuse(credentials.refusal)
    if (credentials.kind === 'none') {
      if (required) return refuse({ code: 'unauthorized' })
      const caller: Caller = { kind: 'anonymous', identity: null, invalidTokenChallenge }
      return { ok: true, variables: { user: null, auth: undefined, caller } }
    }
    const { token } = credentials
    const moment = now()
    const verdict =
      accessTokens !== null && claimsToBeAccessToken(token)
        ? await accessTokenVerdict(accessTokens, token, moment.getTime())
        : await tokenVerdict(token, moment)
    if ('code' in verdict) return refuse(verdict)
    const { scopes } = verdict
    if (requiredScopes.every((scope) => scopes.includes(scope))) {
      return { ok: true, variables: variablesOf(token, verdict) }
    }
    return refuse({ code: 'insufficient_scope', detail: 'The token lacks a required scope.' })
  }
}
