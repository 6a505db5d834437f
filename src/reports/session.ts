import type { Queryable } from '../db/client.ts'
import type { McpClient } from './clients.ts'
import { sessionsWithLife } from './session-life.ts'
import { sessionColumns, sessionOf } from './session-rows.ts'
import { type ReportCaller, visibleTo } from './visible-to.ts'

/** A session as lists show it. */
export interface ListedSession extends McpClient {
  /** The protocol revision that decides how the session is found; rows of other writers have none. */
  era?: '2025-11-25' | '2026-07-28'
  protocol_version?: string
  /** What the client calls itself. */
  client_name?: string
  /** Seconds without a call after which the session ends. */
  timeout_seconds: number
}

/** A session with all that is known of it. */
export interface McpSession extends ListedSession {
  client_capabilities?: Record<string, unknown>
  /** What the client said of itself, whole. */
  metadata?: Record<string, unknown>
}

/** What is this session? Null for one that is not there or that the caller may not see. */
export async function sessionById(
  sql: Queryable,
  caller: ReportCaller,
  sessionId: string,
): Promise<McpSession | null> {
  const [row] = await sql<{ client_type: string }[]>`
    select ${sessionColumns(sql)}, session.client_capabilities, session.metadata
    from ${sessionsWithLife(sql)}
    where session.session_id = ${sessionId}
      and ${visibleTo(sql, caller, 'session.user_id')}`
  return row === undefined ? null : (sessionOf(row) as McpSession)
}
