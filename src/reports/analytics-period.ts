import type { Queryable } from '../db/client.ts'
import type { Period } from './period.ts'

/**
 * The last so many calendar days of a zone, and the same stretch of as many days before. It ends now: today is not
 * over, and neither is the last day of the period before.
 */
export interface AnalyticsPeriod extends Period {
  previousStart: Date
  previousEnd: Date
  days: number
}

/**
 * Which moments are the last days in a zone? A day begins when its clocks first show midnight, or are past it.
 * @param now the moment to look from; null is the database's clock.
 * @throws PostgresError 22023 for a zone that Postgres does not know.
 */
export async function analyticsPeriod(
  sql: Queryable,
  days: number,
  timezone: string,
  now: Date | null = null,
): Promise<AnalyticsPeriod> {
  const [row] = await sql<[Omit<AnalyticsPeriod, 'days' | 'timezone'>]>`
    select moment.at as end,
           archon_mcp_instant(today.midnight - (${days - 1}::integer) * interval '1 day', ${timezone}) as start,
           archon_mcp_instant(today.midnight - (${2 * days - 1}::integer) * interval '1 day', ${timezone})
             as "previousStart",
           archon_mcp_instant(today.clock - (${days}::integer) * interval '1 day', ${timezone}) as "previousEnd"
    from (select coalesce(${now}::timestamptz, now()) as at) as moment
    cross join lateral (select moment.at at time zone ${timezone} as clock) as here
    cross join lateral (select here.clock, date_trunc('day', here.clock) as midnight) as today`
  return { ...row, days, timezone }
}
