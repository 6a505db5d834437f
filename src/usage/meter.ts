import type { Context, MiddlewareHandler } from 'hono'
import { ask } from '../admission.ts'
import { resolveSql, type Sql, type SqlSource } from '../db/client.ts'
import { countFaults, mcpRefusal, problem, refuseFaults, replaceResponse, sqlFaults } from '../errors.ts'
import { newCallId } from '../ledger/call-id.ts'
import { ledgerOf } from '../ledger/ledger.ts'
import type { CallToOpen, Estimate } from '../ledger/types.ts'
import { type RequestId, requestIds } from '../mcp/json-rpc.ts'
import type { McpMessage } from '../mcp/message.ts'
import { readMessage } from '../mcp/read-message.ts'
import type { MeterVariables, SessionVariables, UsageReporter, UserVariables } from '../variables.ts'
import { type BodyEnd, watchBody } from './body-end.ts'
import { createUsageCollector, type UsageCollector } from './collector.ts'
import { defer } from './defer.ts'
import { failure, type Outcome, outcomesOfBody } from './outcome.ts'
import { createSseReader } from './sse-reader.ts'

/** Where calls are recorded, and as what. */
export interface MeterOptions {
  /** The pool (Node, Bun), or the client of a request (Workers). */
  sql: SqlSource
  /** `mcp`: each JSON-RPC request of a POST is a call. `api`: the HTTP request is. @default 'mcp' */
  kind?: 'mcp' | 'api'
  /** Seconds after which a call that never ends is closed as a timeout. @default 300 */
  holdSeconds?: number
}

export const DEFAULT_HOLD_SECONDS = 300

/** A call of this request: what is sent to the ledger, and the id that its response carries. */
export interface MeteredCall {
  call: CallToOpen
  /** The JSON-RPC id; null for an HTTP request of kind `api`. */
  rpcId: RequestId | null
}

/** What is known of a tool before it is called. */
export type Expect = (tool: string | null) => { estimate?: Estimate; holdSeconds?: number }

/** The calls that a message makes: one for each request in it. */
export const callsOf = (
  message: McpMessage | null,
  holdSeconds = DEFAULT_HOLD_SECONDS,
  expect: Expect = () => ({}),
): MeteredCall[] =>
  (message?.requests ?? []).map(({ id, method, tool }) => ({
    call: { id: newCallId(), method, tool, kind: 'mcp', holdSeconds, ...expect(tool) },
    rpcId: id,
  }))

/** The call that an HTTP request is. */
export const apiCall = (
  c: Context,
  holdSeconds = DEFAULT_HOLD_SECONDS,
  expect: Expect = () => ({}),
): MeteredCall => ({
  call: {
    id: newCallId(),
    method: `${c.req.method} ${c.req.path}`,
    tool: null,
    kind: 'api',
    holdSeconds,
    ...expect(null),
  },
  rpcId: null,
})

/** Whether a middleware before has opened the calls of this request: they are recorded once. */
export const isMetered = (c: Context): boolean => (c.var as Partial<MeterVariables>).usage !== undefined

/**
 * Runs the handler and closes the calls when its body has ended or was cancelled. Their rows are open already.
 * @param startedAt `performance.now()` of the admission.
 */
export async function meterCalls(
  c: Context,
  sql: Sql,
  calls: MeteredCall[],
  next: () => Promise<void>,
  startedAt: number,
): Promise<void> {
  const collector = tellUsage(c, sql, calls)
  const close: Close = async (outcomes, otherwise) => {
    const durationMs = performance.now() - startedAt
    const { sessionOpened } = c.var as Partial<SessionVariables>
    // `session()` around this meter opens the session of `initialize` after the handler; whether it can is told there.
    if (sessionOpened !== undefined) await sessionOpened.catch(() => {})
    return await Promise.all(
      calls.map(({ call, rpcId }) => {
        const outcome = outcomes.get(rpcId) ?? otherwise
        // What the tool reported itself comes before what its result says.
        const reported = call === reporterOf(calls)?.call ? collector.lines() : []
        const usage = reported.length > 0 ? reported : (outcome.usage ?? [])
        return ledgerOf(sql).close({ id: call.id, durationMs, sessionId: sessionOf(c), ...outcome, usage })
      }),
    )
  }
  try {
    await next()
  } catch (error) {
    defer(c, close(new Map(), THREW))
    throw error
  }
  if (calls.length === 0) return
  const renew: Renew = {
    everyMs: calls[0]!.call.holdSeconds * 500,
    run: () => ledgerOf(sql).renew(calls.map(({ call }) => call)),
  }
  if (c.error === undefined) await closeWithBody(c, calls[0]!.call.kind, close, renew)
  else defer(c, close(new Map(), THREW))
}

const THREW = failure('the handler threw')
const SUCCESS: Outcome = { status: 'success', error: null }
const sessionOf = (c: Context): string | null => (c.var as Partial<SessionVariables>).session?.id ?? null

type Outcomes = ReadonlyMap<RequestId | null, Outcome>
/** Closes every call: with its own outcome, or as all those whose response was not seen. */
type Close = (outcomes: Outcomes, otherwise: Outcome) => Promise<unknown>

/** Whose usage it is that handlers report: a batch has one `authInfo` for all its calls. */
const reporterOf = (calls: MeteredCall[]): MeteredCall | undefined =>
  calls.find(({ call }) => call.tool !== null) ?? calls[0]

/** Puts the reporter where tools and handlers look. */
function tellUsage(c: Context, sql: Sql, calls: MeteredCall[]): UsageCollector {
  const collector = createUsageCollector()
  const usage: UsageReporter = {
    add: (report) => collector.add(report),
    async hold(seconds) {
      await ledgerOf(sql).renew(calls.map(({ call }) => ({ id: call.id, holdSeconds: seconds })))
    },
  }
  const { auth } = c.var as Partial<UserVariables>
  c.set('usage', usage)
  if (auth !== undefined) c.set('auth', { ...auth, extra: { ...auth.extra, usage } })
  return collector
}

/** Keeps the calls of an open stream from being taken for lost. */
interface Renew {
  everyMs: number
  run: () => Promise<void>
}

async function closeWithBody(c: Context, kind: 'mcp' | 'api', close: Close, renew: Renew): Promise<void> {
  const { res } = c
  const type = res.headers.get('content-type') ?? ''
  const unanswered = failure(res.ok ? 'no result' : `HTTP ${res.status}`)
  if (kind === 'api') {
    const complete = res.status < 400 ? SUCCESS : unanswered
    return watch(
      c,
      () => {},
      (end) => close(new Map(), end === 'complete' ? complete : brokenOff(end)),
      renew,
    )
  }
  if (/^application\/json\b/i.test(type) && res.body !== null) {
    try {
      const text = await res.text()
      defer(c, close(outcomesOfBody(text), unanswered))
      return replaceBody(c, text)
    } catch (error) {
      defer(c, close(new Map(), brokenOff('failed')))
      // Its headers would be merged into the answer to the error, its length among them.
      c.res = undefined
      throw error
    }
  }
  const outcomes = new Map<RequestId | null, Outcome>()
  const reader = createSseReader((data) => {
    for (const [id, outcome] of outcomesOfBody(data)) outcomes.set(id, outcome)
  })
  const onChunk = /^text\/event-stream\b/i.test(type) ? reader.push : () => {}
  const onEnd = (end: BodyEnd): Promise<unknown> => {
    const unseen = reader.oversized() ? SUCCESS : unanswered
    return close(outcomes, end === 'complete' ? unseen : brokenOff(end))
  }
  watch(c, onChunk, onEnd, renew)
}

const brokenOff = (end: BodyEnd): Outcome =>
  failure(end === 'cancelled' ? 'cancelled: the client left before the result' : 'the response broke off')

function watch(
  c: Context,
  onChunk: (chunk: Uint8Array) => void,
  onEnd: (end: BodyEnd) => Promise<unknown>,
  renew: Renew,
): void {
  const body = c.res.body as ReadableStream<Uint8Array> | null
  // Nobody reads the body of an answer to HEAD.
  if (body === null || c.req.method === 'HEAD') return defer(c, onEnd('complete'))
  // Told of now, while the request is there to be told: Workers give no later moment when the client has left.
  const renewing = setInterval(() => void renew.run(), renew.everyMs)
  defer(
    c,
    new Promise((resolve) => {
      const ended = (end: BodyEnd): void => {
        clearInterval(renewing)
        resolve(onEnd(end))
      }
      replaceBody(c, watchBody(body, onChunk, ended))
    }),
  )
}

const replaceBody = (c: Context, body: string | ReadableStream<Uint8Array>): void =>
  replaceResponse(c, new Response(body, c.res))

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
    return await meterCalls(c, resolveSql(sql, c), calls, next, startedAt)
  }
}
