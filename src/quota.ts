import type { MiddlewareHandler } from 'hono'
import { ask } from './admission.ts'
import { resolveSql, type SqlSource } from './db/client.ts'
import { countFaults, mcpRefusal, problem, refuseFaults, sqlFaults } from './errors.ts'
import { type OnLimit, onLimitFaults, refuseMessage } from './limit-answer.ts'
import { limitHeaders } from './limit-refusal.ts'
import { expectationOf, quotaFaults, type QuotaRule } from './limits/quota-rule.ts'
import { readMessage } from './mcp/read-message.ts'
import { apiCall, callsOf } from './usage/calls.ts'
import type { TokenCounter } from './usage/count.ts'
import { isMetered, meterCalls } from './usage/meter-calls.ts'
import type { SessionVariables } from './variables.ts'

/** Where budgets are kept, and what calls are expected to use of them. */
export interface QuotaOptions extends QuotaRule {
  /** The pool (Node, Bun), or the client of a request (Workers). */
  sql: SqlSource
  /**
   * `mcp`: each JSON-RPC request of a POST is a call. `api`: the HTTP request is, recorded by its method and, as its
   * tool, by the pattern of its route, such as `GET /reports/:id`.
   * @default 'mcp'
   */
  kind?: 'mcp' | 'api'
  /** Seconds after which a call that never ends is closed as a timeout. @default 300 */
  holdSeconds?: number
  /** How a call on an MCP endpoint is refused. @default 'error' */
  onLimit?: OnLimit
  /** Counts the tokens of texts, for tools that report nothing. @default a quarter of the characters */
  countTokens?: TokenCounter
}

/**
 * Holds calls to the rates and budgets in the database, alone on any route; `mcpUserContext()` does the same within
 * its one question. To hold a call is to record it, so no `meter()` is needed, and one beside it records nothing.
 * Mount it after `userContext()`, and after `session()` where there is one.
 * @returns middleware; answers 429 with `Retry-After`, `RateLimit-Policy` and `RateLimit` when a budget has no room
 *   for what the call is expected to use, and 503 when the database is out of reach, before the handler runs.
 * @throws TypeError at creation, naming every fault of the options.
 * @example app.use('/reports/*', userContext(options), quota({ sql, kind: 'api', estimate: { cost: '0.02' } }))
 */
export const quota = ({
  sql,
  kind = 'mcp',
  holdSeconds,
  onLimit,
  countTokens,
  ...rule
}: QuotaOptions): MiddlewareHandler => {
  refuseFaults('quota', [
    ...sqlFaults(sql),
    ...quotaFaults(rule),
    ...onLimitFaults(onLimit),
    ...countFaults({ holdSeconds }),
  ])
  const expect = (tool: string | null) => expectationOf(rule, tool)
  return async function quota(c, next) {
    if (c.get('budgetsJudged') !== undefined) return await next()
    if (isMetered(c)) throw new Error('quota(): mount it before meter(), or in its place')
    const message = kind === 'mcp' ? await readMessage(c) : null
    if (message !== null && 'code' in message) return mcpRefusal(message, message.id)
    const calls = kind === 'mcp' ? callsOf(message, holdSeconds, expect) : [apiCall(c, holdSeconds, expect)]
    if (calls.length === 0) return await next()
    const startedAt = performance.now()
    const { session } = c.var as Partial<SessionVariables>
    const refusal = await ask(c, sql, {
      session: null,
      recordedSession: session?.id ?? null,
      calls: calls.map(({ call }) => call),
      // Once for each request, whoever asks first.
      quotas: { rates: c.get('ratesJudged') === undefined, budgets: true },
    })
    if (refusal !== null) return kind === 'mcp' ? refuseMessage(refusal, message, onLimit) : problem(refusal)
    const headers = limitHeaders({ rate: c.get('rate'), budget: c.get('budget') })
    return await meterCalls(c, resolveSql(sql, c), { calls, startedAt, headers, countTokens }, next)
  }
}
