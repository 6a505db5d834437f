import type { Queryable } from '../db/client.ts'
import { callSums } from './call-sums.ts'
import type { SqlFragment } from './cost-parts.ts'
import { type CallsFilter, callsWithUser, type LogLevel, matches } from './logs-rows.ts'
import type { ReportCaller } from './visible-to.ts'

/** Which calls to list. */
export interface LogsFilter extends CallsFilter {
  level: LogLevel | 'all'
}

const STATUS = { info: 'success', warning: 'timeout', error: 'error' } as const

/** The condition of a call in the log; over callsWithUser(). */
export function wantedBy(sql: Queryable, caller: ReportCaller, { level, ...filter }: LogsFilter) {
  const wanted = matches(sql, caller, filter)
  return level === 'all' ? wanted : sql`${wanted} and call.status = ${STATUS[level]}`
}

const ofLevel = (sql: Queryable, level: LogsFilter['level']): SqlFragment => {
  switch (level) {
    case 'all':
      return sql`call.calls`
    case 'info':
      return sql`call.success`
    case 'warning':
      return sql`call.timeouts`
    case 'error':
      return sql`call.calls - call.success - call.timeouts`
  }
}

/**
 * How many calls match: a query of one `total`. Sums know it of millions at once, but for what only a look at each call
 * tells: whether a text is in it, and whether it is one of those that finance reads. Of days whose calls have gone sums
 * are left, so that what is left of the calls is counted.
 */
export function totalOf(sql: Queryable, caller: ReportCaller, filter: LogsFilter): SqlFragment {
  const counted = (more: SqlFragment) => sql`
    select count(*) as total from ${callsWithUser(sql)} where ${wantedBy(sql, caller, filter)} and ${more}`
  if (filter.search !== undefined || caller.role === 'finance') {
    return sql`select all_calls.total::float8 from (${counted(sql`true`)}) as all_calls`
  }
  const complete = sql`(select complete_from::timestamp at time zone 'UTC' from archon_mcp_watermark)`
  const { level, tool, period, userId, sessionId, kind } = filter
  const sums = callSums(sql, caller, tool === undefined ? [] : ['tool'], {
    period: {
      start: sql`greatest(${period?.start ?? null}, ${complete})`,
      end: sql`${period?.end ?? null}::timestamptz`,
    },
    userId,
    sessionId,
    kind,
    costsOnly: level === 'all' || level === 'info',
  })
  return sql`
    select (summed.total + rest.total)::float8 as total
    from (
      select coalesce(sum(${ofLevel(sql, level)}), 0) as total
      from ${sums}
      where ${tool === undefined ? sql`true` : sql`call.tool = ${tool}`}
    ) as summed
    cross join (${counted(sql`call.timestamp < ${complete}`)}) as rest`
}
