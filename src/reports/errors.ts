import type { Queryable } from '../db/client.ts'
import { countsOf } from './logs-total.ts'
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
  const wanted = sql`${matches(sql, caller, filter)} and ${hasSeverity(sql, severity)}`
  // One statement, so that page and summary are of one moment. A page without rows still has a summary.
  const found = await sql<[Totals & CallRow, ...(Totals & CallRow)[]]>`
    select totals.*, page.*
    from (
      select failed.total::float8, failed.errors::float8 as error_count, failed.timeouts::float8 as timeout_count,
             -- Of none no call is looked at.
             case when failed.total > 0 then (
               select call.timestamp from ${callsWithUser(sql)} where ${wanted} order by call.timestamp desc limit 1
             ) end as last_error_at,
             coalesce(round(100.0 * failed.total / nullif(failed.calls, 0), 2), 0)::float8 as error_rate_percent
      from (
        select counted.calls, part.*, part.errors + part.timeouts as total
        from (${countsOf(sql, caller, filter, { timeouts: true })}) as counted
        cross join lateral (
          select ${severity === 'timeout' ? sql`0` : sql`counted.calls - counted.success - counted.timeouts`} as errors,
                 ${severity === 'error' ? sql`0` : sql`counted.timeouts`} as timeouts
        ) as part
      ) as failed
    ) as totals
    left join (${pageOfCalls(sql, wanted, page)}) as page on true
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
