import type { Queryable } from '../db/client.ts'
import { reportedClientType } from './client-types.ts'
import { plain } from './plain.ts'
import { comesAfter, cutPage, type PageRequest, type Position, positionColumns } from './position.ts'
import { hasStatus, lifeColumns, sessionsWithLife, type StatusFilter } from './session-life.ts'
import { type ReportCaller, usersOfDepartment, visibleTo } from './visible-to.ts'

/** Which sessions to list. */
export interface SessionsFilter {
  status: StatusFilter
  userId?: string | undefined
  department?: string | undefined
}

/** The columns of a client, as the seed names them. */
export const clientColumns = (sql: Queryable) => sql`
  session.session_id, session.client_type, session.client_version, ${lifeColumns(sql)},
  session.user_id, session.user_email, session.user_name`

/** Those of a session in a list: without what the client said of itself, which may be long. */
export const sessionColumns = (sql: Queryable) => sql`
  ${clientColumns(sql)}, session.era, session.protocol_version, session.client_name, session.timeout_seconds`

type Columns = ReturnType<typeof clientColumns>
type Row = Position & { session_id: string; client_type: string }

/** A row as answers tell it, without the columns of the query's own. */
export const sessionOf = (row: { client_type: string }, ...hidden: string[]): unknown =>
  plain({ ...row, client_type: reportedClientType(row.client_type) }, 'micros', 'id', ...hidden)

/** The condition that a caller may see a session and asks for it. It wants sessionsWithLife(). */
export const isWanted = (
  sql: Queryable,
  caller: ReportCaller,
  { status, userId, department }: SessionsFilter,
) => sql`
  ${visibleTo(sql, caller, 'session.user_id')}
  and ${hasStatus(sql, status)}
  ${userId === undefined ? sql`` : sql`and session.user_id = ${userId}`}
  ${department === undefined ? sql`` : sql`and session.user_id in (${usersOfDepartment(sql, department)})`}`

/**
 * A page of the sessions that a caller may see, latest activity first.
 * @param columns what to tell of each.
 * @returns its rows, and how many sessions there are in all.
 */
export async function pageOfSessions(
  sql: Queryable,
  columns: Columns,
  caller: ReportCaller,
  filter: SessionsFilter,
  { limit, after }: PageRequest,
): Promise<{ rows: unknown[]; total: number; next: Position | null }> {
  const wanted = isWanted(sql, caller, filter)
  // One statement, so that page and total are of one moment. A page without rows still has a total.
  const found = await sql<({ total: string } & (Row | { [K in keyof Row]: null }))[]>`
    select totals.total, page.*
    from (
      select count(*) as total
      from ${sessionsWithLife(sql)}
      where ${wanted}
    ) as totals
    left join (
      select ${columns}, ${positionColumns(sql, 'session.last_activity', 'session.session_id')}
      from ${sessionsWithLife(sql)}
      where ${wanted}
        and ${comesAfter(sql, after, 'session.last_activity', 'session.session_id')}
      order by session.last_activity desc, session.session_id desc
      limit ${limit + 1}
    ) as page on true
    order by page.micros desc, page.id desc`
  const { rows, next } = cutPage(
    found.filter((row) => row.session_id !== null),
    limit,
  )
  return { rows: rows.map((row) => sessionOf(row, 'total')), total: Number(found[0]?.total), next }
}
