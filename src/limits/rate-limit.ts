import type { Context, MiddlewareHandler } from 'hono'
import { ask } from '../admission.ts'
import { resolveSql, type SqlSource } from '../db/client.ts'
import { mcpRefusal, problem, rateRefusal, type Refusal, refuseFaults } from '../errors.ts'
import { requestIds } from '../mcp/json-rpc.ts'
import { isCounted, type McpMessage } from '../mcp/message.ts'
import { readMessage } from '../mcp/read-message.ts'
import type { UserVariables } from '../variables.ts'
import { createMemoryStore } from './memory-store.ts'
import { rateDemand, rateFaults, rateHeaders, type RateLimitRule } from './rate-rule.ts'

/** A rule, whom it holds, and where it is kept. */
export interface RateLimitOptions extends RateLimitRule {
  /** The pool (Node, Bun), or the client of a request (Workers): exact across instances. Else one process's memory. */
  sql?: SqlSource
  /** Whom the limit holds in place of the user; null for a request that is not limited. @default the user */
  key?: (c: Context) => string | null | Promise<string | null>
  /** `mcp`: each JSON-RPC request of a POST counts, but for discovery. `api`: the HTTP request does. @default 'mcp' */
  kind?: 'mcp' | 'api'
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
  const { sql, key, kind = 'mcp', now = () => new Date() } = options
  refuseFaults('rateLimit', rateFaults(options))
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
    c.set('rate', decision)
    return decision.allowed ? null : rateRefusal(options, decision.retryAfterMs)
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
        : await ask(c, resolveSql(sql, c), {
            session: null,
            calls: [],
            rate: { ...demand, key: holder, calls },
          })
    const headers = c.var.rate === undefined || c.var.rate === null ? {} : rateHeaders(options, c.var.rate)
    if (refusal !== null) {
      const told = { ...refusal, headers: { ...refusal.headers, ...headers } }
      return kind === 'mcp' ? mcpRefusal(told, requestIds(message)) : problem(told)
    }
    await next()
    for (const [name, value] of Object.entries(headers)) c.header(name, value)
  }
}

const countOf = (message: McpMessage | null): number =>
  (message?.requests ?? []).filter(({ method }) => isCounted(method)).length
