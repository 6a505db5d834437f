import type { Sql } from '../db/client.ts'
import { patiently } from '../db/outage.ts'
import { fit, jsonText } from '../db/text.ts'
import { countFaults, refuseFaults } from '../errors.ts'
import { DEFAULT_IDLE_AFTER_SECONDS } from '../ledger/types.ts'
import { type ClientInfo, clientInfoOf } from '../mcp/message.ts'
import { isUuid, uuidV5 } from '../uuid.ts'
import type { Caller } from '../variables.ts'
import {
  clientRow,
  DEFAULT_TIMEOUT_SECONDS,
  DISCONNECT_REASONS,
  type DisconnectReason,
} from './life-cycle.ts'

/** Who a session belongs to, in the seed's words. */
export interface SessionOwner {
  user_id: string | null
  user_email?: string | null
  user_name?: string | null
}

export interface OpenSession {
  client: ClientInfo
  owner: SessionOwner | null
  /** Seconds without a call after which it ends. */
  timeoutSeconds: number
  /** Seconds without a call after which it is shown as idle. */
  idleAfterSeconds?: number | undefined
  /** Live sessions of the user at most. */
  maxPerUser?: number | undefined
  /** Null for the database's clock. */
  now?: Date | null
}

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

/** Our own namespace for RFC 9562 section 5.5: the row of a session whose id on the wire is no UUID. */
const WIRE_IDS = '0b6f7e0c-52f1-4b53-8a34-7d2c9be1a6f4'
const SWEEP_ROWS = 500

/** Likewise for programs. Like anonymous callers they are no users: their sessions are told apart by the row's id. */
const WIRE_IDS_OF_PROGRAMS = '5d0c9a52-9d0a-4a0e-9a55-3c1f0f7e2b84'

/**
 * The row that an `Mcp-Session-Id` means: the id itself where it is a UUID as Postgres writes it, else UUIDv5 of it.
 * @param kind who sends it: the same id means another row when a program does.
 * @param server whose id it is, where several stand behind one kit: two of them may count from 1.
 * @returns null for what can be no session id (visible ASCII, spec 2025-11-25 basic/transports).
 */
export async function sessionIdOfWire(
  wireId: string,
  kind: Caller['kind'] = 'user',
  server?: string,
): Promise<string | null> {
  if (!/^[\x21-\x7e]{1,1024}$/.test(wireId)) return null
  // No id has a space in it.
  const name = server === undefined ? wireId : `${server} ${wireId}`
  if (kind === 'service') return await uuidV5(WIRE_IDS_OF_PROGRAMS, name)
  return isUuid(wireId) && wireId === wireId.toLowerCase() ? wireId : await uuidV5(WIRE_IDS, name)
}

/**
 * Writes the row of a new session.
 * @returns false when the id is somebody else's, or of a session that has ended.
 */
export async function openSession(
  sql: Sql,
  id: string,
  {
    client,
    owner,
    timeoutSeconds,
    idleAfterSeconds = DEFAULT_IDLE_AFTER_SECONDS,
    maxPerUser,
    now = null,
  }: OpenSession,
): Promise<boolean> {
  const row = clientRow(client)
  const [opened] = await patiently(
    () => sql<[{ opened: boolean }]>`
      select archon_mcp_open_session(
        ${now}, ${id}, ${owner?.user_id ?? null}, ${fit(owner?.user_email ?? null, 255)},
        ${fit(owner?.user_name ?? null, 255)}, ${row.client_type}, ${row.client_name}, ${row.client_version},
        nullif(${jsonText(row.capabilities)}::text::jsonb, 'null'), coalesce(${jsonText(row.metadata)}::text::jsonb, '{}'),
        ${row.protocol_version}, ${timeoutSeconds}, ${idleAfterSeconds},
        ${maxPerUser ?? null}
      ) as opened`,
  )
  return opened.opened
}

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
      const [session] = await patiently(
        () => sql<{ ended: boolean }[]>`
          select archon_mcp_end_session(${now()}, ${sessionId}, ${reason}) as ended`,
      )
      return session?.ended ?? false
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
