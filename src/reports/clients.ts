import type { Queryable } from '../db/client.ts'
import { type ReportedClientType, reportedClientType } from './client-types.ts'
import { plain } from './plain.ts'
import { cutPage, type PageRequest, type Position } from './position.ts'
import {
  hasStatus,
  lifeColumns,
  type SessionStatus,
  sessionsWithLife,
  type StatusFilter,
} from './session-life.ts'
import { type ReportCaller, usersOfDepartment, visibleTo } from './visible-to.ts'

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

/** Which clients to list. */
export interface ClientsFilter {
  status: StatusFilter
  userId?: string | undefined
  department?: string | undefined
}

type Row = Position & { session_id: string; client_type: string }

/**
 * Which clients are there? Latest activity first.
 * @returns a page of them, and how many there are in all.
 */
export async function listClients(
  sql: Queryable,
  caller: ReportCaller,
  { status, userId, department }: ClientsFilter,
  { limit, after }: PageRequest,
): Promise<{ clients: McpClient[]; total: number; next: Position | null }> {
  const wanted = sql`
    ${visibleTo(sql, caller, 'session.user_id')}
    and ${hasStatus(sql, status)}
    ${userId === undefined ? sql`` : sql`and session.user_id = ${userId}`}
    ${department === undefined ? sql`` : sql`and session.user_id in (${usersOfDepartment(sql, department)})`}`
  const afterPosition =
    after === null
      ? sql``
      : sql`and (session.last_activity, session.session_id)
          < (timestamptz 'epoch' + ${after.micros}::bigint * interval '1 microsecond', ${after.id}::uuid)`
  // One statement, so that page and total are of one moment. A page without rows still has a total.
  const found = await sql<({ total: string } & (Row | { [K in keyof Row]: null }))[]>`
    select totals.total, page.*
    from (
      select count(*) as total
      from ${sessionsWithLife(sql)}
      where ${wanted}
    ) as totals
    left join (
      select session.session_id, session.client_type, session.client_version, ${lifeColumns(sql)},
             session.user_id, session.user_email, session.user_name,
             (extract(epoch from session.last_activity) * 1000000)::bigint as micros, session.session_id as id
      from ${sessionsWithLife(sql)}
      where ${wanted} ${afterPosition}
      order by session.last_activity desc, session.session_id desc
      limit ${limit + 1}
    ) as page on true
    order by page.micros desc, page.id desc`
  const { rows, next } = cutPage(
    found.filter((row) => row.session_id !== null),
    limit,
  )
  return { clients: rows.map(clientOf), total: Number(found[0]?.total), next }
}

const clientOf = (row: Row): McpClient =>
  plain({ ...row, client_type: reportedClientType(row.client_type) }, 'total', 'micros', 'id') as McpClient

/** How many clients of one user are live? Those that the caller may not see count nothing. */
export async function countLiveClients(
  sql: Queryable,
  caller: ReportCaller,
  userId: string,
): Promise<{ active: number; idle: number }> {
  const [row] = await sql<[{ active: string; idle: string }]>`
    select count(*) filter (where ${hasStatus(sql, 'active')}) as active,
           count(*) filter (where ${hasStatus(sql, 'idle')}) as idle
    from ${sessionsWithLife(sql)}
    where ${visibleTo(sql, caller, 'session.user_id')}
      and session.user_id = ${userId}
      and ${hasStatus(sql, 'live')}`
  return { active: Number(row.active), idle: Number(row.idle) }
}
