import type { Queryable } from '../db/client.ts'
import { type ReportedClientType, reportedClientType } from './client-types.ts'
import { costsBy } from './costs.ts'
import { type Period, type ToldPeriod } from './period.ts'
import { durationOf, hasStatus, sessionsWithLife } from './session-life.ts'
import { livedIn } from './user-rows.ts'
import { findUser } from './users.ts'
import { type ReportCaller, visibleTo } from './visible-to.ts'

/** What a user did in a period, in the words of get_user_activity_summary(), and day by day. */
export interface UserActivity {
  period: ToldPeriod
  user_id: string
  user_email: string | null
  user_name: string | null
  /** Sessions that lived in the period, whenever they began. */
  total_sessions: number
  /** Those of them that live now, idle ones among them. */
  active_sessions: number
  total_requests: number
  total_tokens: number
  /** USD, exact, as a decimal string. */
  total_cost: string
  /** Seconds, of sessions that have ended; null where none has. */
  avg_session_duration: number | null
  most_used_client: ReportedClientType | null
  first_seen: string | null
  last_seen: string | null
  /** Each day of the period in its zone; the first begins where the period does. */
  trend: { date: string; calls: number; tokens: number; cost: string }[]
}

interface Row {
  total_sessions: string
  active_sessions: string
  avg_session_duration: number | null
  most_used_client: string | null
  first_seen: Date | null
  last_seen: Date | null
}

/** What did a user do in a period? Null for one who is not there or whom the caller may not see. */
export async function userActivity(
  sql: Queryable,
  caller: ReportCaller,
  userId: string,
  period: Period,
): Promise<UserActivity | null> {
  const user = await findUser(sql, caller, userId)
  if (user === null) return null
  const [costs, [row]] = await Promise.all([
    costsBy(sql, caller, 'day', period, { userId }),
    sql<[Row]>`
      with lived as (
        select session.client_type, session.connected_at, session.last_activity, ${durationOf(sql)} as duration,
               ${hasStatus(sql, 'live')} as live
        from ${sessionsWithLife(sql)}
        where session.user_id = ${userId}
          and ${visibleTo(sql, caller, 'session.user_id')}
          and ${livedIn(sql, period)}
      )
      select count(*) as total_sessions, count(*) filter (where lived.live) as active_sessions,
             avg(lived.duration)::integer as avg_session_duration,
             (
               select used.client_type from lived as used
               group by used.client_type order by count(*) desc, max(used.last_activity) desc limit 1
             ) as most_used_client,
             min(lived.connected_at) as first_seen, max(lived.last_activity) as last_seen
      from lived`,
  ])
  return {
    period: costs.period,
    user_id: user.user_id,
    user_email: user.email,
    user_name: user.name,
    total_sessions: Number(row.total_sessions),
    active_sessions: Number(row.active_sessions),
    total_requests: costs.total.calls,
    total_tokens: costs.total.total_tokens,
    total_cost: costs.total.cost,
    avg_session_duration: row.avg_session_duration,
    most_used_client: row.most_used_client === null ? null : reportedClientType(row.most_used_client),
    first_seen: row.first_seen?.toISOString() ?? null,
    last_seen: row.last_seen?.toISOString() ?? null,
    trend: costs.rows.map(({ key, calls, total_tokens, cost }) => ({
      date: key ?? '',
      calls,
      tokens: total_tokens,
      cost,
    })),
  }
}
