import type { Queryable } from '../db/client.ts'
import type { ReportedClientType } from './client-types.ts'
import type { PageRequest, Position } from './position.ts'
import { hasStatus, type SessionStatus, sessionsWithLife } from './session-life.ts'
import { clientColumns, pageOfSessions, type SessionsFilter } from './session-rows.ts'
import { type ReportCaller, visibleTo } from './visible-to.ts'

/** A client of a user, as lists show it: exactly the seed's type. Moments are ISO 8601. */
export interface McpClient {
  session_id: string
  client_type: ReportedClientType
  client_version?: string
  connected_at: string
  last_activity: string
  /** Worked out at the moment of asking. */
  status: SessionStatus
  disconnected_at?: string
  /** Seconds from connected_at to disconnected_at. */
  total_duration?: number
  disconnect_reason?: string
  user_id?: string
  user_email?: string
  user_name?: string
}

/**
 * Which clients are there? Latest activity first.
 * @returns a page of them, and how many there are in all.
 */
export async function listClients(
  sql: Queryable,
  caller: ReportCaller,
  filter: SessionsFilter,
  page: PageRequest,
): Promise<{ clients: McpClient[]; total: number; next: Position | null }> {
  const { rows, ...rest } = await pageOfSessions(sql, clientColumns(sql), caller, filter, page)
  return { clients: rows as McpClient[], ...rest }
}

/** How many clients are live, of one user or of all? Those that the caller may not see count nothing. */
export async function countLiveClients(
  sql: Queryable,
  caller: ReportCaller,
  userId?: string,
): Promise<{ active: number; idle: number }> {
  const [row] = await sql<[{ active: string; idle: string }]>`
    select count(*) filter (where ${hasStatus(sql, 'active')}) as active,
           count(*) filter (where ${hasStatus(sql, 'idle')}) as idle
    from ${sessionsWithLife(sql)}
    where ${visibleTo(sql, caller, 'session.user_id')}
      and ${hasStatus(sql, 'live')}
      ${userId === undefined ? sql`` : sql`and session.user_id = ${userId}`}`
  return { active: Number(row.active), idle: Number(row.idle) }
}
