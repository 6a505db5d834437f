import type { Context } from 'hono'
import { addHeaders, replaceResponse } from '../errors.ts'
import type { RequestId } from '../mcp/json-rpc.ts'
import { requestOf } from '../mcp/read-request.ts'
import { type BodyEnd, watchBody } from './body-end.ts'
import { utf8Length } from './count.ts'
import { defer } from './defer.ts'
import { failure, type Outcome, outcomesOfBody } from './outcome.ts'
import type { Rest } from './resumption.ts'
import { createSseReader } from './sse-reader.ts'

/** Beyond this a timer fires at once. */
export const MAX_TIMER_MS = 2 ** 31 - 1

export const SUCCESS: Outcome = { status: 'success', error: null }

type Outcomes = ReadonlyMap<RequestId | null, Outcome>
/**
 * Closes every call: with its own outcome, or as all those whose response was not seen.
 * @param named the body was a stream that may be taken up again.
 */
export type Close = (
  outcomes: Outcomes,
  otherwise: Outcome,
  bytes?: number,
  named?: boolean,
) => Promise<unknown>

/** Keeps the calls of an open stream from being taken for lost. */
export interface Renew {
  everyMs: number
  run: () => Promise<void>
}

/** What is done when a body ends, while it does not, and what goes with it. */
export interface Ending {
  close: Close
  renew: Renew
  headers: Record<string, string>
}

/** Reads the outcomes as the body passes, and closes the calls when it has ended. */
export async function closeWithBody(c: Context, kind: 'mcp' | 'api', ending: Ending): Promise<void> {
  const { close, headers } = ending
  const { res } = c
  const type = res.headers.get('content-type') ?? ''
  const unanswered = failure(res.ok ? 'no result' : `HTTP ${res.status}`)
  if (kind === 'api') {
    const complete = res.status < 400 ? SUCCESS : unanswered
    const onEnd = (end: BodyEnd, bytes: number) =>
      close(new Map(), end === 'complete' ? complete : brokenOff(end), bytes)
    return watch(c, () => {}, onEnd, ending)
  }
  // Too large to be held: it passes, and nobody knows what it says.
  const unread = c.get('passesUnread') === true
  if (!unread && /^application\/json\b/i.test(type) && res.body !== null) {
    try {
      const text = await res.text()
      defer(c, close(outcomesOfBody(text), unanswered, utf8Length(text)))
      return replaceBody(c, text, headers)
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
  const onEnd = (end: BodyEnd, bytes: number): Promise<unknown> => {
    const unseen = (unread && res.ok) || reader.oversized() ? SUCCESS : unanswered
    return close(outcomes, end === 'complete' ? unseen : brokenOff(end), bytes, reader.named())
  }
  watch(c, onChunk, onEnd, ending)
}

/** Reads the outcomes of calls of other requests, which a client takes up again on this stream. */
export function readRest(c: Context, { found, ended }: Rest, headers: Record<string, string>): void {
  const reader = createSseReader((data) => {
    for (const [id, outcome] of outcomesOfBody(data)) found(id, outcome)
  })
  const renew = { everyMs: MAX_TIMER_MS, run: () => Promise.resolve() }
  watch(c, reader.push, () => Promise.resolve(ended()), { close: () => Promise.resolve(), renew, headers })
}

/** The client left: how a subscription ends, and a call that nobody waits for any longer. */
export const CANCELLED = failure('cancelled: the client left before the result')
const BROKEN_OFF = failure('the response broke off')
const brokenOff = (end: BodyEnd): Outcome => (end === 'cancelled' ? CANCELLED : BROKEN_OFF)

function watch(
  c: Context,
  onChunk: (chunk: Uint8Array) => void,
  onEnd: (end: BodyEnd, bytes: number) => Promise<unknown>,
  { renew, headers }: Ending,
): void {
  const body = c.res.body as ReadableStream<Uint8Array> | null
  // Nobody reads the body of an answer to HEAD.
  if (body === null || requestOf(c).method === 'HEAD') {
    addHeaders(c, headers)
    return defer(c, onEnd('complete', 0))
  }
  // Told of now, while the request is there to be told: Workers give no later moment when the client has left.
  let bytes = 0
  const passing = (chunk: Uint8Array): void => {
    bytes += chunk.byteLength
    onChunk(chunk)
  }
  const renewing = setInterval(() => void renew.run(), renew.everyMs)
  defer(
    c,
    new Promise((resolve) => {
      const ended = (end: BodyEnd): void => {
        clearInterval(renewing)
        resolve(onEnd(end, bytes))
      }
      replaceBody(c, watchBody(body, passing, ended), headers)
    }),
  )
}

/** Not `new Response(body, c.res)`: made of a response that was read, Node's server sends even a text as a stream. */
function replaceBody(
  c: Context,
  body: string | ReadableStream<Uint8Array>,
  added: Record<string, string>,
): void {
  const { status, statusText } = c.res
  const headers = new Headers(c.res.headers)
  for (const [name, value] of Object.entries(added)) headers.set(name, value)
  replaceResponse(c, new Response(body, { status, statusText, headers }))
}
