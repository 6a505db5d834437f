import type { Queryable } from '../db/client.ts'

/** Who asks, as the database has them: what they may see follows from this alone. */
export interface ReportCaller {
  role: 'member' | 'manager' | 'finance' | 'admin' | 'service'
  /** Null for a program. */
  userId: string | null
  department: string | null
}

/** The ids of a department's users, by what an admin set or else by what their newest token says. */
export const usersOfDepartment = (sql: Queryable, department: string | null) => sql`
  select known.user_id
  from archon_mcp_users as known
  where coalesce(known.assigned_department, known.claimed_department) = ${department}`

/**
 * The one rule of who sees what, as a condition: members their own, managers their department's and their own,
 * finance, admins and programs everybody's. What belongs to nobody is for those three alone.
 * @param owner the column with the id of the user to whom a row belongs, such as `session.user_id`.
 * @example sql`select session.session_id from archon_mcp_sessions as session where ${visibleTo(sql, caller, 'session.user_id')}`
 */
export function visibleTo(sql: Queryable, { role, userId, department }: ReportCaller, owner: string) {
  switch (role) {
    case 'admin':
    case 'finance':
    case 'service':
      return sql`true`
    case 'manager':
      // Without a department, `= null` finds nobody.
      return sql`${sql(owner)} in (${usersOfDepartment(sql, department)} or known.user_id = ${userId})`
    case 'member':
      return sql`${sql(owner)} = ${userId}`
  }
}

/** As visibleTo(), for single calls: finance reads sums of everybody's, and rows of its own alone. */
export const callsVisibleTo = (sql: Queryable, caller: ReportCaller, owner: string) =>
  visibleTo(sql, caller.role === 'finance' ? { ...caller, role: 'member' } : caller, owner)

/** Whether callsVisibleTo() lets somebody read the calls of a user whose sessions they may see. */
export const readsCallsOf = ({ role, userId }: ReportCaller, owner: string | undefined): boolean =>
  role !== 'finance' || userId === owner
