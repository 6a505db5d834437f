import type { Queryable } from '../db/client.ts'
import { type ReportedClientType, reportedClientType } from './client-types.ts'
import { durationOf, hasStatus, type SessionStatus, sessionsWithLife, statusOf } from './session-life.ts'
import { type ReportCaller, visibleTo } from './visible-to.ts'

/** How the sessions that a caller may see are doing. */
export interface SessionHealth {
  status_breakdown: { active: number; idle: number; disconnected: number; total: number }
  /** Live sessions by the time since their last call: less than 5 minutes, up to 10, longer. */
  age_distribution: { healthy: number; aging: number; stale: number }
  /** Of the sessions that connected in the last 24 hours; durations of those that have ended. */
  connection_health: {
    avg_duration_seconds: number
    sessions_per_hour: number
    disconnect_rate_percent: number
    total_sessions_24h: number
  }
  /** The ten with the latest activity. */
  recent_activity: {
    /** Its first 8 characters and `...`. */
    session_id: string
    client_type: ReportedClientType
    status: SessionStatus
    /** Since the last call. */
    age_minutes: number
    /** From the connection to the end, or till now. */
    uptime_minutes: number
  }[]
  timestamp: string
}

type Recent = SessionHealth['recent_activity'][number] & { client_type: string }
type Row = Omit<SessionHealth, 'recent_activity' | 'timestamp'> & {
  recent_activity: Recent[]
  timestamp: Date
}

/** How are the sessions doing that the caller may see? */
export async function sessionHealth(sql: Queryable, caller: ReportCaller): Promise<SessionHealth> {
  const visible = visibleTo(sql, caller, 'session.user_id')
  const [row] = await sql<[Row]>`
    select json_build_object(
             'active', live.active,
             'idle', live.idle,
             'disconnected', every.total - live.active - live.idle,
             'total', every.total
           ) as status_breakdown,
           json_build_object(
             'healthy', live.active,
             'aging', live.idle - live.stale,
             'stale', live.stale
           ) as age_distribution,
           json_build_object(
             'avg_duration_seconds', coalesce(day.avg_duration, 0),
             'sessions_per_hour', round(day.total / 24.0, 2),
             'disconnect_rate_percent', coalesce(round(100.0 * day.disconnected / nullif(day.total, 0), 2), 0),
             'total_sessions_24h', day.total
           ) as connection_health,
           recent.activity as recent_activity,
           now() as timestamp
    from (
      select count(*) as total
      from archon_mcp_sessions as session
      where ${visible}
    ) as every
    cross join (
      select count(*) filter (where ${hasStatus(sql, 'active')}) as active,
             count(*) filter (where ${hasStatus(sql, 'idle')}) as idle,
             count(*) filter (where session.last_activity < now() - interval '10 minutes') as stale
      from archon_mcp_sessions as session
      where ${visible}
        and ${hasStatus(sql, 'live')}
    ) as live
    cross join (
      select count(*) as total,
             count(life.ended_at) as disconnected,
             round(avg(${durationOf(sql)})) as avg_duration
      from ${sessionsWithLife(sql)}
      where ${visible}
        and session.connected_at >= now() - interval '24 hours'
    ) as day
    cross join (
      select coalesce(json_agg(latest), '[]') as activity
      from (
        select left(session.session_id::text, 8) || '...' as session_id, session.client_type,
               ${statusOf(sql)} as status,
               round(extract(epoch from now() - session.last_activity) / 60, 1) as age_minutes,
               round(extract(epoch from coalesce(life.ended_at, now()) - session.connected_at) / 60, 1)
                 as uptime_minutes
        from ${sessionsWithLife(sql)}
        where ${visible}
        order by session.last_activity desc, session.session_id desc
        limit 10
      ) as latest
    ) as recent`
  return {
    ...row,
    recent_activity: row.recent_activity.map((session) => ({
      ...session,
      client_type: reportedClientType(session.client_type),
    })),
    timestamp: row.timestamp.toISOString(),
  }
}
