import type { Sql } from '../db/client.ts'

/** A row of a roll-up that says other than its calls do. */
export interface RollupDifference {
  /** Such as `user_days`. */
  rollup: string
  /** Which row: a user's id, a day, a department, … */
  key: Record<string, string | number>
  /** What it says beyond the calls, by figure; less than 0 for what it misses. */
  beyond: Record<string, number>
  /** The day of UTC of the row, `YYYY-MM-DD`; null for a total. */
  day: string | null
}

/** Compares the roll-ups with the calls, of all days of which every call is there. */
export async function checkRollups(sql: Sql): Promise<RollupDifference[]> {
  const found = await sql<RollupDifference[]>`
    select found.rollup, found.key, found.beyond,
           coalesce((found.key ->> 'day')::date, ((found.key ->> 'quarter')::timestamptz at time zone 'UTC')::date)::text
             as day
    from archon_mcp_check_rollups() as found
    order by found.rollup, day, found.key::text`
  return [...found]
}

/** The day from which to make roll-ups anew; null for all that can be. Totals of users are always made anew. */
export function firstWrongDay(differences: RollupDifference[], today: string): string | null {
  if (differences.some(({ rollup }) => rollup === 'session_totals')) return null
  return differences.map(({ day }) => day ?? today).toSorted()[0] ?? today
}

/**
 * Makes the roll-ups anew from the calls, from a day of UTC on, and records in `archon_mcp_rebuilds` what was wrong.
 * Calls wait meanwhile.
 * @param from `YYYY-MM-DD`; null for the first of which every call is there.
 * @throws PostgresError 22023 for a day before that.
 */
export async function rebuildRollups(sql: Sql, from: string | null): Promise<void> {
  await sql`select archon_mcp_rebuild_rollups(${from}::text::date)`
}
