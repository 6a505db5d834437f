import { type Actor, type AuditAction, type AuditDetails, recordAudit } from '../audit.ts'
import type { Sql, Transaction } from '../db/client.ts'
import { inTransaction } from '../db/transaction.ts'
import { revokeAccessTokensOf } from './access-tokens.ts'

/** What an administrator may set. What is left out stays; null clears what was set, and the token's word counts again. */
export interface UserChange {
  /** Of calls from now on: those on record keep the department of their time. */
  department?: string | null | undefined
  role?: 'member' | 'manager' | 'finance' | 'admin' | null | undefined
  /** Refuses every token, until it is taken back, and ends the sessions. */
  blocked?: boolean | null | undefined
}

/**
 * Sets what wins over a user's token. It holds for every request that asks after the commit.
 * @returns false for a user who has never signed in here.
 */
export async function changeUser(
  sql: Sql,
  userId: string,
  { department, role, blocked }: UserChange,
  by: Actor,
): Promise<boolean> {
  return await inTransaction(sql, async (tx) => {
    const [before] = await tx<Assigned[]>`
      select known.assigned_department as department, known.assigned_role as role,
             known.blocked_at is not null as blocked
      from archon_mcp_users as known
      where known.user_id = ${userId}
      for no key update`
    if (before === undefined) return false
    const after = {
      department: department === undefined ? before.department : department,
      role: role === undefined ? before.role : role,
      blocked: blocked === undefined ? before.blocked : blocked === true,
    }
    await tx`
      update archon_mcp_users as known
      set assigned_department = ${after.department},
          assigned_role = ${after.role},
          blocked_at = ${after.blocked ? tx`coalesce(known.blocked_at, clock_timestamp())` : null}
      where known.user_id = ${userId}`
    if (after.blocked && !before.blocked) await endSessions(tx, userId)
    const target = { kind: 'user', id: userId } as const
    for (const { action, details } of actsOf(before, after)) {
      await recordAudit(tx, by, { action, target, details })
    }
    return true
  })
}

interface Assigned {
  department: string | null
  role: string | null
  blocked: boolean
}

/** What was done, one act for each thing that is not as it was. */
function* actsOf(
  before: Assigned,
  after: Assigned,
): Generator<{ action: AuditAction; details: AuditDetails }> {
  if (after.department !== before.department)
    yield { action: 'user.department_set', details: { from: before.department, to: after.department } }
  if (after.role !== before.role)
    yield { action: 'user.role_set', details: { from: before.role, to: after.role } }
  if (after.blocked !== before.blocked)
    yield { action: after.blocked ? 'user.blocked' : 'user.unblocked', details: {} }
}

/** Ends every session of a user, with the reason `revoked`. In the order in which everybody locks them. */
async function endSessions(tx: Transaction, userId: string): Promise<void> {
  await tx`
    select archon_mcp_end_session(null, live.session_id, 'revoked')
    from (
      select session.session_id
      from archon_mcp_sessions as session
      where session.user_id = ${userId} and session.disconnected_at is null
      order by session.session_id
      for no key update
    ) as live`
}

/**
 * Cuts a user off: tokens issued until now are refused from now on, and their sessions end. A new token lets them in
 * again; who must not get in at all is blocked.
 * @returns the moment; null for a user who has never signed in here.
 */
export async function revokeUser(sql: Sql, userId: string, by: Actor): Promise<Date | null> {
  return await inTransaction(sql, async (tx) => {
    const [user] = await tx<{ revoked_at: Date }[]>`
      update archon_mcp_users as known
      set revoked_at = clock_timestamp()
      where known.user_id = ${userId}
      returning known.revoked_at`
    if (user === undefined) return null
    await revokeAccessTokensOf(tx, userId)
    await endSessions(tx, userId)
    await recordAudit(tx, by, { action: 'user.revoked', target: { kind: 'user', id: userId } })
    return user.revoked_at
  })
}
