import type { Context, MiddlewareHandler } from 'hono'
import { ask } from './admission.ts'
import { type AuthenticatorOptions, createAuthenticator } from './auth/authenticator.ts'
import { browserGuard, type BrowserGuardOptions } from './auth/origin.ts'
import { resolveSql, type SqlSource } from './db/client.ts'
import { countFaults, mcpRefusal, refuseFaults, sqlFaults } from './errors.ts'
import type { RateDemand } from './ledger/types.ts'
import { type OnLimit, onLimitFaults, refuseMessage } from './limit-answer.ts'
import { limitHeaders } from './limit-refusal.ts'
import { createAbuseCap, DEFAULT_ABUSE_CAP } from './limits/abuse-cap.ts'
import { expectationOf, quotaFaults, type QuotaRule } from './limits/quota-rule.ts'
import { isCounted } from './mcp/message.ts'
import { readMessage } from './mcp/read-message.ts'
import { rateDemand, rateFaults, type RateLimitRule } from './limits/rate-rule.ts'
import type { SessionRules } from './sessions/life-cycle.ts'
import { sessionStep } from './sessions/session.ts'
import { callsOf } from './usage/calls.ts'
import type { TokenCounter } from './usage/count.ts'
import { meterCalls } from './usage/meter-calls.ts'
import { type Caller, type McpVariables, setUser } from './variables.ts'

/** Everything `mcpUserContext()` can be told; `sql`, `tokens` and `resource` are needed. */
export interface McpUserContextOptions extends AuthenticatorOptions, BrowserGuardOptions {
  /** One pool on Node and Bun; on Workers a function that gives the client of the request. */
  sql: SqlSource
  /** How long sessions live without a call, and how many a user may have. */
  session?: SessionRules
  /** Seconds after which a call that never ends is closed as a timeout. @default 300 */
  holdSeconds?: number
  /**
   * Calls of one user that may run at once; a further one is refused with 429. Discovery does not count.
   * @default no limit
   */
  maxCallsInFlight?: number
  /** How fast calls may come; a rate in the database takes its place. Discovery does not count. @default no limit */
  rateLimit?: RateLimitRule
  /** What calls are expected to use, of the budgets in the database. @default nothing */
  quota?: QuotaRule
  /** Counts the tokens of texts, for tools that report nothing. @default a quarter of the characters */
  countTokens?: TokenCounter
  /** How a call is refused by a limit. @default 'error' */
  onLimit?: OnLimit
  /**
   * Requests of one user in a minute and in one process that no limit counts: discovery, initialize, notifications,
   * ping, GET and DELETE. Past it they answer 503.
   * @default 1200
   */
  maxUncountedPerMinute?: number
  /** Bound of a POST body in bytes. @default 4 MiB */
  maxBodyBytes?: number
  /**
   * Name of the MCP server, where several stand behind one database: its tools are recorded as `NAME/tool`, which is
   * what prices, quotas and reports know them by, and a `rateLimit` per user is its own. 1 to 40 letters, digits,
   * dots, dashes or underscores.
   * @default none: tools are recorded by their own names
   */
  server?: string
}

const SERVER = /^[\w.-]{1,40}$/

/** A rate per user holds them at this server alone. */
const ownRate = (
  rate: RateDemand | null,
  server: string | undefined,
  { identity }: Caller,
): RateDemand | null =>
  rate === null || server === undefined || rate.per !== 'user' || identity === null
    ? rate
    : { ...rate, key: `${server} ${identity.fallbackId}` }

/**
 * Everything in the one right order: keeps strange web pages out, verifies the token, reads the message, asks the
 * ledger once for session and record, runs the handler, and closes each call when its answer has ended.
 * @param options see each field; wrong ones stop the start.
 * @returns middleware for the MCP endpoint. It sets `c.var.user`, `auth`, `session`, `message` and `parsedBody`, and
 *   answers 401, 403, 404, 400, 413, 415 or 503 itself, always before the handler runs.
 * @throws TypeError at creation, naming every fault of the options.
 * @example
 * ```ts
 * app.all('/mcp', mcpUserContext({ sql, tokens: { secret, issuer, audience: resource }, resource }), serveMcp(handler))
 * ```
 */
export function mcpUserContext(
  options: McpUserContextOptions,
): MiddlewareHandler<{ Variables: McpVariables }> {
  const {
    sql,
    session = {},
    holdSeconds,
    maxBodyBytes,
    maxCallsInFlight,
    rateLimit,
    quota = {},
    onLimit,
  } = options
  const { maxUncountedPerMinute, countTokens, server } = options
  refuseFaults('mcpUserContext', [
    ...sqlFaults(sql),
    ...(rateLimit === undefined ? [] : rateFaults(rateLimit)),
    ...quotaFaults(quota),
    ...onLimitFaults(onLimit),
    ...countFaults({ holdSeconds, maxBodyBytes, maxCallsInFlight, maxUncountedPerMinute, ...session }),
    ...(server === undefined || SERVER.test(server)
      ? []
      : ['server must be 1 to 40 letters, digits, dots, dashes or underscores']),
  ])
  const rate = rateLimit === undefined ? null : rateDemand(rateLimit)
  const abuseCap = createAbuseCap(
    maxUncountedPerMinute === undefined
      ? DEFAULT_ABUSE_CAP
      : { limit: maxUncountedPerMinute, windowSeconds: 60, burst: maxUncountedPerMinute },
  )
  const guard = browserGuard(options)
  const authenticate = createAuthenticator(options)

  /** @returns a refusal, or nothing when the handler has answered. */
  async function govern(
    c: Context<{ Variables: McpVariables }>,
    next: () => Promise<void>,
  ): Promise<Response | void> {
    const authentication = await authenticate(c.req.raw.headers, {
      sql: resolveSql(sql, c),
      judgedAgain: true,
    })
    if (!authentication.ok) return mcpRefusal(authentication.refusal)
    setUser(c, authentication.variables)

    const message = await readMessage(c, maxBodyBytes === undefined ? {} : { maxBodyBytes })
    if (message !== null && 'code' in message) return mcpRefusal(message, message.id)
    const counts = message?.requests.some(({ method }) => isCounted(method)) ?? false
    const capped = counts ? null : abuseCap(c, Math.max(message?.requests.length ?? 0, 1))
    if (capped !== null) return refuseMessage(capped, message)
    const step = await sessionStep(c, message, session, server)
    if ('code' in step) return refuseMessage(step, message)

    const calls = callsOf(message, holdSeconds, (tool) => expectationOf(quota, tool), server)
    const startedAt = performance.now()
    c.set('session', null)
    const refusal = await ask(c, sql, {
      session: step.demand,
      calls: calls.map(({ call }) => call),
      maxCallsInFlight: maxCallsInFlight ?? null,
      rate: ownRate(rate, server, c.get('caller')),
      quotas: { rates: true, budgets: true },
    })
    if (refusal !== null) return refuseMessage(refusal, message, onLimit)
    const client = resolveSql(sql, c)
    const headers = limitHeaders({ rate: c.get('rate'), budget: c.get('budget') })
    await meterCalls(c, client, { calls, startedAt, headers, countTokens }, () => step.run(client, next))
  }

  return async function mcpUserContext(c, next) {
    return await guard(c, async () => {
      const refusal = await govern(c, next)
      if (refusal !== undefined) c.res = refusal
    })
  }
}
