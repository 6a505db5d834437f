import type { Context } from 'hono'
import { addHeaders, replaceResponse } from '../errors.ts'
import type { RequestId } from '../mcp/json-rpc.ts'
import { requestOf } from '../mcp/read-request.ts'
import { type BodyEnd, type CutBody, watchBody } from './body-end.ts'
import { utf8Length } from './count.ts'
import { createFarewell, type WatchAccess } from './cut-off.ts'
import { defer } from './defer.ts'
import { failure, type Outcome, outcomesOfBody, withoutResult } from './outcome.ts'
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
  /** Cuts the body when the caller's access ends. */
  access: WatchAccess
  /** The ids of the requests that it answers. */
  ids: readonly (RequestId | null)[]
  headers: Record<string, string>
}

/** Reads the outcomes as the body passes, and closes the calls when it has ended. */
export async function closeWithBody(c: Context, kind: 'mcp' | 'api', ending: Ending): Promise<void> {
  const { close, headers } = ending
  const { res } = c
  const type = res.headers.get('content-type') ?? ''
  const unanswered = withoutResult(res)
  if (kind === 'api') {
    const complete = res.status < 400 ? SUCCESS : unanswered
    const onEnd = (end: BodyEnd, bytes: number) =>
      close(new Map(), end === 'complete' ? complete : brokenOff(end), bytes)
    return watch(c, { onChunk: () => {}, onEnd, onCut: () => CUT_SHORT }, ending)
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
  const events = isEvents(c)
  const farewell = createFarewell()
  const onChunk = (chunk: Uint8Array): void => {
    if (!events) return
    reader.push(chunk)
    farewell.push(chunk)
  }
  const onCut = () => (events ? farewell.say(ending.ids.filter((id) => !outcomes.has(id))) : CUT_SHORT)
  const onEnd = (end: BodyEnd, bytes: number): Promise<unknown> => {
    const unseen = (unread && res.ok) || reader.oversized() ? SUCCESS : unanswered
    return close(
      outcomes,
      end === 'complete' ? unseen : brokenOff(end),
      bytes,
      end !== 'cut' && reader.named(),
    )
  }
  watch(c, { onChunk, onEnd, onCut }, ending)
}

/** Reads the outcomes of calls of other requests, which a client takes up again on this stream. */
export function readRest(
  c: Context,
  { found, ended }: Rest,
  ending: Pick<Ending, 'access' | 'headers'>,
): void {
  const reader = createSseReader((data) => {
    for (const [id, outcome] of outcomesOfBody(data)) found(id, outcome)
  })
  const onEnd = () => Promise.resolve(ended())
  watch(c, { onChunk: reader.push, onEnd, onCut: () => new Uint8Array(0) }, ending)
}

const isEvents = ({ res }: Context): boolean =>
  /^text\/event-stream\b/i.test(res.headers.get('content-type') ?? '')

/** Cuts a stream of events that answers no call, such as that of a GET, when its caller's access ends. */
export function cutWithAccess(c: Context, access: WatchAccess): void {
  if (!isEvents(c)) return
  const parts = { onChunk: () => {}, onEnd: () => Promise.resolve(), onCut: () => new Uint8Array(0) }
  watch(c, parts, { access, headers: {} })
}

/** A file or a text that ends early must not look whole. */
const CUT_SHORT = new Error('cut off: access was withdrawn')

/** The client left: how a subscription ends, and a call that nobody waits for any longer. */
export const CANCELLED = failure('cancelled: the client left before the result')
const BROKEN_OFF = failure('the response broke off')
const CUT_OFF = failure('cut off: access was withdrawn')
const brokenOff = (end: BodyEnd): Outcome =>
  end === 'cut' ? CUT_OFF : end === 'cancelled' ? CANCELLED : BROKEN_OFF

/** What is done with a body on its way. */
interface Watching {
  onChunk: (chunk: Uint8Array) => void
  onEnd: (end: BodyEnd, bytes: number) => Promise<unknown>
  /** What stands at its end when it is cut. */
  onCut: () => Uint8Array | Error
}

function watch(
  c: Context,
  { onChunk, onEnd, onCut }: Watching,
  { renew, access, headers }: Pick<Ending, 'access' | 'headers'> & Partial<Pick<Ending, 'renew'>>,
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
  const renewing = renew === undefined ? undefined : setInterval(() => void renew.run(), renew.everyMs)
  defer(
    c,
    new Promise((resolve) => {
      const ended = (end: BodyEnd): void => {
        clearInterval(renewing)
        unwatch?.()
        resolve(onEnd(end, bytes))
      }
      let unwatch: (() => void) | undefined
      const opened = (cut: CutBody): void => {
        unwatch = access(() => cut(onCut()))
      }
      replaceBody(c, watchBody(body, passing, ended, opened), headers)
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
