import type { RequestId } from '../mcp/json-rpc.ts'
import type { Outcome } from './outcome.ts'

/**
 * Calls of 2025-11-25 whose stream ended before their result, and may be taken up again: a disconnect is no cancel
 * there, and the client comes back on a GET with `Last-Event-ID` (basic/transports, "Resumability and
 * Redelivery"). They stay open for a moment, so that the record says how they end. Kept in the process: a client
 * that comes back to another one has left here.
 */

/** Official clients come back within two seconds, and a server may tell them to wait longer. */
const WAIT_MS = 15_000

interface Waiting {
  finish: (outcome: Outcome) => void
  /** What the record says of a call that nobody comes back for. */
  otherwise: Outcome
}

interface WaitingSession {
  calls: Map<RequestId, Waiting>
  /** Streams that bring the rest just now. */
  streams: number
  timer: ReturnType<typeof setTimeout> | undefined
}

const sessions = new Map<string, WaitingSession>()

/** Ends what waits in a session, or one call of it. */
export function giveUp(sessionId: string, only?: RequestId, outcome?: Outcome): void {
  const session = sessions.get(sessionId)
  if (session === undefined) return
  for (const [id, waiting] of only === undefined ? session.calls : entryOf(session, only)) {
    session.calls.delete(id)
    waiting.finish(outcome ?? waiting.otherwise)
  }
  settle(sessionId, session)
}

/** Ends what waits anywhere: nobody can come back to a process that ends. */
export function giveUpAll(): void {
  for (const sessionId of sessions.keys()) giveUp(sessionId)
}

const entryOf = ({ calls }: WaitingSession, id: RequestId): [RequestId, Waiting][] => {
  const waiting = calls.get(id)
  return waiting === undefined ? [] : [[id, waiting]]
}

/** Starts the wait anew, unless a stream is there or nothing waits. */
function settle(sessionId: string, session: WaitingSession): void {
  clearTimeout(session.timer)
  if (session.calls.size === 0 && session.streams === 0) sessions.delete(sessionId)
  else if (session.streams === 0) session.timer = setTimeout(() => giveUp(sessionId), WAIT_MS)
}

function sessionOf(sessionId: string): WaitingSession {
  const session = sessions.get(sessionId) ?? { calls: new Map(), streams: 0, timer: undefined }
  sessions.set(sessionId, session)
  return session
}

/** Waits for how a call ends, on whatever stream its client takes it up again. */
export function waitForRest(sessionId: string, id: RequestId, otherwise: Outcome): Promise<Outcome> {
  // An id that is used again: the client has given the first one up.
  giveUp(sessionId, id)
  const session = sessionOf(sessionId)
  return new Promise((finish) => {
    session.calls.set(id, { finish, otherwise })
    settle(sessionId, session)
  })
}

/** A stream on which the rest may come. */
export interface Rest {
  found: (id: RequestId, outcome: Outcome) => void
  ended: () => void
}

/** Tells what a stream brings to the calls that wait in its session. */
export function restOf(sessionId: string): Rest {
  const session = sessionOf(sessionId)
  session.streams += 1
  clearTimeout(session.timer)
  return {
    found: (id, outcome) => giveUp(sessionId, id, outcome),
    ended() {
      session.streams -= 1
      settle(sessionId, session)
    },
  }
}

/** The request that a notification cancels (spec 2025-11-25 basic/utilities/cancellation). */
export function cancelledBy(body: unknown): RequestId | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  const { method, params } = body as { method?: unknown; params?: { requestId?: unknown } }
  const id = method === 'notifications/cancelled' ? params?.requestId : undefined
  return typeof id === 'string' || typeof id === 'number' ? id : undefined
}
