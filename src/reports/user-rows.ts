import type { Queryable } from '../db/client.ts'
import { callSums } from './call-sums.ts'
import type { SqlFragment } from './cost-parts.ts'
import type { Period } from './period.ts'
import { hasStatus, sessionsWithLife } from './session-life.ts'
import { departmentOf, emailOf, nameOf, roleOf } from './user-names.ts'
import { type ReportCaller, visibleTo } from './visible-to.ts'

export const USER_SORTS = ['cost', 'calls', 'tokens', 'last_activity', 'name'] as const
export type UserSort = (typeof USER_SORTS)[number]

/** Which users, and in which order. */
export interface UsersFilter {
  userId?: string | undefined
  /** A part of the e-mail or the name, in any case; or the whole id. */
  search?: string | undefined
  /** Where they work now. */
  department?: string | undefined
  sort?: UserSort
}

/**
 * The condition that a session lived in a period, whenever it began. It wants sessionsWithLife(). What was written
 * before the period can be left aside by an index, `life.ended_at` cannot.
 */
export const livedIn = (sql: Queryable, { start, end }: Period) => sql`
  (
    session.connected_at < ${end}
    and (session.disconnected_at >= ${start} or session.disconnected_at is null)
    and coalesce(life.ended_at, 'infinity') >= ${start}
  )`

/** How many sessions that a caller may see lived in a period, and how many of them live now. */
export const sessionCounts = (
  sql: Queryable,
  caller: ReportCaller,
  period: Period,
  owners: SqlFragment,
) => sql`
  select count(*) as total_sessions, count(*) filter (where ${hasStatus(sql, 'live')}) as active_sessions
  from ${sessionsWithLife(sql)}
  where session.user_id ${owners}
    and ${visibleTo(sql, caller, 'session.user_id')}
    and ${livedIn(sql, period)}`

/** When a user made their first or last call, of those of which a caller may see sums. */
function edgeOfCalls(sql: Queryable, caller: ReportCaller, owner: string, edge: 'first' | 'last') {
  const moment = sql(`total.${edge}_call_at`)
  return sql`(
    select ${edge === 'first' ? sql`min(${moment})` : sql`max(${moment})`}
    from archon_mcp_user_totals as total
    where total.user_id = ${sql(owner)} and ${visibleTo(sql, caller, 'total.user_id')}
  )`
}

/** When a user was last seen, in a session or by a call outside of any. */
export const lastActivityOf = (sql: Queryable, caller: ReportCaller, row: string) =>
  sql`greatest(${sql(`${row}.last_session`)}, ${edgeOfCalls(sql, caller, `${row}.user_id`, 'last')})`

/** When a user was seen first. */
export const firstSeenOf = (sql: Queryable, caller: ReportCaller, row: string) => sql`
  least(
    ${sql(`${row}.created_at`)}, ${sql(`${row}.first_session`)},
    ${edgeOfCalls(sql, caller, `${row}.user_id`, 'first')}
  )`

const asPattern = (search: string): string => `%${search.replaceAll(/[\\%_]/g, '\\$&')}%`

function isWanted(sql: Queryable, { search, department }: UsersFilter) {
  return sql`
    true
    ${
      search === undefined
        ? sql``
        : sql`and (
            person.email ilike ${asPattern(search)} or person.name ilike ${asPattern(search)}
            or person.user_id::text = ${search.toLowerCase()}
          )`
    }
    ${department === undefined ? sql`` : sql`and person.department = ${department}`}`
}

function orderOf(sql: Queryable, caller: ReportCaller, sort: UserSort) {
  switch (sort) {
    case 'cost':
      return sql`person.cost desc`
    case 'calls':
      return sql`person.calls desc`
    case 'tokens':
      return sql`person.prompt_tokens + person.completion_tokens desc`
    case 'last_activity':
      return sql`${lastActivityOf(sql, caller, 'person')} desc nulls last`
    case 'name':
      return sql`lower(coalesce(person.name, person.email)) nulls last`
  }
}

/**
 * The users that a caller may see and asks for, with what their calls of a period come to and their place in the order:
 * a query to select from. Users whom Archon knew alone are among them. Sessions are counted for those alone who are told
 * of: there are many.
 */
export function rankedUsers(sql: Queryable, caller: ReportCaller, filter: UsersFilter, period: Period) {
  const { userId, sort = 'cost' } = filter
  const mayBe = (owner: string): SqlFragment => sql`
    ${visibleTo(sql, caller, owner)} ${userId === undefined ? sql`` : sql`and ${sql(owner)} = ${userId}`}`
  return sql`
    with counted as (
      select call.user_id, call.calls, call.prompt_tokens, call.completion_tokens, call.cost
      from ${callSums(sql, caller, ['user_id'], { period, userId, costsOnly: true })}
      where call.user_id is not null
    ), seen as (
      select ended.user_id, min(ended.first_connected_at) as first_session, max(ended.last_activity_at) as last_session
      from archon_mcp_ended_sessions as ended
      where ${mayBe('ended.user_id')}
      group by ended.user_id
      union all
      select session.user_id, min(session.connected_at), max(session.last_activity)
      from archon_mcp_sessions as session
      where session.disconnected_at is null
        and session.user_id is not null
        and ${mayBe('session.user_id')}
      group by session.user_id
    ), active as (
      -- Added up rather than joined: of joins of sums the planner expects millions of rows.
      select part.user_id, min(part.first_session) as first_session, max(part.last_session) as last_session,
             coalesce(max(part.calls), 0) as calls, coalesce(max(part.prompt_tokens), 0) as prompt_tokens,
             coalesce(max(part.completion_tokens), 0) as completion_tokens, coalesce(max(part.cost), 0) as cost
      from (
        select known.user_id, null::timestamptz as first_session, null::timestamptz as last_session,
               null::bigint as calls, null::bigint as prompt_tokens, null::bigint as completion_tokens,
               null::numeric as cost
        from archon_mcp_users as known
        where ${mayBe('known.user_id')}
        union all
        select seen.user_id, seen.first_session, seen.last_session, null, null, null, null
        from seen
        union all
        select counted.user_id, null, null, counted.calls, counted.prompt_tokens, counted.completion_tokens, counted.cost
        from counted
      ) as part
      group by part.user_id
    ), person as (
      select active.*, ${emailOf(sql, 'active.user_id')} as email, ${nameOf(sql, 'active.user_id')} as name,
             ${departmentOf(sql)} as department, ${roleOf(sql)} as role, known.blocked_at is not null as blocked,
             known.assigned_department, known.assigned_role, known.revoked_at, known.created_at
      from active
      left join archon_mcp_users as known on known.user_id = active.user_id
    )
    select person.*, row_number() over (order by ${orderOf(sql, caller, sort)}, person.user_id) as place
    from person
    where ${isWanted(sql, filter)}`
}
