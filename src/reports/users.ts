import type { Queryable } from '../db/client.ts'
import { type Membership, membershipsOf } from './memberships.ts'
import { type Period, type ToldPeriod, toldPeriod } from './period.ts'
import { plain } from './plain.ts'
import { cutPage, type PageRequest, type Position } from './position.ts'
import { firstSeenOf, lastActivityOf, rankedUsers, sessionCounts, type UsersFilter } from './user-rows.ts'
import { departmentOf, emailOf, nameOf } from './user-names.ts'
import { type ReportCaller, visibleTo } from './visible-to.ts'

/** What users did in a period. */
export interface UserTotals {
  /** Sessions that lived in it, whenever they began. */
  total_sessions: number
  /** Those of them that live now, idle ones among them. */
  active_sessions: number
  total_requests: number
  total_tokens: number
  /** USD, exact, as a decimal string. */
  total_cost: string
}

/** A user, and what they did in a period. Of one whom Archon knew alone there is no role. */
export interface UserStatistics extends UserTotals {
  user_id: string
  email?: string
  name?: string
  /** As it is now, by what an admin set or else by the newest token. */
  department?: string
  role?: string
  blocked: boolean
  /** What an admin set. */
  assigned_department?: string
  assigned_role?: string
  /** Tokens issued before are refused. */
  revoked_at?: string
  /** Of all times, not of the period alone. */
  last_activity_at?: string
  first_seen_at?: string
}

/** A user by themselves: also where they worked, and when. */
export interface UserReport extends UserStatistics {
  memberships: Membership[]
}

/** A page of users; `total` and `totals` are of all that match. */
export interface UsersReport {
  period: ToldPeriod
  users: UserStatistics[]
  total: number
  totals: UserTotals
  next: Position | null
}

type Told = { [K in keyof UserTotals]: string }
type All = { [K in `all_${keyof UserTotals | 'users'}`]: string }

const totalsOf = (row: Told): UserTotals => ({
  total_sessions: Number(row.total_sessions),
  active_sessions: Number(row.active_sessions),
  total_requests: Number(row.total_requests),
  total_tokens: Number(row.total_tokens),
  total_cost: row.total_cost,
})

/** A user, and what all together did; of no user the totals alone. */
export type UsersRow = All & Told & Position

/** Whose sessions to count, all together; of everybody no look at each. */
const ownersOf = (sql: Queryable, { userId, search, department }: UsersFilter) =>
  (userId ?? search ?? department) === undefined
    ? sql`is not null`
    : sql`in (select ranked.user_id from ranked)`

/** The users in their order, each with the totals of all: the rows of the report, to run or to select from. */
export const usersQuery = (
  sql: Queryable,
  caller: ReportCaller,
  filter: UsersFilter,
  period: Period,
  { limit, after }: Omit<PageRequest, 'limit'> & { limit: number | null },
) => sql<UsersRow[]>`
  with ranked as materialized (${rankedUsers(sql, caller, filter, period)})
  select totals.*, page.*
  from (
    select counted.*, seen.total_sessions as all_total_sessions, seen.active_sessions as all_active_sessions
    from (
      select count(*) as all_users, coalesce(sum(ranked.calls), 0) as all_total_requests,
             coalesce(sum(ranked.prompt_tokens + ranked.completion_tokens), 0) as all_total_tokens,
             trim_scale(coalesce(sum(ranked.cost), 0)) as all_total_cost
      from ranked
    ) as counted
    cross join (${sessionCounts(sql, caller, period, ownersOf(sql, filter))}) as seen
  ) as totals
  left join (
    select person.user_id, person.email, person.name, person.department, person.role, person.blocked,
           person.assigned_department, person.assigned_role, person.revoked_at,
           seen.total_sessions, seen.active_sessions, person.calls as total_requests,
           person.prompt_tokens + person.completion_tokens as total_tokens, trim_scale(person.cost) as total_cost,
           ${lastActivityOf(sql, caller, 'person')} as last_activity_at, ${firstSeenOf(sql, caller, 'person')} as first_seen_at,
           person.place as micros, person.user_id as id
    from (
      select * from ranked
      where ranked.place > ${
        after === null
          ? sql`0`
          : sql`coalesce((select ranked.place from ranked where ranked.user_id = ${after.id}), ${after.micros}::bigint)`
      }
      order by ranked.place
      limit ${limit === null ? null : limit + 1}::bigint
    ) as person
    cross join lateral (${sessionCounts(sql, caller, period, sql`= person.user_id`)}) as seen
  ) as page on true
  order by page.micros`

/**
 * Who are the users, and what did they do in a period?
 * @param page a position here is a user and the place they had: the next page begins after their place of then, or of
 * now where it has changed.
 */
export async function listUsers(
  sql: Queryable,
  caller: ReportCaller,
  filter: UsersFilter,
  period: Period,
  page: PageRequest,
): Promise<UsersReport> {
  // One statement, so that page and totals are of one moment. A page without rows still has totals.
  const found = await usersQuery(sql, caller, filter, period, page)
  const [all, ...others] = [...found] as [UsersRow, ...UsersRow[]]
  const { rows, next } = cutPage([all, ...others].filter(isUser), page.limit)
  return {
    period: toldPeriod(period),
    users: rows.map((row) => userOf(row)),
    total: Number(all.all_users),
    totals: totalsOfAll(all),
    next,
  }
}

export const isUser = ({ id }: UsersRow): boolean => id !== null

export const totalsOfAll = (all: UsersRow): UserTotals =>
  totalsOf({
    total_sessions: all.all_total_sessions,
    active_sessions: all.all_active_sessions,
    total_requests: all.all_total_requests,
    total_tokens: all.all_total_tokens,
    total_cost: all.all_total_cost,
  })

/** A row as answers tell it. */
export function userOf(row: UsersRow): UserStatistics {
  const hidden = Object.keys(row).filter((name) => name.startsWith('all_'))
  return { ...(plain(row, 'micros', 'id', ...hidden) as UserStatistics), ...totalsOf(row) }
}

/** Who is this user, and what did they do in a period? Null for one who is not there or whom the caller may not see. */
export async function userById(
  sql: Queryable,
  caller: ReportCaller,
  userId: string,
  period: Period,
): Promise<UserReport | null> {
  const { users } = await listUsers(sql, caller, { userId }, period, { limit: 1, after: null })
  const [user] = users
  return user === undefined ? null : { ...user, memberships: await membershipsOf(sql, userId) }
}

/** What is this user called? Null for one who is not there or whom the caller may not see. */
export async function findUser(
  sql: Queryable,
  caller: ReportCaller,
  userId: string,
): Promise<{ user_id: string; email: string | null; name: string | null; department: string | null } | null> {
  const [user] = await sql<
    { user_id: string; email: string | null; name: string | null; department: string | null }[]
  >`
    select who.user_id, ${emailOf(sql, 'who.user_id')} as email, ${nameOf(sql, 'who.user_id')} as name,
           ${departmentOf(sql)} as department
    from (select ${userId}::uuid as user_id) as who
    left join archon_mcp_users as known on known.user_id = who.user_id
    where (known.user_id is not null and ${visibleTo(sql, caller, 'known.user_id')})
      or exists (
        select from archon_mcp_sessions as session
        where session.user_id = who.user_id and ${visibleTo(sql, caller, 'session.user_id')}
      )
      or exists (
        select from archon_mcp_requests as call
        where call.user_id = who.user_id and ${visibleTo(sql, caller, 'call.user_id')}
      )`
  return user ?? null
}
