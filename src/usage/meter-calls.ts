import type { Context } from 'hono'
import type { Sql } from '../db/client.ts'
import { addHeaders } from '../errors.ts'
import { ledgerOf } from '../ledger/ledger.ts'
import type { CallToOpen } from '../ledger/types.ts'
import type { MessageVariables } from '../mcp/read-message.ts'
import { requestOf } from '../mcp/read-request.ts'
import type { SessionVariables, UsageReporter, UserVariables } from '../variables.ts'
import type { MeteredCall } from './calls.ts'
import {
  CANCELLED,
  type Close,
  closeWithBody,
  cutWithAccess,
  MAX_TIMER_MS,
  readRest,
  type Renew,
  SUCCESS,
} from './close-with-body.ts'
import { createUsageCollector, type UsageCollector } from './collector.ts'
import { countByLength, countCall, type TokenCounter } from './count.ts'
import { accessOf, type WatchAccess } from './cut-off.ts'
import { defer, LIVES_ON } from './defer.ts'
import { failure, type Outcome } from './outcome.ts'
import { cancelledBy, giveUp, restOf, waitForRest } from './resumption.ts'

/** Whether a middleware before has opened the calls of this request: they are recorded once. */
export const isMetered = (c: Context): boolean => c.get('usage') !== undefined

/** What is there to know of a request whose calls were admitted. */
export interface Admitted {
  calls: MeteredCall[]
  /** `performance.now()` of the admission. */
  startedAt: number
  /** What the response says of the limits. */
  headers?: Record<string, string>
  /** For tools that report nothing. */
  countTokens?: TokenCounter | undefined
}

/** Runs the handler and closes the calls when its body has ended or was cancelled. Their rows are open already. */
export async function meterCalls(
  c: Context,
  sql: Sql,
  { calls, startedAt, headers = {}, countTokens = countByLength }: Admitted,
  next: () => Promise<void>,
): Promise<void> {
  const collector = tellUsage(c, sql, calls)
  const renew: Renew = {
    everyMs: Math.min((calls[0]?.call.holdSeconds ?? Infinity) * 500, MAX_TIMER_MS),
    run: () => ledgerOf(sql).renew(calls.map(({ call }) => call)),
  }
  const close: Close = async (outcomes, otherwise, bytes, named = false) => {
    const endedAt = performance.now()
    const sessionOpened = c.get('sessionOpened') as SessionVariables['sessionOpened']
    // `session()` around this meter opens the session of `initialize` after the handler; whether it can is told there.
    if (sessionOpened !== undefined) await sessionOpened.catch(() => {})
    const sessionId = sessionOf(c)
    const reporter = reporterOf(calls)
    const waits = named && sessionId !== null && mayComeBack(c)
    return await Promise.all(
      calls.map(async (metered) => {
        const { call, rpcId } = metered
        const seen = outcomes.get(rpcId)
        const ending = unseen(call, otherwise)
        const waiting = seen === undefined && waits && rpcId !== null
        const { result, ...outcome } = waiting
          ? await whileRenewed(renew, waitForRest(sessionId, rpcId, ending))
          : (seen ?? ending)
        const durationMs = (waiting ? performance.now() : endedAt) - startedAt
        // What the tool reported itself comes before what its result says, and both before what texts come to.
        const reported = collector.lines(rpcId, metered === reporter)
        const usage = reported.length > 0 ? reported : (outcome.usage ?? [])
        const counted =
          usage.length > 0 || call.tool === null || call.kind === 'api' || outcome.round === true
            ? undefined
            : countCall(countTokens, metered.arguments, result)
        return await ledgerOf(sql).close({
          id: call.id,
          durationMs,
          sessionId,
          bytes,
          ...outcome,
          usage,
          counted,
        })
      }),
    )
  }
  try {
    await next()
  } catch (error) {
    defer(c, close(new Map(), THREW))
    throw error
  }
  const access = accessOf(c, sql)
  if (calls.length === 0) return endOthers(c, access, headers)
  const ids = calls.map(({ rpcId }) => rpcId)
  if (c.error === undefined)
    return await closeWithBody(c, calls[0]!.call.kind, { close, renew, access, ids, headers })
  defer(c, close(new Map(), THREW))
  addHeaders(c, headers)
}

/** A session's stream may be taken up again, by the process that keeps what waits. 2026-07-28 has no such thing. */
const mayComeBack = (c: Context): boolean =>
  LIVES_ON && (c.get('message') as MessageVariables['message'])?.era === '2025-11-25'

async function whileRenewed<T>({ everyMs, run }: Renew, work: Promise<T>): Promise<T> {
  const renewing = setInterval(() => void run(), everyMs)
  try {
    return await work
  } finally {
    clearInterval(renewing)
  }
}

/** A request without calls may end those of others: by their rest, by a cancel, or with the session. */
function endOthers(c: Context, access: WatchAccess, headers: Record<string, string>): void {
  const sessionId = sessionOf(c)
  const { method } = c.req
  if (sessionId !== null && LIVES_ON) {
    if (method === 'DELETE') giveUp(sessionId)
    const cancelled = method === 'POST' ? cancelledBy(c.get('parsedBody')) : undefined
    if (cancelled !== undefined) giveUp(sessionId, cancelled, CANCELLED)
    const takesUp = method === 'GET' && requestOf(c).headers.has('last-event-id')
    if (takesUp && /^text\/event-stream\b/i.test(c.res.headers.get('content-type') ?? '')) {
      return readRest(c, restOf(sessionId), { access, headers })
    }
  }
  addHeaders(c, headers)
  cutWithAccess(c, access)
}

const THREW = failure('the handler threw')

/** A subscription ends when its client leaves; any other call was cut off. */
const unseen = ({ method }: CallToOpen, otherwise: Outcome): Outcome =>
  method === 'subscriptions/listen' && otherwise === CANCELLED ? SUCCESS : otherwise

/** The session of a request, where there is one. */
export const sessionOf = (c: Context): string | null =>
  (c.get('session') as SessionVariables['session'] | undefined)?.id ?? null

/** Whose usage it is that handlers report: a batch has one `authInfo` for all its calls. */
const reporterOf = (calls: MeteredCall[]): MeteredCall | undefined =>
  calls.find(({ call }) => call.tool !== null) ?? calls[0]

/** A year. */
const MAX_HOLD_SECONDS = 366 * 24 * 60 * 60

/** Puts the reporter where tools and handlers look. */
function tellUsage(c: Context, sql: Sql, calls: MeteredCall[]): UsageCollector {
  const collector = createUsageCollector()
  const usage: UsageReporter = {
    add: (report) => collector.add(report),
    async hold(seconds) {
      if (!(seconds > 0 && seconds <= MAX_HOLD_SECONDS))
        throw new TypeError(`usage.hold(): seconds must be positive and at most ${MAX_HOLD_SECONDS}`)
      await ledgerOf(sql).renew(calls.map(({ call }) => ({ id: call.id, holdSeconds: Math.ceil(seconds) })))
    },
  }
  const auth = c.get('auth') as UserVariables['auth']
  c.set('usage', usage)
  if (auth !== undefined) c.set('auth', { ...auth, extra: { ...auth.extra, usage } })
  return collector
}
