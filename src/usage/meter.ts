import type { MiddlewareHandler } from 'hono'
import { ask } from '../admission.ts'
import { resolveSql, type SqlSource } from '../db/client.ts'
import { countFaults, mcpRefusal, problem, refuseFaults, sqlFaults } from '../errors.ts'
import { requestIds } from '../mcp/json-rpc.ts'
import { readMessage } from '../mcp/read-message.ts'
import { apiCall, callsOf, DEFAULT_HOLD_SECONDS } from './calls.ts'
import type { TokenCounter } from './count.ts'
import { isMetered, meterCalls, sessionOf } from './meter-calls.ts'

/** Where calls are recorded, and as what. */
export interface MeterOptions {
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
  /** Counts the tokens of texts, for tools that report nothing. @default a quarter of the characters */
  countTokens?: TokenCounter
}

/**
 * Records every call without judging it: an open row before the handler runs, closed when the response has ended.
 * Mount it after `userContext()`, and after `session()` where there is one.
 * @returns middleware; answers 503 when the database is out of reach, before the handler runs.
 * @throws TypeError at creation, naming every fault of the options.
 * @example app.all('/mcp', userContext(options), meter({ sql }), serveMcp(handler))
 */
export const meter = ({
  sql,
  kind = 'mcp',
  holdSeconds = DEFAULT_HOLD_SECONDS,
  countTokens,
}: MeterOptions): MiddlewareHandler => {
  refuseFaults('meter', [...sqlFaults(sql), ...countFaults({ holdSeconds })])
  return async function meter(c, next) {
    if (isMetered(c)) return await next()
    const message = kind === 'mcp' ? await readMessage(c) : null
    if (message !== null && 'code' in message) return mcpRefusal(message, message.id)
    const calls = kind === 'mcp' ? callsOf(message, holdSeconds) : [apiCall(c, holdSeconds)]
    if (calls.length === 0) return await next()
    const startedAt = performance.now()
    const recordedSession = kind === 'mcp' ? sessionOf(c) : null
    const refusal = await ask(c, sql, {
      session: null,
      recordedSession,
      calls: calls.map(({ call }) => call),
    })
    if (refusal !== null) return kind === 'mcp' ? mcpRefusal(refusal, requestIds(message)) : problem(refusal)
    return await meterCalls(c, resolveSql(sql, c), { calls, startedAt, countTokens }, next)
  }
}
