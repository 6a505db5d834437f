import type { Queryable } from '../db/client.ts'
import { comesAfter, cutPage, type PageRequest, type Position, positionColumns } from './position.ts'
import type { ListedSession } from './session.ts'
import { durationOf, hasEndedSince, reasonOf, sessionsWithLife } from './session-life.ts'
import { sessionColumns, sessionOf } from './session-rows.ts'
import { type ReportCaller, visibleTo } from './visible-to.ts'

/** A session that has ended, and how many calls it made. Open ones are not counted. */
export interface DisconnectedSession extends ListedSession {
  total_requests: number
}

/** How sessions ended. Durations are whole seconds; 0 where no session ended. */
export interface DisconnectStatistics {
  total_disconnected: number
  /** How many ended for each reason, the most frequent first; `unknown` where nobody wrote why. */
  disconnect_reasons: Record<string, number>
  avg_duration_seconds: number
  max_duration_seconds: number
  min_duration_seconds: number
}

interface Totals {
  statistics: DisconnectStatistics
  period_start: Date
  period_end: Date
}
type Row = Position & { session_id: string; client_type: string }

/**
 * Which sessions ended in the last so many days of 24 hours, and how? Latest end first.
 * @returns a page of them; the statistics are of all.
 */
export async function listDisconnected(
  sql: Queryable,
  caller: ReportCaller,
  days: number,
  { limit, after }: PageRequest,
): Promise<{
  sessions: DisconnectedSession[]
  statistics: DisconnectStatistics
  period: { start: string; end: string; days: number }
  next: Position | null
}> {
  const start = sql`now() - make_interval(hours => ${24 * days}::integer)`
  // One statement, so that page and statistics are of one moment. A page without rows still has statistics.
  const found = await sql<[Totals & Row, ...(Totals & Row)[]] | [Totals & { [K in keyof Row]: null }]>`
    with ended as materialized (
      select session.session_id, life.ended_at, ${durationOf(sql)} as duration,
             coalesce(${reasonOf(sql)}, 'unknown') as reason
      from ${sessionsWithLife(sql)}
      where ${visibleTo(sql, caller, 'session.user_id')}
        and ${hasEndedSince(sql, start)}
    )
    select totals.*, page.*
    from (
      select ${start} as period_start, now() as period_end,
             json_build_object(
               'total_disconnected', count(*),
               'disconnect_reasons', (
                 select coalesce(json_object_agg(reasons.reason, reasons.sessions), '{}')
                 from (
                   select ended.reason, count(*) as sessions
                   from ended
                   group by ended.reason
                   order by sessions desc, ended.reason
                 ) as reasons
               ),
               'avg_duration_seconds', coalesce(round(avg(ended.duration)), 0),
               'max_duration_seconds', coalesce(max(ended.duration), 0),
               'min_duration_seconds', coalesce(min(ended.duration), 0)
             ) as statistics
      from ended
    ) as totals
    left join (
      select ${sessionColumns(sql)}, ${positionColumns(sql, 'life.ended_at', 'session.session_id')},
             coalesce((
               select total.calls::integer
               from archon_mcp_session_totals as total
               where total.session_id = session.session_id
             ), 0) as total_requests
      from ${sessionsWithLife(sql)}
      join (
        select ended.session_id
        from ended
        where ${comesAfter(sql, after, 'ended.ended_at', 'ended.session_id')}
        order by ended.ended_at desc, ended.session_id desc
        limit ${limit + 1}
      ) as listed on listed.session_id = session.session_id
    ) as page on true
    order by page.micros desc, page.id desc`
  const [{ statistics, period_start, period_end }] = found
  const ended = found.filter((row): row is Totals & Row => row.session_id !== null)
  const { rows, next } = cutPage(ended, limit)
  return {
    sessions: rows.map(
      (row) => sessionOf(row, 'statistics', 'period_start', 'period_end') as DisconnectedSession,
    ),
    statistics,
    period: { start: period_start.toISOString(), end: period_end.toISOString(), days },
    next,
  }
}
