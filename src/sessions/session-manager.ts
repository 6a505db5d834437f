import type { Sql } from '../db/client.ts'
import { countFaults, refuseFaults } from '../errors.ts'
import { clientInfoOf } from '../mcp/message.ts'
import { isUuid } from '../uuid.ts'
import { DEFAULT_TIMEOUT_SECONDS, DISCONNECT_REASONS, type DisconnectReason } from './life-cycle.ts'
import { endSession, openSession, type SessionOwner } from './session-row.ts'

/** What `createSession()` is told of a client and its user. */
export interface CreateSession {
  /** What the client says of itself; `name` decides the client type, the rest is kept as metadata. */
  clientInfo?: Record<string, unknown>
  /** Whose session it is. Default: nobody's. */
  userContext?: SessionOwner
  /** Seconds without a call after which it ends. @default 86400 */
  timeoutSeconds?: number
  /** Seconds without a call after which it is shown as idle. @default 300 */
  idleAfterSeconds?: number | undefined
  /** Live sessions of the user at most; the one without a call for longest ends first. @default no limit */
  maxPerUser?: number | undefined
}

/** What one step of the sweep did. */
export interface SweepResult {
  sessions_ended: number
  sessions_idled: number
  calls_expired: number
}

/** Opens, ends and sweeps the sessions of a database. */
export interface SessionManager {
  /**
   * Opens a session, as Archon's session manager did.
   * @returns its id, to be sent as `Mcp-Session-Id`.
   * @throws TypeError when `user_id` is not a UUID, or a number not a positive integer.
   */
  createSession(session?: CreateSession): Promise<string>
  /**
   * Ends a session that lives. One that has ended stays as it is, and one whose time is over ends with `timeout`.
   * @returns whether it ended now, for this reason.
   * @throws TypeError for a reason that is none.
   */
  endSession(sessionId: string, reason: DisconnectReason): Promise<boolean>
  /**
   * Ends sessions whose time is over, marks idle ones, and closes calls that nobody came back for, in steps of
   * 500 rows. Safe to run anywhere, any number of times at once; run it each minute.
   * @param at the moment to work at. Default: now.
   */
  sweep(at?: Date): Promise<SweepResult>
}

const SWEEP_ROWS = 500

/**
 * The session manager of a database.
 * @param sql the application's client.
 * @param options.now the moment to work at. Default: the database's clock, which all instances share.
 * @example
 * const sessions = createSessionManager(sql)
 * const id = await sessions.createSession({
 *   clientInfo: { name: 'Claude Code', version: '1.0.0' },
 *   userContext: { user_id: '550e8400-e29b-41d4-a716-446655440000', user_email: 'john.doe@example.com' },
 * })
 */
export function createSessionManager(
  sql: Sql,
  { now = () => null }: { now?: () => Date | null } = {},
): SessionManager {
  return {
    async createSession({
      clientInfo = {},
      userContext,
      timeoutSeconds = DEFAULT_TIMEOUT_SECONDS,
      idleAfterSeconds,
      maxPerUser,
    } = {}) {
      const userId = userContext?.user_id ?? null
      const notAnId = `userContext.user_id must be a UUID, got ${JSON.stringify(userId)}`
      refuseFaults('createSession', [
        ...(userId === null || isUuid(userId) ? [] : [notAnId]),
        ...countFaults({ timeoutSeconds, idleAfterSeconds, maxPerUser }),
      ])
      const id = crypto.randomUUID()
      await openSession(sql, id, {
        client: clientInfoOf(clientInfo),
        owner: userContext ?? null,
        timeoutSeconds,
        idleAfterSeconds,
        maxPerUser,
        now: now(),
      })
      return id
    },

    async endSession(sessionId, reason) {
      if (!isUuid(sessionId)) return false
      const unknown = `reason must be one of ${DISCONNECT_REASONS.join(', ')}, got ${reason}`
      refuseFaults('endSession', DISCONNECT_REASONS.includes(reason) ? [] : [unknown])
      return await endSession(sql, sessionId, reason, now())
    },

    async sweep(at = now() ?? undefined) {
      const total: SweepResult = { sessions_ended: 0, sessions_idled: 0, calls_expired: 0 }
      for (;;) {
        const [step] = await sql<[Record<keyof SweepResult, string>]>`
          select * from archon_mcp_sweep(${at ?? null}, ${SWEEP_ROWS})`
        const counts = Object.entries(step) as [keyof SweepResult, string][]
        for (const [name, count] of counts) total[name] += Number(count)
        if (counts.every(([, count]) => Number(count) < SWEEP_ROWS)) return total
      }
    },
  }
}
