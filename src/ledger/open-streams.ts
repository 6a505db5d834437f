import { pgArray, type Sql } from '../db/client.ts'

/** Whose a stream is; what is null is not looked at. */
export interface StreamOwner {
  userId: string | null
  /** When the token was issued with which it was opened. */
  issuedAt: Date | null
  accessToken: string | null
  sessionId: string | null
}

export interface OpenStreams {
  /**
   * Has `cut` called once, within seconds after the owner is blocked, cut off or erased, or the token or the session
   * was ended by somebody.
   * @returns ends the watch: for a stream that has ended.
   */
  watch(owner: StreamOwner, cut: () => void): () => void
}

/** How often the database is asked about all open streams of an instance, in one statement. */
export const CUT_CHECK_MS = 3000

const isNobodys = ({ userId, accessToken, sessionId }: StreamOwner): boolean =>
  userId === null && accessToken === null && sessionId === null

/** The streams that are open on one instance: a call is judged when it begins, and they may go on for hours. */
export function createOpenStreams(sql: Sql, everyMs: number = CUT_CHECK_MS): OpenStreams {
  const open = new Map<symbol, { owner: StreamOwner; cut: () => void }>()
  let timer: ReturnType<typeof setInterval> | undefined
  let asking = false

  async function look(): Promise<void> {
    if (asking) return
    asking = true
    try {
      const streams = [...open]
      const owners = streams.map(([, { owner }]) => owner)
      const found = await sql<{ place: number }[]>`
        select place
        from archon_mcp_cut_off(
          ${pgArray(owners.map(({ userId }) => userId))}::uuid[],
          ${pgArray(owners.map(({ issuedAt }) => issuedAt))}::timestamptz[],
          ${pgArray(owners.map(({ accessToken }) => accessToken))}::uuid[],
          ${pgArray(owners.map(({ sessionId }) => sessionId))}::uuid[]
        ) as place`
      for (const { place } of found) {
        const [key, { cut }] = streams[place - 1]!
        if (open.delete(key)) cut()
      }
      rest()
    } catch {
      // The database is out of reach: the next look will do.
    } finally {
      asking = false
    }
  }

  /** Nobody is asked while nothing is open. */
  function rest(): void {
    if (open.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  return {
    watch(owner, cut) {
      if (isNobodys(owner)) return () => {}
      const key = Symbol('stream')
      open.set(key, { owner, cut })
      timer ??= setInterval(() => void look(), everyMs)
      return () => {
        open.delete(key)
        rest()
      }
    },
  }
}

const known = new WeakMap<Sql, OpenStreams>()

/** Those of a client: on Node and Bun of the process, on Workers of the request. */
export function openStreamsOf(sql: Sql): OpenStreams {
  const streams = known.get(sql) ?? createOpenStreams(sql)
  known.set(sql, streams)
  return streams
}
