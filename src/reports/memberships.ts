import type { Queryable } from '../db/client.ts'

/** A department that a user belonged to, and when. */
export interface Membership {
  /** Null while they belonged to none. */
  department: string | null
  starts_at: string
  /** When the next one began; null for the one that holds now. */
  ends_at: string | null
}

/**
 * Where did a user work, and when? The earliest first, without a gap where the caller may see all of
 * them: a manager sees those in their department. Nothing for one whom Archon knew alone.
 */
export async function membershipsOf(sql: Queryable, userId: string): Promise<Membership[]> {
  const rows = await sql<{ department: string | null; starts_at: Date; ends_at: Date | null }[]>`
    select member.department, member.starts_at, member.ends_at
    from archon_mcp_memberships as member
    where member.user_id = ${userId}
    order by member.starts_at`
  return rows.map(({ department, starts_at, ends_at }) => ({
    department,
    starts_at: starts_at.toISOString(),
    ends_at: ends_at?.toISOString() ?? null,
  }))
}
