import * as z from 'zod'
import { errorCode, type Queryable } from '../db/client.ts'
import { problem } from '../errors.ts'
import { type Period, periodOf } from '../reports/period.ts'

const isZone = (name: string): boolean => {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    return false // a RangeError
  }
}

/** The IANA name of a time zone. To Postgres the four that are refused mean winter time all year. */
export const timezoneQuery = z
  .string()
  .max(64)
  .regex(/^[A-Za-z]/, 'must be the IANA name of a time zone, such as Europe/Berlin')
  .refine((name) => !/^[CEMW]ET$/i.test(name), 'must name a place, such as Europe/Berlin')
  .refine(isZone, 'is not a time zone that is known')
  .default('UTC')
  .meta({ description: 'IANA name of a time zone', examples: ['Europe/Berlin'] })

/** The years that both JavaScript and Postgres can tell in four digits, in whatever zone. */
const LAST_MOMENT = Date.UTC(9999, 11, 31)
const inReach = (text: string): boolean => text >= '1970' && Date.parse(text) < LAST_MOMENT

/** A moment, or a date such as `2026-10-01`, which stays text: it is the zone that says when that day begins. */
const edge = z
  .string()
  // A plus sign that nobody encoded.
  .transform((text) => text.replace(' ', '+'))
  .pipe(
    z.union(
      [z.iso.date(), z.iso.datetime({ offset: true })],
      'must be a date, or a moment with its offset, of ISO 8601',
    ),
  )
  .refine(inReach, 'is out of reach')
  .transform((text) => (text.length === 10 ? text : new Date(text)))
  .optional()
  .meta({
    description: 'A day in the time zone, or a moment with its offset, of ISO 8601',
    examples: ['2026-10-01', '2026-10-15T08:00:00Z', '2026-11-01'],
  })

/** The query of every report over a period. */
export const periodQuery = { from: edge, to: edge, timezone: timezoneQuery }

type PeriodQuery = { from?: Date | string | undefined; to?: Date | string | undefined; timezone: string }

/** A fault of a query that only the database could find. */
export interface QueryFault {
  path: string
  message: string
}

/** Answers as any fault of a query is answered. */
export const faulty = (fault: QueryFault): Response =>
  problem({ code: 'invalid_request' }, { errors: [fault] })

/** Postgres has a list of zones of its own. */
export const UNKNOWN_ZONE = '22023'

/**
 * Which moments a query means.
 * @param start where the period begins that says nothing; left out for the start of the month in which it ends.
 */
export async function readPeriod(
  sql: Queryable,
  { from, to, timezone }: PeriodQuery,
  start: Date | null = null,
): Promise<{ period: Period } | { fault: QueryFault }> {
  try {
    const period = await periodOf(sql, { from: from ?? start, to: to ?? null, timezone })
    if (period.start < period.end) return { period }
    return { fault: { path: to === undefined ? 'from' : 'to', message: 'the period ends before it begins' } }
  } catch (error) {
    if (errorCode(error) !== UNKNOWN_ZONE) throw error
    return { fault: { path: 'timezone', message: 'is not a time zone that Postgres knows' } }
  }
}
