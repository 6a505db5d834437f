import type { Queryable } from '../db/client.ts'
import type { Period } from './period.ts'
import { refusalsVisibleTo, type ReportCaller } from './visible-to.ts'

/** How many calls were refused in a period, and of how many users. */
export interface RefusalSums {
  calls: number
  users: number
}

/** How many calls did limits refuse? By quarters of an hour: those on the edges of the period count whole. */
export async function refusalsIn(
  sql: Queryable,
  caller: ReportCaller,
  { start, end }: Period,
): Promise<RefusalSums> {
  const [row] = await sql<[{ calls: string; users: string }]>`
    select coalesce(sum(refused.calls), 0) as calls, count(distinct refused.user_id) as users
    from archon_mcp_refusals as refused
    where refused.enforced
      and refused.quarter >= date_bin('15 minutes', ${start}::timestamptz, timestamptz 'epoch')
      and refused.quarter < ${end}
      and ${refusalsVisibleTo(sql, caller)}`
  return { calls: Number(row.calls), users: Number(row.users) }
}
