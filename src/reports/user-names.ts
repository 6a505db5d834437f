import type { Queryable } from '../db/client.ts'

// All of these want `archon_mcp_users as known`, and no row of it for users whom Archon knew alone: those are called
// as in the newest of their sessions that says so.

const newest = (sql: Queryable, owner: string, column: string) => sql`(
  select ${sql(`session.${column}`)}
  from archon_mcp_sessions as session
  where session.user_id = ${sql(owner)} and ${sql(`session.${column}`)} is not null
  order by session.last_activity desc, session.session_id
  limit 1
)`

/** @param owner the column with the user's id. */
export const emailOf = (sql: Queryable, owner: string) =>
  sql`coalesce(known.email, ${newest(sql, owner, 'user_email')})`

/** @param owner the column with the user's id. */
export const nameOf = (sql: Queryable, owner: string) =>
  sql`coalesce(known.name, ${newest(sql, owner, 'user_name')})`

/** By what an admin set, or else by what their newest token says. */
export const departmentOf = (sql: Queryable) =>
  sql`coalesce(known.assigned_department, known.claimed_department)`

/** Likewise. */
export const roleOf = (sql: Queryable) => sql`coalesce(known.assigned_role, known.claimed_role)`
