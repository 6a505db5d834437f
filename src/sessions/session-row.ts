import type { Sql } from '../db/client.ts'
import { patiently } from '../db/outage.ts'
import { fit, jsonText } from '../db/text.ts'
import { DEFAULT_IDLE_AFTER_SECONDS } from '../ledger/types.ts'
import type { ClientInfo } from '../mcp/message.ts'
import { clientRow, type DisconnectReason } from './life-cycle.ts'

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

/** Ends a session that lives; see `SessionManager`. */
export async function endSession(
  sql: Sql,
  id: string,
  reason: DisconnectReason,
  now: Date | null = null,
): Promise<boolean> {
  const [session] = await patiently(
    () => sql<[{ ended: boolean | null }]>`select archon_mcp_end_session(${now}, ${id}, ${reason}) as ended`,
  )
  return session.ended ?? false
}
