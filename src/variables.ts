import type { Context } from 'hono'
import type { BudgetState, LedgerCaller, RateState } from './ledger/types.ts'
import type { MessageVariables } from './mcp/read-message.ts'

/** What a caller may do: own data, own department, everyone's cost, everything; or a program. */
export type Role = 'member' | 'manager' | 'finance' | 'admin' | 'service'

/** The claims of a verified token (RFC 7519 section 4, and whatever the issuer adds). */
export interface Claims {
  iss?: string | undefined
  sub?: string | undefined
  aud?: string | string[] | undefined
  exp?: number | undefined
  iat?: number | undefined
  [claim: string]: unknown
}

/** Who a verified token names, as `c.var.user` tells it. */
export interface UserContext {
  /** `user_id` in every table. */
  id: string
  email: string | null
  name: string | null
  department: string | null
  role: Role
  scopes: string[]
  issuer: string
  subject: string
  claims: Claims
}

/**
 * The verified token in the shape of the official SDK's `AuthInfo`, so that both SDKs and @hono/mcp hand it
 * to tools. Structural on purpose: nothing here imports an SDK.
 */
export interface AuthInfo {
  token: string
  clientId: string
  scopes: string[]
  /** Seconds since the epoch. */
  expiresAt?: number
  resource?: URL
  extra: {
    user: UserContext | null
    role: Role
    claims: Claims
    sessionId?: string
    /** There while a call is recorded. */
    usage?: UsageReporter
  }
}

/** What the ledger must know of a user (`LedgerCaller`), as a token says it. */
export type Identity = LedgerCaller & { role: Role }

/** The caller of a request: `identity` is null for anonymous callers and for programs. */
export interface Caller {
  kind: 'user' | 'service' | 'anonymous'
  identity: Identity | null
  /** The id of the access token of ours that it came with. */
  accessToken?: string
  /** The `WWW-Authenticate` value that tells this caller to fetch a new token (RFC 6750 section 3). */
  invalidTokenChallenge: string
}

/** The session of a request, as `c.var.session` tells it. */
export interface SessionContext {
  id: string
}

/** Set by `userContext()`. */
export interface UserVariables {
  user: UserContext | null
  auth: AuthInfo | undefined
  caller: Caller
}

/** Set by `session()`. */
export interface SessionVariables {
  session: SessionContext | null
  /** While `initialize` is answered: settles when its session is open, or will not be. */
  sessionOpened?: Promise<void>
}

/** Set by whoever asks the ledger. */
export interface LimitVariables {
  /** Where the rate limit stands; null where there is none. */
  rate: RateState | null
  /** Where the budget stands that is nearest its end; null where there is none. */
  budget: BudgetState | null
  /** There once the quotas in the database have been judged for this request, so that nobody counts it twice. */
  ratesJudged?: true
  budgetsJudged?: true
}

/** What a tool, or a handler, says that it used of one model. */
export interface UsageReport {
  /** @default 'unknown' */
  model?: string
  /** Whole tokens. @default 0 */
  promptTokens?: number
  /** Whole tokens. @default 0 */
  completionTokens?: number
  /** Of the prompt's tokens, those that were read from a cache. @default 0 */
  cachedTokens?: number
  /** Of the completion's tokens, those of reasoning that nobody reads. @default 0 */
  reasoningTokens?: number
  /** USD, where the tool knows it. @default the model's price */
  cost?: number | string
  /** Whose it is, in a batch: the id of the JSON-RPC request. @default the first call of a tool */
  requestId?: string | number
}

/** Where a tool reports, as `authInfo.extra.usage` and `c.var.usage`. */
export interface UsageReporter {
  /**
   * Adds to what the call used: as often as there is something, for as many models as there are.
   * @throws TypeError for what cannot be counted.
   * @example extra.authInfo?.extra?.usage.add({ model: 'gpt-4o', promptTokens: 1200, completionTokens: 80 })
   */
  add(report: UsageReport): void
  /** Holds the call for so many seconds from now: it will take longer than `holdSeconds` without a word. */
  hold(seconds: number): Promise<void>
}

/** Set by whoever opens calls. */
export interface MeterVariables {
  usage: UsageReporter
}

/** Everything `mcpUserContext()` sets. */
export type McpVariables = UserVariables &
  MessageVariables &
  SessionVariables &
  LimitVariables &
  Partial<MeterVariables>

/**
 * Reads a variable that another middleware must have set.
 * @throws Error naming the middleware to mount first; a wrong order is a programmer's mistake, not a refusal.
 */
export function requireVar<K extends keyof McpVariables>(
  c: Context,
  name: K,
  setBy: string,
): McpVariables[K] {
  const value: McpVariables[K] | undefined = c.get(name)
  if (value === undefined) throw new Error(`c.var.${name} is not set: mount ${setBy} before this middleware`)
  return value
}

/** Puts a verified caller where the other middlewares and the handler look. */
export function setUser(c: Context, { user, auth, caller }: UserVariables): void {
  c.set('user', user)
  c.set('auth', auth)
  c.set('caller', caller)
}
