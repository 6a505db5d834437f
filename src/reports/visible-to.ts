import type { Queryable } from '../db/client.ts'

/** Who asks, as the database has them: what they may see follows from this alone. */
export interface ReportCaller {
  role: 'member' | 'manager' | 'finance' | 'admin' | 'service'
  /** Null for a program. */
  userId: string | null
  department: string | null
}

/** Runs one report for a caller: a long one is read in steps, each of which asks anew who that is. */
export type ReportReader = <T>(report: (sql: Queryable, caller: ReportCaller) => Promise<T>) => Promise<T>

/** The ids of a department's users, by what an admin set or else by what their newest token says. */
export const usersOfDepartment = (sql: Queryable, department: string | null) => sql`
  select known.user_id
  from archon_mcp_users as known
  where coalesce(known.assigned_department, known.claimed_department) = ${department}`

/** The department to which a row belongs: that of its time, but of a user the one where they are now. */
function departmentOf(sql: Queryable, owner: string) {
  const [row = ''] = owner.split('.')
  return row === 'known'
    ? sql`coalesce(known.assigned_department, known.claimed_department)`
    : sql(`${row}.department`)
}

/** A role is a constant, so that Postgres keeps of a condition what the role leaves of it. */
const constant = (sql: Queryable, { role }: ReportCaller) => sql.unsafe(`'${role}'`)

/** Whether a caller sees everybody's users, sessions and sums. */
export const seesEveryone = (sql: Queryable, caller: ReportCaller) =>
  sql`archon_mcp_sees_everyone(${constant(sql, caller)})`
/** Whether a caller reads every single call. */
export const seesEveryCall = (sql: Queryable, caller: ReportCaller) =>
  sql`archon_mcp_sees_every_call(${constant(sql, caller)})`

/** The department that a caller manages, or null. */
export const managedBy = (sql: Queryable, caller: ReportCaller) =>
  sql`archon_mcp_manages(${constant(sql, caller)}, ${caller.department})`

/** The policies' own rule. */
const sees = (
  sql: Queryable,
  everybodys: ReturnType<typeof seesEveryone>,
  caller: ReportCaller,
  owner: string,
) => sql`
  archon_mcp_sees(
    ${everybodys}, ${caller.userId}::uuid, ${managedBy(sql, caller)},
    ${sql(owner)}, ${departmentOf(sql, owner)}
  )`

/**
 * The one rule of who sees what, as a condition: members their own, managers what belongs to their department and
 * their own, finance, admins and programs everybody's. What belongs to nobody is for those three alone. The database
 * holds callers to the same rule where row-level security is on (`archon_mcp_sees()`).
 * @param owner the column with the id of the user to whom a row belongs, such as `session.user_id`; a column
 * `department` stands beside it. `known` are users.
 * @example sql`select session.session_id from archon_mcp_sessions as session where ${visibleTo(sql, caller, 'session.user_id')}`
 */
export const visibleTo = (sql: Queryable, caller: ReportCaller, owner: string) =>
  sees(sql, seesEveryone(sql, caller), caller, owner)

/** As visibleTo(), for single calls: finance reads sums of everybody's, and rows of its own alone. */
export const callsVisibleTo = (sql: Queryable, caller: ReportCaller, owner: string) =>
  sees(sql, seesEveryCall(sql, caller), caller, owner)

/** As visibleTo(), for counts of refused calls (`refused`): they have no department but their user's of now. */
export const refusalsVisibleTo = (sql: Queryable, caller: ReportCaller) => sql`
  (${seesEveryone(sql, caller)} or refused.user_id in (
    select known.user_id from archon_mcp_users as known where ${visibleTo(sql, caller, 'known.user_id')}
  ))`

/** Whether callsVisibleTo() lets somebody read the calls of a user whose sessions they may see. */
export const readsCallsOf = ({ role, userId }: ReportCaller, owner: string | undefined): boolean =>
  role !== 'finance' || userId === owner
