import type { Queryable } from '../db/client.ts'

/** From `start` up to, and not with, `end`; days and hours are those of the zone. */
export interface Period {
  start: Date
  end: Date
  /** IANA. */
  timezone: string
}

/** A period as it is asked for: a Date is a moment, a text such as `2026-10-01` the start of that day in the zone. */
export interface PeriodRequest {
  /** Null for the start of the calendar month in which the period ends. */
  from: Date | string | null
  /** Null for now. */
  to: Date | string | null
  timezone: string
}

/** A period in ISO 8601, as answers tell it. */
export interface ToldPeriod {
  start: string
  end: string
  timezone: string
}

export const toldPeriod = ({ start, end, timezone }: Period): ToldPeriod => ({
  start: start.toISOString(),
  end: end.toISOString(),
  timezone,
})

const momentOf = (sql: Queryable, at: Date | string, timezone: string) =>
  at instanceof Date
    ? sql`${at}::timestamptz`
    : sql`archon_mcp_instant(${at}::text::date::timestamp, ${timezone}::text)`

/**
 * Which moments are meant? The calendar is Postgres's, so that a day here is the day by which calls are grouped.
 * @throws PostgresError 22023 for a zone that it does not know.
 */
export async function periodOf(sql: Queryable, { from, to, timezone }: PeriodRequest): Promise<Period> {
  // The month of the last moment that belongs to the period, not of its end: up to 1 November means October.
  const last = sql`period.ends_at - ${to === null ? 0 : 1}::integer * interval '1 microsecond'`
  const month = sql`archon_mcp_instant(date_trunc('month', (${last}) at time zone ${timezone}), ${timezone}::text)`
  const [row] = await sql<[{ start: Date; end: Date }]>`
    select ${from === null ? month : momentOf(sql, from, timezone)} as start, period.ends_at as end
    from (select ${to === null ? sql`now()` : momentOf(sql, to, timezone)} as ends_at) as period`
  return { start: row.start, end: row.end, timezone }
}

/** The day of a moment in a zone, such as `2026-10-01`. */
export const dayOf = (moment: Date, timezone: string): string =>
  // Sweden writes dates as ISO 8601 does.
  new Intl.DateTimeFormat('sv-SE', { timeZone: timezone, dateStyle: 'short' }).format(moment)
