import type { Queryable } from '../db/client.ts'
import { dayOf, type Period, periodOf } from '../reports/period.ts'
import { day as dayText } from './format.ts'

/** The periods that one click gives. */
export const PRESETS = {
  today: 'Today',
  '7d': '7 days',
  '30d': '30 days',
  month: 'This month',
  'last-month': 'Last month',
  year: 'This year',
} as const
export type Preset = keyof typeof PRESETS

/** A period that a page shows. Its days are whole ones of its zone, the last one included. */
export interface ShownPeriod extends Period {
  /** Null for dates of one's own. */
  preset: Preset | null
  /** Such as `2026-10-01`. */
  first: string
  last: string
  /** Whether it goes on: its last day is today. */
  toNow: boolean
  /** As people say it: `1 – 31 Oct 2026`. */
  label: string
  /** What of the address could not be used; the page shows another period then. */
  fault: string | null
}

/** What an address says of a period. */
export type PeriodQuery = Readonly<Record<string, string>>

const DAY = /^\d{4}-\d\d-\d\d$/
const isDay = (text: string): boolean =>
  DAY.test(text) &&
  text >= '1970' &&
  !Number.isNaN(Date.parse(text)) &&
  new Date(text).toISOString().startsWith(text)

const isPreset = (text: string): text is Preset => Object.hasOwn(PRESETS, text)

/** So many days later, on the calendar. */
export const plusDays = (date: string, days: number): string =>
  new Date(Date.parse(date) + days * 86_400_000).toISOString().slice(0, 10)

/** How many days a period has. */
export const daysOf = ({ first, last }: Pick<ShownPeriod, 'first' | 'last'>): number =>
  Math.round((Date.parse(last) - Date.parse(first)) / 86_400_000) + 1

function daysOfPreset(preset: Preset, today: string): { first: string; last: string } {
  const month = `${today.slice(0, 7)}-01`
  switch (preset) {
    case 'today':
      return { first: today, last: today }
    case '7d':
      return { first: plusDays(today, -6), last: today }
    case '30d':
      return { first: plusDays(today, -29), last: today }
    case 'month':
      return { first: month, last: today }
    case 'last-month': {
      const last = plusDays(month, -1)
      return { first: `${last.slice(0, 7)}-01`, last }
    }
    case 'year':
      return { first: `${today.slice(0, 4)}-01-01`, last: today }
  }
}

/** Zones by what both this runtime and Postgres know: the four that are refused mean winter time all year there. */
function isZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name) || name.length > 64 || /^[CEMW]ET$/i.test(name)) return false
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== ''
  } catch {
    return false // a RangeError
  }
}

function labelOf(first: string, last: string): string {
  if (first === last) return dayText(first)
  const sameMonth = first.slice(0, 7) === last.slice(0, 7)
  const sameYear = first.slice(0, 4) === last.slice(0, 4)
  const start = sameMonth
    ? dayText(first, { day: 'numeric' })
    : sameYear
      ? dayText(first, { day: 'numeric', month: 'short' })
      : dayText(first)
  return `${start} – ${dayText(last)}`
}

/** Which zone an address asks for; UTC where it says none, or none that is known. */
export function chosenZone(query: PeriodQuery): { timezone: string; fault: string | null } {
  const asked = query['timezone'] ?? ''
  if (isZone(asked)) return { timezone: asked, fault: null }
  return { timezone: 'UTC', fault: asked === '' ? null : 'This time zone is not known; the page shows UTC.' }
}

/**
 * Which days an address asks for, pure. Dates win over a preset where they are not the preset's own: a form sends
 * both. What makes no sense gives the default, and says so.
 */
export function chosenDays(query: PeriodQuery, now: Date, standard: Preset = '30d') {
  const { timezone, fault } = chosenZone(query)
  const today = dayOf(now, timezone)
  const named = query['period'] ?? ''
  const preset = isPreset(named) ? named : standard
  const days = daysOfPreset(preset, today)
  const first = query['first'] === undefined || query['first'] === '' ? null : query['first']
  const last = query['last'] === undefined || query['last'] === '' ? null : query['last']
  const chosen = { preset, ...days, timezone, today, fault }
  if (first === null && last === null) return chosen
  if ((first !== null && !isDay(first)) || (last !== null && !isDay(last))) {
    return { ...chosen, fault: 'These dates cannot be read; the page shows another period.' }
  }
  const own = { first: first ?? days.first, last: last ?? today }
  if (own.first === days.first && own.last === days.last) return chosen
  if (own.first > own.last)
    return { ...chosen, fault: 'The last day lies before the first; the page shows another period.' }
  return { ...chosen, ...own, preset: null }
}

/**
 * The period that an address asks for, as reports take it.
 * @throws PostgresError 22023 for a zone that the runtime knows and Postgres does not.
 */
export async function shownPeriod(
  db: Queryable,
  query: PeriodQuery,
  now: Date,
  standard?: Preset,
): Promise<ShownPeriod> {
  const { today, ...chosen } = chosenDays(query, now, standard)
  const toNow = chosen.last === today
  const to = toNow ? null : plusDays(chosen.last, 1)
  const period = await periodOf(db, { from: chosen.first, to, timezone: chosen.timezone })
  return { ...period, ...chosen, toNow, label: labelOf(chosen.first, chosen.last) }
}

/** As many days before it; where it goes on, up to the same time of day. */
export async function periodBefore(db: Queryable, shown: ShownPeriod): Promise<Period> {
  const days = daysOf(shown)
  const from = plusDays(shown.first, -days)
  const to = shown.toNow ? new Date(shown.end.getTime() - days * 86_400_000) : shown.first
  return await periodOf(db, { from, to, timezone: shown.timezone })
}
