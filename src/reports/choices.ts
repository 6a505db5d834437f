import type { Queryable } from '../db/client.ts'
import { departmentOf } from './user-names.ts'
import { type ReportCaller, visibleTo } from './visible-to.ts'

/** Whom and what a caller may filter by. */
export interface Choices {
  /** By name; null where there are too many to choose from a list. */
  users: { user_id: string; name: string | null; email: string | null }[] | null
  departments: string[]
}

/** More than these nobody reads through. */
const MOST_USERS = 200

/** Which users and departments are there? Those that have signed in and that the caller may see. */
export async function choicesFor(sql: Queryable, caller: ReportCaller): Promise<Choices> {
  const [row] = await sql<[{ users: Choices['users']; departments: Choices['departments'] | null }]>`
    select (
             select json_agg(json_build_object('user_id', person.user_id, 'name', person.name, 'email', person.email)
                      order by lower(coalesce(person.name, person.email)), person.user_id)
             from (
               select known.user_id, known.name, known.email
               from archon_mcp_users as known
               where ${visibleTo(sql, caller, 'known.user_id')}
               limit ${MOST_USERS + 1}
             ) as person
           ) as users,
           (
             select json_agg(team.name order by team.name)
             from (
               select distinct ${departmentOf(sql)} as name
               from archon_mcp_users as known
               where ${visibleTo(sql, caller, 'known.user_id')}
             ) as team
             where team.name is not null
           ) as departments`
  const users = row.users ?? []
  return { users: users.length > MOST_USERS ? null : users, departments: row.departments ?? [] }
}
