import type { Context, MiddlewareHandler } from 'hono'
import { ask } from '../admission.ts'
import type { SqlSource } from '../db/client.ts'
import { addHeaders, mcpRefusal, problem, type Refusal, refuseFaults } from '../errors.ts'
import { type OnLimit, onLimitFaults, refuseMessage } from '../limit-answer.ts'
import { limitHeaders, rateRefusal } from '../limit-refusal.ts'
import { isCounted, type McpMessage } from '../mcp/message.ts'
import { readMessage } from '../mcp/read-message.ts'
import type { UserVariables } from '../variables.ts'
import { createMemoryStore } from './memory-store.ts'
import { rateDemand, rateFaults, type RateLimitRule } from './rate-rule.ts'

/** A rule, whom it holds, and where it is kept. */
export interface RateLimitOptions extends RateLimitRule {
  /** The pool (Node, Bun), or the client of a request (Workers): exact across instances. Else one process's memory. */
  sql?: SqlSource
  /** Whom the limit holds in place of the user; null for a request that is not limited. @default the user */
  key?: (c: Context) => string | null | Promise<string | null>
  /** `mcp`: each JSON-RPC request of a POST counts, but for discovery. `api`: the HTTP request does. @default 'mcp' */
  kind?: 'mcp' | 'api'
  /** How a call on an MCP endpoint is refused. @default 'error' */
  onLimit?: OnLimit
  /** The moment to judge at, for limits in memory. @default the process's clock */
  now?: () => Date
}

/**
 * Holds calls to a rate, alone on any route; `mcpUserContext({ rateLimit })` does the same within its one question.
 * Mount it after `userContext()`, or give it a `key`.
 * @returns middleware; answers 429 with `Retry-After`, `RateLimit-Policy` and `RateLimit` once the rate is spent, and
 *   503 when the database is out of reach. Requests of nobody, and discovery, are not limited.
 * @throws TypeError at creation, naming every fault of the options.
 * @example app.use('/mcp', userContext(options), rateLimit({ sql, limit: 60, windowSeconds: 60 }))
 */
export const rateLimit = (options: RateLimitOptions): MiddlewareHandler => {
  const { sql, key, kind = 'mcp', onLimit, now = () => new Date() } = options
  refuseFaults('rateLimit', [...rateFaults(options), ...onLimitFaults(options.onLimit)])
  const demand = rateDemand(options)
  const memory = createMemoryStore()

  /** Whom the limit holds in a store without users; null for nobody. */
  async function holderOf(c: Context): Promise<string | null> {
    if (key !== undefined) return await key(c)
    const { user } = c.var as Partial<UserVariables>
    if (demand.per === 'department' && user?.department) return `department ${user.department}`
    return user?.id ?? null
  }

  function takeFromMemory(c: Context, holder: string | null, calls: number): Refusal | null {
    if (holder === null) return null
    const decision = memory.take(holder, demand, calls, now().getTime())
    const { limit, windowSeconds } = demand
    const { remaining, resetMs } = decision
    c.set('rate', { limit, windowSeconds, remaining, resetMs })
    if (decision.allowed) return null
    // More than may ever come at once: no time makes room for them.
    const retryAfterMs = calls > demand.burst ? undefined : decision.retryAfterMs
    return { ...rateRefusal(c.get('rate'), retryAfterMs), headers: limitHeaders({ rate: c.get('rate') }) }
  }

  return async function rateLimit(c, next) {
    const message = kind === 'mcp' ? await readMessage(c) : null
    if (message !== null && 'code' in message) return mcpRefusal(message, message.id)
    const calls = kind === 'api' ? 1 : countOf(message)
    if (calls === 0) return await next()
    const holder = key === undefined ? null : await key(c)
    if (key !== undefined && holder === null) return await next()
    const refusal =
      sql === undefined
        ? takeFromMemory(c, await holderOf(c), calls)
        : await ask(c, sql, {
            session: null,
            calls: [],
            rate: { ...demand, key: holder, calls },
            // Once for each request, whoever asks first.
            quotas: { rates: key === undefined && c.get('ratesJudged') === undefined, budgets: false },
          })
    if (refusal !== null) return kind === 'mcp' ? refuseMessage(refusal, message, onLimit) : problem(refusal)
    const headers = limitHeaders({ rate: c.get('rate') })
    await next()
    addHeaders(c, headers)
  }
}

const countOf = (message: McpMessage | null): number =>
  (message?.requests ?? []).filter(({ method }) => isCounted(method)).length
