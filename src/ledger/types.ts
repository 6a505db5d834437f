/** What the ledger must know to find, or make at first sight, the row of a user. */
export interface LedgerCaller {
  issuer: string
  subject: string
  /** The id at first sight: the subject where it is a UUID, else the fallback. */
  firstId: string
  /** UUIDv5 of issuer and subject: the id when the first is taken by somebody else. */
  fallbackId: string
  email: string | null
  name: string | null
  department: string | null
  role: string
  /** The token's `iat`, or when an access token was made; compared with the moment at which the user was cut off. */
  issuedAt: Date | null
}

/** Seconds without a call after which a session counts as idle that says nothing else: the default of its column. */
export const DEFAULT_IDLE_AFTER_SECONDS = 5 * 60

/** The session a request says it belongs to: one named on the wire, or one derived from what the client says. */
export type SessionDemand =
  | { id: string }
  | {
      /** Client name and version; together with the user it names the derived session. */
      key: string
      client: DerivedClient
      /** Seconds without a call after which it ends. */
      timeoutSeconds: number
      /** Seconds without a call after which it is shown as idle; left out for the default. */
      idleAfterSeconds?: number
      /** Live sessions of the user at most, when this one is made; null for no limit. */
      maxPerUser?: number | null
    }

/** What is kept of a client when its derived session is made. */
export interface DerivedClient {
  client_type: string
  client_name: string
  client_version: string | null
  protocol_version: string | null
  capabilities: Record<string, unknown> | null
  metadata: Record<string, unknown>
}

/** What a call is expected to use. It is admitted only if every budget has that much left. */
export interface Estimate {
  /** Whole tokens. */
  tokens: number
  /** Decimal USD. */
  cost: string
}

/** A call that waits to be admitted. */
export interface CallToOpen {
  /** Time-ordered UUID, made by this instance: the same call sent twice is one row. */
  id: string
  method: string
  tool: string | null
  /** A JSON-RPC request, or one HTTP request of any other route. */
  kind: 'mcp' | 'api'
  /** Size of the request. */
  bytes?: number
  /** Seconds after which a call that never closes is closed as a timeout, and charged at its estimate. */
  holdSeconds: number
  /** Left out: nothing, so that budgets of tokens and cost refuse when they are used up, and not before. */
  estimate?: Estimate
}

/** How fast calls may come: `limit` in `windowSeconds`, `burst` of them at once. */
export interface RateDemand {
  limit: number
  windowSeconds: number
  burst: number
  per: 'user' | 'user-and-tool' | 'department'
  /** Whom it holds in place of the user. */
  key?: string | null
  /** Calls that are limited here and recorded elsewhere; those of the request count anyway. */
  calls?: number
}

/** Where a rate limit stands after a request was judged: the one that refused it, or the nearest. */
export interface RateState {
  limit: number
  windowSeconds: number
  /** Calls that would be admitted at once. */
  remaining: number
  /** Milliseconds until all of the burst is there again. */
  resetMs: number
}

export type QuotaScope = 'user' | 'department' | 'everyone' | 'each_user' | 'each_department'
/** `unpriced`: calls with a model that had no price, which is known when they have ended. */
export type QuotaMetric = 'requests' | 'tokens' | 'cost' | 'unpriced'
export type QuotaWindow = 'minute' | 'hour' | 'day' | 'week' | 'month' | 'total'

/** Where a budget stands after a request was judged: the one that refused it, or the one that is nearest its end. */
export interface BudgetState {
  scope: QuotaScope
  metric: QuotaMetric
  window: QuotaWindow
  /** Requests, tokens, USD or unpriced calls, as a decimal. */
  limit: string
  remaining: string
  /** The current window; null for one without a beginning or an end. */
  startsAt: Date | null
  resetsAt: Date | null
  /** The highest share of the limit that is passed, of those at which the quota warns. */
  warning: number | null
}

/** Another budget of a request that was refused, and what is left of it. */
export interface BudgetLeft {
  scope: QuotaScope
  metric: QuotaMetric
  window: QuotaWindow
  tools: string[] | null
  models: string[] | null
  remaining: string
}

/** One HTTP request that asks: admitted or refused whole. */
export interface AdmissionRequest {
  /** Null for nobody: an anonymous caller or a program. */
  caller: LedgerCaller | null
  /** The id of the access token of ours that the caller came with: it says nothing new of its user, and is judged too. */
  accessToken?: string | null
  session: SessionDemand | null
  /** A session that was judged before: the calls take its id, and it is not judged again. */
  recordedSession?: string | null
  calls: CallToOpen[]
  /** Calls of the user in flight at most, these included; null for no limit. */
  maxCallsInFlight?: number | null
  rate?: RateDemand | null
  /** Which quotas in the database are judged. Budgets are charged in any case. */
  quotas?: { rates: boolean; budgets: boolean }
}

/** The user as their row has it, which is the truth. */
export interface LedgerUser {
  id: string
  email: string | null
  name: string | null
  department: string | null
  role: string
}

/** Why a request is refused; each is the code of a refusal on the wire. */
export type LedgerRefusal =
  | 'blocked'
  | 'invalid_token'
  | 'session_not_found'
  | 'too_many_calls'
  | 'rate_limited'
  | 'quota_exceeded'

/** A no, for data of the refusal on the wire. */
export interface RefusedVerdict {
  admitted: false
  code: LedgerRefusal
  /** The row of the user who was refused. */
  userId: string | null
  /** The quota in the database that refused; null for a limit of the configuration. */
  quotaId: string | null
  /** How many calls that limits count. */
  calls: number
  /** Left out where time makes no room: in a window without end, or for more than there ever is. */
  retryAfterMs?: number
  rate?: RateState
  budget?: BudgetState
  /** Only what calls in flight hold is in the way. */
  held?: boolean
  /** Other budgets of the request. */
  elsewhere?: BudgetLeft[]
}

export interface AdmittedVerdict {
  admitted: true
  user: LedgerUser | null
  sessionId: string | null
  rate?: RateState
  budget?: BudgetState
}

export type Verdict = AdmittedVerdict | RefusedVerdict

/** What a call used of one model. */
export interface UsageLine {
  model: string
  promptTokens: number
  completionTokens: number
  /** Of the prompt's, those that were read from a cache. */
  cachedTokens?: number
  /** Of the completion's, those that nobody reads. */
  reasoningTokens?: number
  /** Decimal USD, where the tool knows it; left out for the model's price. */
  cost?: string | undefined
}

/** Refusals that an instance gave by itself, for the counts. */
export interface RefusalCount {
  /** A moment of the quarter of an hour. */
  at: Date
  userId: string | null
  code: LedgerRefusal
  quotaId: string | null
  calls: number
}

/** How a call ended. */
export interface CallToClose {
  id: string
  status: 'success' | 'error' | 'timeout'
  durationMs: number
  /** At most 500 characters are kept. */
  error: string | null
  /** The session that the call began (initialize): a call that has none yet takes it. */
  sessionId?: string | null
  usage?: UsageLine[]
  /** Tokens as texts were counted, for when no usage is known. */
  counted?: { promptTokens: number; completionTokens: number } | undefined
  /** Size of the response. */
  bytes?: number | undefined
  /** It asked the client for input or a scope, and costs no request: the client comes again with the same one. */
  round?: boolean
}

/** The one mechanism that admits calls and records them. */
export interface Ledger {
  /**
   * Waits for the next group, and with it for the commit that records the calls as open.
   * @throws DatabaseUnavailableError when the database stays out of reach; the calls must then not run.
   */
  admit(request: AdmissionRequest): Promise<Verdict>
  /** Queues the end of a call. Resolves when it is committed; never rejects. */
  close(call: CallToClose): Promise<void>
  /** Holds calls that go on for as long again: an open stream is not lost. Never rejects. */
  renew(calls: Pick<CallToOpen, 'id' | 'holdSeconds'>[]): Promise<void>
  /** Resolves when nothing waits and nothing is in flight. */
  drained(): Promise<void>
  /** Resolves when every call that was admitted here has ended and its end is on record: for a graceful end. */
  settled(): Promise<void>
}
