import type { Sql } from '../db/client.ts'
import { inTransaction } from '../db/transaction.ts'

/** What an administrator may set. What is left out stays; null clears what was set, and the token's word counts again. */
export interface UserChange {
  /** Of calls from now on: those on record keep the department of their time. */
  department?: string | null | undefined
  role?: 'member' | 'manager' | 'finance' | 'admin' | null | undefined
  /** Refuses every token, until it is taken back. */
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
): Promise<boolean> {
  const [user] = await sql`
    update archon_mcp_users as known
    set assigned_department = ${department === undefined ? sql`known.assigned_department` : department},
        assigned_role = ${role === undefined ? sql`known.assigned_role` : role},
        blocked_at = ${
          blocked === undefined
            ? sql`known.blocked_at`
            : blocked === true
              ? sql`coalesce(known.blocked_at, clock_timestamp())`
              : null
        }
    where known.user_id = ${userId}
    returning known.user_id`
  return user !== undefined
}

/**
 * Cuts a user off: tokens issued until now are refused from now on, and their sessions end. A new token lets them in
 * again; who must not get in at all is blocked.
 * @returns the moment; null for a user who has never signed in here.
 */
export async function revokeUser(sql: Sql, userId: string): Promise<Date | null> {
  return await inTransaction(sql, async (tx) => {
    const [user] = await tx<{ revoked_at: Date }[]>`
      update archon_mcp_users as known
      set revoked_at = clock_timestamp()
      where known.user_id = ${userId}
      returning known.revoked_at`
    if (user === undefined) return null
    // In the order in which everybody locks them.
    await tx`
      select archon_mcp_end_session(null, live.session_id, 'revoked')
      from (
        select session.session_id
        from archon_mcp_sessions as session
        where session.user_id = ${userId} and session.disconnected_at is null
        order by session.session_id
        for no key update
      ) as live`
    return user.revoked_at
  })
}
