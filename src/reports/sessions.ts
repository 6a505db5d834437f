import type { Queryable } from '../db/client.ts'
import type { PageRequest, Position } from './position.ts'
import type { ListedSession } from './session.ts'
import { pageOfSessions, sessionColumns, type SessionsFilter } from './session-rows.ts'
import type { ReportCaller } from './visible-to.ts'

/**
 * Which sessions are there? Latest activity first.
 * @returns a page of them, and how many there are in all.
 */
export async function listSessions(
  sql: Queryable,
  caller: ReportCaller,
  filter: SessionsFilter,
  page: PageRequest,
): Promise<{ sessions: ListedSession[]; total: number; next: Position | null }> {
  const { rows, ...rest } = await pageOfSessions(sql, sessionColumns(sql), caller, filter, page)
  return { sessions: rows as ListedSession[], ...rest }
}
