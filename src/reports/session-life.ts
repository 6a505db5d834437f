import type { Queryable } from '../db/client.ts'

/** What a session is at this moment. */
export type SessionStatus = 'active' | 'idle' | 'disconnected'

/** `live`: active or idle. */
export type StatusFilter = SessionStatus | 'live' | 'all'

/** The condition that nobody has used a session for as long as it lives without a call. */
const ranOut = (sql: Queryable) =>
  sql`session.last_activity < now() - make_interval(secs => session.timeout_seconds)`

/** The condition that a session that lives has been without a call for so long that it counts as idle. */
const isIdle = (sql: Queryable) =>
  sql`session.last_activity < now() - make_interval(secs => session.idle_after_seconds)`

/**
 * Sessions with `life.ended_at`: when they ended, by what is written or, before the sweep has come by, by their own
 * timeout. Nobody writes a session at the moment it becomes idle or runs out, so `status` is never read.
 */
export const sessionsWithLife = (sql: Queryable) => sql`
  archon_mcp_sessions as session
  cross join lateral (
    select coalesce(
      session.disconnected_at,
      case
        when ${ranOut(sql)} then session.last_activity + make_interval(secs => session.timeout_seconds)
      end
    ) as ended_at
  ) as life`

/** What a session is at this moment. */
export const statusOf = (sql: Queryable) => sql`
  case
    when life.ended_at is not null then 'disconnected'
    when ${isIdle(sql)} then 'idle'
    else 'active'
  end`

/** How many seconds a session lasted; null while it lives. Archon wrote none for those that timed out. */
export const durationOf = (sql: Queryable) =>
  sql`coalesce(session.total_duration, extract(epoch from life.ended_at - session.connected_at)::integer)`

/** Why a session ended; null while it lives, and where nobody wrote why. */
export const reasonOf = (sql: Queryable) => sql`
  coalesce(
    session.disconnect_reason,
    case when session.disconnected_at is null and life.ended_at is not null then 'timeout' end
  )`

/** The columns that say how a session lives, or how it ended, as the sweep would have written it. */
export const lifeColumns = (sql: Queryable) => sql`
  session.connected_at,
  session.last_activity,
  ${statusOf(sql)} as status,
  life.ended_at as disconnected_at,
  ${durationOf(sql)} as total_duration,
  ${reasonOf(sql)} as disconnect_reason`

/**
 * The condition that a session ended at a moment or later. Not `life.ended_at` alone: what is written and what is not
 * yet can each be found by an index, the two together cannot.
 */
export const hasEndedSince = (sql: Queryable, moment: ReturnType<typeof ranOut>) => sql`
  (
    session.disconnected_at >= ${moment}
    or (session.disconnected_at is null and ${ranOut(sql)} and life.ended_at >= ${moment})
  )`

/** The condition that a session has a status. */
export function hasStatus(sql: Queryable, status: StatusFilter) {
  // In the columns' own terms, of which the planner knows more than of `life`.
  const live = sql`session.disconnected_at is null and not (${ranOut(sql)})`
  switch (status) {
    case 'live':
      return live
    case 'active':
      return sql`${live} and not (${isIdle(sql)})`
    case 'idle':
      return sql`${live} and ${isIdle(sql)}`
    case 'disconnected':
      return sql`(session.disconnected_at is not null or ${ranOut(sql)})`
    case 'all':
      return sql`true`
  }
}
