import { type Context, Hono } from 'hono'
import type { SqlSource } from '../db/client.ts'
import { changeMark } from '../reports/change-mark.ts'
import { isUuid } from '../uuid.ts'
import type { DashboardEnv } from './env.ts'
import { readAs } from './read.ts'

const ASK_MS = 3000
/** A page costs more than the question: it is not told to load itself more often. */
const REST_MS = 10_000
/** Then the browser opens another stream, which meets the sign-in, and whoever is cut off, as any request does. */
const STREAM_MS = 5 * 60_000

/** Waits for so long, or until the signal. */
export type Pause = (ms: number, signal: AbortSignal) => Promise<void>

const sleep: Pause = (ms, signal) =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })

/** What a stream needs beside its question. */
export interface LiveOptions {
  now: () => Date
  /** Ends every stream: for a server that stops. @default they end by themselves */
  stopping?: AbortSignal | undefined
  pause?: Pause
}

/** Browsers do not open the stream again. */
const NOTHING_MORE = 204

const encoder = new TextEncoder()
const RETRY = encoder.encode(`retry: ${ASK_MS}\n\n`)
const BEAT = encoder.encode(':\n\n')
const CHANGED = encoder.encode('event: changed\ndata: yes\n\n')

/**
 * Server-Sent Events: one whenever the mark is another than before, and a beat whenever it is not. It asks when it is
 * read, and holds nothing while it waits.
 */
function changes(
  first: string,
  mark: () => Promise<string | null>,
  until: Date,
  { now, stopping, pause = sleep }: LiveOptions,
): ReadableStream<Uint8Array> {
  const left = new AbortController()
  const signal = stopping === undefined ? left.signal : AbortSignal.any([left.signal, stopping])
  let known = first
  let wait = ASK_MS
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => controller.enqueue(RETRY),
      async pull(controller) {
        await pause(wait, signal)
        // What fails here fails again when the browser comes back, and is answered and told there.
        const next = signal.aborted || now() >= until ? null : await mark().catch(() => null)
        if (left.signal.aborted) return
        if (next === null) return controller.close()
        controller.enqueue(next === known ? BEAT : CHANGED)
        wait = next === known ? ASK_MS : REST_MS
        known = next
      },
      cancel: () => left.abort(),
    },
    { highWaterMark: 0 },
  )
}

/** Until when a stream may last: a few minutes, and no longer than the sign-in. */
const endOf = ({ visit, now }: DashboardEnv['Variables']): Date =>
  new Date(Math.min(now.getTime() + STREAM_MS, visit.expiresAt * 1000))

/** `/live`: tells an open page when something has changed that its viewer may see, of one session with `?session=`. */
export const live = (sql: SqlSource, options: LiveOptions) =>
  new Hono<DashboardEnv>().get('/live', async (c: Context<DashboardEnv>) => {
    const session = c.req.query('session') ?? ''
    const watched = {
      sessionId: isUuid(session) ? session : undefined,
      accessToken: c.var.caller.accessToken,
    }
    const mark = () => readAs(c, sql, (db, caller) => changeMark(db, caller, watched))
    const first = await mark()
    if (first === null) return c.body(null, NOTHING_MORE)
    return c.body(changes(first, mark, endOf(c.var), options), 200, {
      'content-type': 'text/event-stream',
      // What a proxy gathers comes late.
      'x-accel-buffering': 'no',
    })
  })
