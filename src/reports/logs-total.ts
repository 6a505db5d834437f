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

/**
 * How many calls match, and how many of them succeeded and ran out of time: a query of one row. Sums know it of millions
 * at once, but for what only a look at each call tells: whether a text is in it, and whether it is one of those that
 * finance reads. Of days whose calls have gone sums are left, so that what is left of the calls is counted.
 * @param by `calls` and `success` are all that is wanted: more roll-ups know them.
 */
export function countsOf(
  sql: Queryable,
  caller: ReportCaller,
  filter: CallsFilter,
  by: { timeouts: boolean },
): SqlFragment {
  const counted = (more: SqlFragment) => sql`
    select count(*) as calls, count(*) filter (where call.status = 'success') as success,
           count(*) filter (where call.status = 'timeout') as timeouts
    from ${callsWithUser(sql)}
    where ${matches(sql, caller, filter)} and ${more}`
  if (filter.search !== undefined || caller.role === 'finance') return counted(sql`true`)
  const complete = sql`(select complete_from::timestamp at time zone 'UTC' from archon_mcp_watermark)`
  const { tool, period, userId, sessionId, kind } = filter
  const sums = callSums(sql, caller, tool === undefined ? [] : ['tool'], {
    period: {
      start: sql`greatest(${period?.start ?? null}, ${complete})`,
      end: sql`${period?.end ?? null}::timestamptz`,
    },
    userId,
    sessionId,
    kind,
    costsOnly: !by.timeouts,
  })
  return sql`
    select coalesce(sum(part.calls), 0) as calls, coalesce(sum(part.success), 0) as success,
           coalesce(sum(part.timeouts), 0) as timeouts
    from (
      select call.calls, call.success, call.timeouts
      from ${sums}
      where ${tool === undefined ? sql`true` : sql`call.tool = ${tool}`}
      union all
      ${counted(sql`call.timestamp < ${complete}`)}
    ) as part`
}

const ofLevel = (sql: Queryable, level: LogsFilter['level']): SqlFragment => {
  switch (level) {
    case 'all':
      return sql`counted.calls`
    case 'info':
      return sql`counted.success`
    case 'warning':
      return sql`counted.timeouts`
    case 'error':
      return sql`counted.calls - counted.success - counted.timeouts`
  }
}

/** How many calls are in the log: a query of one `total`. */
export const totalOf = (
  sql: Queryable,
  caller: ReportCaller,
  { level, ...filter }: LogsFilter,
): SqlFragment => sql`
  select (${ofLevel(sql, level)})::float8 as total
  from (${countsOf(sql, caller, filter, { timeouts: level === 'warning' || level === 'error' })}) as counted`
