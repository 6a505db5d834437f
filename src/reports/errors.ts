import type { Queryable } from '../db/client.ts'
import {
  type CallRow,
  callOf,
  type CallsFilter,
  callsWithUser,
  type LoggedCall,
  matches,
  pageOfCalls,
} from './logs-rows.ts'
import { cutPage, type PageRequest, type Position } from './position.ts'
import type { ReportCaller } from './visible-to.ts'

/** Which ends of a call to list. */
export type ErrorSeverity = 'error' | 'timeout' | 'all'

/** The calls that failed, of all that match a filter. */
export interface ErrorSummary {
  error_count: number
  timeout_count: number
  last_error_at: string | null
  /** Of the calls that match the filter in everything but the severity; 0 where there is none. */
  error_rate_percent: number
}

type Totals = Omit<ErrorSummary, 'last_error_at'> & { total: number; last_error_at: Date | null }

function hasSeverity(sql: Queryable, severity: ErrorSeverity) {
  return severity === 'all' ? sql`call.status in ('error', 'timeout')` : sql`call.status = ${severity}`
}

/**
 * Which calls failed? Newest first.
 * @returns a page of them, how many there are in all, and a summary of all.
 */
export async function listErrors(
  sql: Queryable,
  caller: ReportCaller,
  severity: ErrorSeverity,
  filter: CallsFilter,
  page: PageRequest,
): Promise<{ errors: LoggedCall[]; summary: ErrorSummary; total: number; next: Position | null }> {
  const wanted = matches(sql, caller, filter)
  const failed = hasSeverity(sql, severity)
  // One statement, so that page and summary are of one moment. A page without rows still has a summary.
  const found = await sql<[Totals & CallRow, ...(Totals & CallRow)[]]>`
    select totals.*, page.*
    from (
      select count(*) filter (where ${failed})::float8 as total,
             count(*) filter (where ${failed} and call.status = 'error')::float8 as error_count,
             count(*) filter (where ${failed} and call.status = 'timeout')::float8 as timeout_count,
             max(call.timestamp) filter (where ${failed}) as last_error_at,
             coalesce(round(100.0 * count(*) filter (where ${failed}) / nullif(count(*), 0), 2), 0)::float8
               as error_rate_percent
      from ${callsWithUser(sql)}
      where ${wanted}
    ) as totals
    left join (${pageOfCalls(sql, sql`${wanted} and ${failed}`, page)}) as page on true
    order by page.micros desc, page.id desc`
  const [{ total, error_count, timeout_count, last_error_at, error_rate_percent }] = found
  const { rows, next } = cutPage(
    found.filter(({ request_id }) => request_id !== null),
    page.limit,
  )
  return {
    errors: rows.map((row) =>
      callOf(row, 'total', 'error_count', 'timeout_count', 'last_error_at', 'error_rate_percent'),
    ),
    summary: {
      error_count,
      timeout_count,
      last_error_at: last_error_at?.toISOString() ?? null,
      error_rate_percent,
    },
    total,
    next,
  }
}
