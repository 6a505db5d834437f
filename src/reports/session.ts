import type { Queryable } from '../db/client.ts'
import { reportedClientType } from './client-types.ts'
import type { McpClient } from './clients.ts'
import { plain } from './plain.ts'
import { lifeColumns, sessionsWithLife } from './session-life.ts'
import { type ReportCaller, visibleTo } from './visible-to.ts'

/** A session with all that is known of it. */
export interface McpSession extends McpClient {
  /** The protocol revision that decides how the session is found; rows of other writers have none. */
  era?: '2025-11-25' | '2026-07-28'
  protocol_version?: string
  /** What the client calls itself. */
  client_name?: string
  client_capabilities?: Record<string, unknown>
  /** What the client said of itself, whole. */
  metadata?: Record<string, unknown>
  /** Seconds without a call after which the session ends. */
  timeout_seconds: number
}

/** What is this session? Null for one that is not there or that the caller may not see. */
export async function sessionById(
  sql: Queryable,
  caller: ReportCaller,
  sessionId: string,
): Promise<McpSession | null> {
  const [row] = await sql<{ client_type: string }[]>`
    select session.session_id, session.client_type, session.client_version, ${lifeColumns(sql)},
           session.user_id, session.user_email, session.user_name,
           session.era, session.protocol_version, session.client_name, session.client_capabilities, session.metadata,
           session.timeout_seconds
    from ${sessionsWithLife(sql)}
    where session.session_id = ${sessionId}
      and ${visibleTo(sql, caller, 'session.user_id')}`
  if (row === undefined) return null
  return plain({ ...row, client_type: reportedClientType(row.client_type) }) as McpSession
}
