import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pgArray } from '../../src/db/client.ts'
import type { QuotaWindow } from '../../src/ledger/types.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

// Calendar windows are computed in SQL (archon_mcp_window). Here they are held against a slow picture of them: step
// along the timeline and look at what a clock on the wall reads.

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

const YEAR = 2026
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Zones with changes, and one without. The first test says that Postgres and this runtime agree about them. */
const CHANGING = [
  'America/New_York',
  'Europe/Berlin',
  'Australia/Lord_Howe', // by half an hour
  'America/Santiago', // at midnight, in the southern half
  'Pacific/Chatham', // +12:45 and +13:45
  'Africa/Cairo', // at midnight, on a Friday
] as const
const ZONES = [...CHANGING, 'Asia/Kathmandu', 'UTC'] as const // Kathmandu is +05:45 all the year

interface Window {
  unit: QuotaWindow
  zone: string
  /** Of the week, from Monday, 1; or of the month. */
  day: number | null
  hour: number | null
}
interface Question extends Window {
  at: number
}
interface Period {
  start: number
  end: number
}

// The model.

const formats = new Map<string, Intl.DateTimeFormat>()
const readings = new Map<string, number>()

/** What a clock on the wall reads, written as if it were UTC. */
function wall(zone: string, at: number): number {
  // No zone here changes in the middle of a minute.
  const minute = Math.floor(at / MINUTE) * MINUTE
  const key = `${zone} ${minute}`
  let reading = readings.get(key)
  if (reading === undefined) {
    let format = formats.get(zone)
    if (format === undefined) {
      const options = {
        year: 'numeric',
        month: 'numeric',
        day: 'numeric',
        hour: 'numeric',
        minute: 'numeric',
      } as const
      format = new Intl.DateTimeFormat('en', {
        timeZone: zone,
        calendar: 'gregory',
        hourCycle: 'h23',
        ...options,
      })
      formats.set(zone, format)
    }
    const parts = Object.fromEntries(
      format.formatToParts(minute).map(({ type, value }) => [type, Number(value)]),
    )
    reading = Date.UTC(parts['year']!, parts['month']! - 1, parts['day'], parts['hour'], parts['minute'])
    readings.set(key, reading)
  }
  return reading + (at - minute)
}

/** The first moment at which the clock shows a time, or is past it. Clocks here change at quarters of an hour. */
function firstAt(zone: string, reading: number): number {
  let at = reading - 15 * HOUR
  while (wall(zone, at) < reading) at += 15 * MINUTE
  return at
}

const daysInMonth = (date: Date): number =>
  new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate()

/** Whether a window begins on a date: each day, that day of the week, that day of the month or its last. */
function beginsOn({ unit, day }: Window, date: Date): boolean {
  if (unit === 'day') return true
  if (unit === 'week') return (date.getUTCDay() + 6) % 7 === (day ?? 1) - 1
  return date.getUTCDate() === Math.min(day ?? 1, daysInMonth(date))
}

/** The nearest date, before or after, on whose hour a window begins that has begun, or has not. */
function beginning(window: Window, at: number, step: 1 | -1): number {
  const today = Math.floor(wall(window.zone, at) / DAY) * DAY
  for (let date = today - step * DAY; ; date += step * DAY) {
    if (!beginsOn(window, new Date(date))) continue
    const start = firstAt(window.zone, date + (window.hour ?? 0) * HOUR)
    if (step === 1 ? start > at : start <= at) return start
  }
}

function model({ at, ...window }: Question): Period {
  const { unit, zone } = window
  if (unit === 'total') return { start: -Infinity, end: Infinity }
  if (unit === 'minute' || unit === 'hour') {
    // From where the clock shows a full one to where it next does.
    const length = unit === 'minute' ? MINUTE : HOUR
    const full = (moment: number): boolean => wall(zone, moment) % length === 0
    let start = Math.floor(at / MINUTE) * MINUTE
    while (!full(start)) start -= MINUTE
    let end = start + MINUTE
    while (!full(end)) end += MINUTE
    return { start, end }
  }
  return { start: beginning(window, at, -1), end: beginning(window, at, 1) }
}

/** The SQL under test, for many questions at once. */
async function windowsOf(questions: Question[]): Promise<Period[]> {
  const rows = await database.sql<Period[]>`
    select extract(epoch from period.starts_at)::float8 * 1000 as start,
           extract(epoch from period.ends_at)::float8 * 1000 as end
    from unnest(
      ${pgArray(questions.map(({ unit }) => unit))}::text[],
      ${pgArray(questions.map(({ zone }) => zone))}::text[],
      ${pgArray(questions.map(({ day }) => day))}::integer[],
      ${pgArray(questions.map(({ hour }) => hour))}::integer[],
      ${pgArray(questions.map(({ at }) => new Date(at)))}::timestamptz[]
    ) with ordinality as asked (unit, zone, day, hour, at, place)
    cross join lateral archon_mcp_window(asked.unit, asked.zone, asked.day, asked.hour, asked.at) as period
    order by asked.place`
  return rows.map(({ start, end }) => ({ start, end }))
}

const iso = (at: number): string => (Number.isFinite(at) ? new Date(at).toISOString() : String(at))

/** Asks both. What differs is shown as one reads it. */
async function compare(questions: Question[]): Promise<void> {
  const answers = await windowsOf(questions)
  const show = (period: Period, { unit, zone, day, hour, at }: Question): string =>
    `${unit} of ${zone}, day ${day}, hour ${hour}, at ${iso(at)}: ${iso(period.start)} to ${iso(period.end)}`
  const wrong = questions.flatMap((question, index) => {
    const [expected, found] = [show(model(question), question), show(answers[index]!, question)]
    return expected === found ? [] : [{ expected, found }]
  })
  expect(wrong.slice(0, 20)).toEqual([])
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index)

/** The moments of the year at which the clocks of a zone are set. */
function changesOf(zone: string): number[] {
  const offset = (at: number): number => wall(zone, at) - at
  const changes: number[] = []
  for (let at = Date.UTC(YEAR, 0, 1); at < Date.UTC(YEAR + 1, 0, 1); at += HOUR / 2)
    if (offset(at) !== offset(at - HOUR / 2)) changes.push(at)
  return changes
}

const window: fc.Arbitrary<Window> = fc.oneof(
  ...(['minute', 'hour', 'day', 'week', 'month', 'total'] as const).map((unit) =>
    fc.record({
      unit: fc.constant(unit),
      zone: fc.constantFrom(...ZONES),
      day:
        unit === 'week'
          ? fc.integer({ min: 1, max: 7 })
          : unit === 'month'
            ? fc.integer({ min: 1, max: 31 })
            : fc.constant(null),
      hour: unit === 'minute' || unit === 'hour' || unit === 'total' ? fc.constant(null) : fc.nat(23),
    }),
  ),
)
const moment = fc.integer({ min: Date.UTC(YEAR, 0, 1), max: Date.UTC(YEAR + 1, 0, 1) })
const SEED = typeof process === 'undefined' ? undefined : process.env['SEED']
const RUNS = { numRuns: 8, ...(SEED === undefined ? {} : { seed: Number(SEED) }) }

describe('the clocks of this test', () => {
  it.each(ZONES)('read the same in Postgres and here: %s', async (zone) => {
    const hours = range(0, 365 * 24 - 1).map((hour) => Date.UTC(YEAR, 0, 1) + hour * HOUR)
    const rows = await database.sql<{ reading: number }[]>`
      select extract(epoch from (moment at time zone ${zone}) at time zone 'UTC')::float8 * 1000 as reading
      from unnest(${pgArray(hours.map((at) => new Date(at)))}::timestamptz[]) with ordinality as asked (moment, place)
      order by place`
    expect(rows.map(({ reading }) => reading)).toEqual(hours.map((at) => wall(zone, at)))
  })

  it.each(CHANGING)('are set twice in the year: %s', (zone) => {
    expect(changesOf(zone)).toHaveLength(2)
  })
})

describe('a calendar window', () => {
  it('is the one that a clock on the wall shows, at any moment', async () => {
    const questions = fc.array(
      fc.record({ window, at: moment }).map(({ window, at }): Question => ({ ...window, at })),
      { minLength: 100, maxLength: 200, size: 'max' },
    )
    await fc.assert(fc.asyncProperty(questions, compare), RUNS)
  })

  it.each(CHANGING)('is right around every change of the clocks: %s', async (zone) => {
    const moments = changesOf(zone).flatMap((change) =>
      [
        -DAY,
        -3 * HOUR,
        -HOUR,
        -HOUR / 2,
        -1,
        0,
        1,
        HOUR / 2 - 1,
        HOUR / 2,
        HOUR - 1,
        HOUR,
        3 * HOUR,
        DAY,
      ].map((after) => ({ at: change + after, date: new Date(wall(zone, change + after)) })),
    )
    const windows = ({ at, date }: (typeof moments)[number]): Question[] => [
      ...(['minute', 'hour', 'total'] as const).map((unit) => ({ unit, zone, day: null, hour: null, at })),
      ...range(0, 3).flatMap((hour) => [
        { unit: 'day' as const, zone, day: null, hour, at },
        ...range(1, 7).map((day) => ({ unit: 'week' as const, zone, day, hour, at })),
        ...[1, date.getUTCDate(), 31].map((day) => ({ unit: 'month' as const, zone, day, hour, at })),
      ]),
    ]
    await compare(moments.flatMap(windows))
  })

  it('holds its moment, and the next one begins where it ends', async () => {
    const questions = fc.array(fc.record({ window, at: moment }), {
      minLength: 100,
      maxLength: 200,
      size: 'max',
    })
    await fc.assert(
      fc.asyncProperty(questions, async (drawn) => {
        const asked = drawn
          .map(({ window, at }): Question => ({ ...window, at }))
          .filter(({ unit }) => unit !== 'total')
        const periods = await windowsOf(asked)
        for (const [index, { start, end }] of periods.entries()) {
          expect(start).toBeLessThanOrEqual(asked[index]!.at)
          expect(end).toBeGreaterThan(asked[index]!.at)
        }
        const at = (where: (period: Period) => number): Promise<Period[]> =>
          windowsOf(asked.map((question, index) => ({ ...question, at: where(periods[index]!) })))
        expect(await at(({ start }) => start)).toEqual(periods)
        expect(await at(({ end }) => end - 1)).toEqual(periods)
        expect((await at(({ end }) => end)).map(({ start }) => start)).toEqual(periods.map(({ end }) => end))
        expect((await at(({ start }) => start - 1)).map(({ end }) => end)).toEqual(
          periods.map(({ start }) => start),
        )
      }),
      RUNS,
    )
  })

  it('follows the one before it over a whole year, without a gap and without end', async () => {
    for (const zone of CHANGING) {
      for (const [unit, day, hour] of [
        ['day', null, 2],
        ['week', 7, 0],
        ['month', 31, 3],
      ] as const) {
        const moments = range(0, 365 * 2).map((half) => Date.UTC(YEAR, 0, 1) + half * (DAY / 2))
        const periods = await windowsOf(moments.map((at) => ({ unit, zone, day, hour, at })))
        const distinct = periods.filter(({ start }, index) => start !== periods[index - 1]?.start)
        expect(distinct.length).toBeGreaterThanOrEqual({ day: 365, week: 52, month: 12 }[unit])
        expect(distinct.slice(1).map(({ start }) => start)).toEqual(
          distinct.slice(0, -1).map(({ end }) => end),
        )
      }
    }
  })

  it.each([
    // day, moment, from, to
    [29, '2026-02-10', '2026-01-29', '2026-02-28'], // 2026 has no 29 February
    [29, '2028-02-10', '2028-01-29', '2028-02-29'], // 2028 has
    [30, '2028-03-01', '2028-02-29', '2028-03-30'],
    [31, '2026-02-28', '2026-02-28', '2026-03-31'],
    [31, '2026-04-29', '2026-03-31', '2026-04-30'],
    [31, '2026-04-30', '2026-04-30', '2026-05-31'],
    [31, '2026-12-31', '2026-12-31', '2027-01-31'],
    [1, '2100-02-28', '2100-02-01', '2100-03-01'], // no leap year
    [null, '2026-06-15', '2026-06-01', '2026-07-01'],
  ])('of months that begin on day %s, at %s: from %s to %s', async (day, at, start, end) => {
    const [period] = await windowsOf([{ unit: 'month', zone: 'UTC', day, hour: null, at: Date.parse(at) }])
    expect(period).toEqual({ start: Date.parse(start), end: Date.parse(end) })
  })

  it('of months is the one that the model says, for every last day of a month and every late anchor', async () => {
    const lastDays = [2026, 2027, 2028].flatMap((year) =>
      range(1, 12).flatMap((month) =>
        [-1, 0, 1, DAY - 1, DAY].map((after) => Date.UTC(year, month, 0) + after),
      ),
    )
    await compare(
      lastDays.flatMap((at) =>
        [28, 29, 30, 31].map((day) => ({ unit: 'month' as const, zone: 'UTC', day, hour: null, at })),
      ),
    )
  })

  it.each([
    // What administrators will ask about.
    [
      'an hour that is skipped begins with the next one',
      'America/New_York',
      'day',
      2,
      '2026-03-08T12:00:00Z',
      '2026-03-08T07:00:00Z',
      '2026-03-09T06:00:00Z',
    ],
    [
      'an hour that comes twice begins the first time',
      'America/New_York',
      'day',
      1,
      '2026-11-01T12:00:00Z',
      '2026-11-01T05:00:00Z',
      '2026-11-02T06:00:00Z',
    ],
    [
      'a midnight that is skipped is one o’clock',
      'Africa/Cairo',
      'day',
      0,
      '2026-04-24T12:00:00Z',
      '2026-04-23T22:00:00Z',
      '2026-04-24T21:00:00Z',
    ],
    [
      'half an hour makes an hour longer',
      'Australia/Lord_Howe',
      'hour',
      null,
      '2026-04-04T15:10:00Z',
      '2026-04-04T14:00:00Z',
      '2026-04-04T15:30:00Z',
    ],
    [
      'hours are those of the clock',
      'Asia/Kathmandu',
      'hour',
      null,
      '2026-06-01T00:00:00Z',
      '2026-05-31T23:15:00Z',
      '2026-06-01T00:15:00Z',
    ],
  ] as const)('%s', async (_what, zone, unit, hour, at, start, end) => {
    const [period] = await windowsOf([{ unit, zone, day: null, hour, at: Date.parse(at) }])
    expect([iso(period!.start), iso(period!.end)]).toEqual([iso(Date.parse(start)), iso(Date.parse(end))])
  })

  it('of a total has neither beginning nor end', async () => {
    const [row] = await database.sql`
      select starts_at::text as start, ends_at::text as end from archon_mcp_window('total', 'UTC', null, null, now())`
    expect(row).toEqual({ start: '-infinity', end: 'infinity' })
  })
})
