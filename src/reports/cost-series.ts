import type { Queryable } from '../db/client.ts'
import { type CostFilter, type CostGroup, type CostReport, costsBy } from './costs.ts'
import { sumOf, without } from './exact.ts'
import type { Period } from './period.ts'
import type { ReportCaller } from './visible-to.ts'

export type SeriesUnit = 'day' | 'week' | 'month'

/** What the dearest groups of a report cost over time. USD are exact decimal strings. */
export interface CostSeries {
  unit: SeriesUnit
  /** The first day of each in the period, in order, those without a call among them. A week begins on Monday. */
  buckets: string[]
  /** The dearest first, those alone that cost anything; `others` sums up all that have no series of their own. */
  series: { key: string | null; others: boolean; costs: string[] }[]
  /** Of all groups, for each bucket. */
  totals: string[]
}

/** The first day of the week or month of a day. */
function bucketOf(day: string, unit: SeriesUnit): string {
  if (unit === 'day') return day
  if (unit === 'month') return `${day.slice(0, 7)}-01`
  const date = new Date(`${day}T00:00:00Z`)
  date.setUTCDate(date.getUTCDate() - ((date.getUTCDay() + 6) % 7))
  return date.toISOString().slice(0, 10)
}

/** The costs of the days of a report, summed up by bucket. */
function byBucket({ rows }: CostReport, unit: SeriesUnit): Map<string, string> {
  const parts = new Map<string, string[]>()
  for (const { key, cost } of rows) {
    const bucket = bucketOf(key ?? '', unit)
    parts.set(bucket, [...(parts.get(bucket) ?? []), cost])
  }
  return new Map([...parts].map(([bucket, costs]) => [bucket, sumOf(costs)]))
}

/** Costs by key and bucket, however they were found. */
type Cells = Map<string | null, Map<string, string>>

const isAsked = (group: CostGroup): group is 'user' | 'department' =>
  group === 'user' || group === 'department'

/** Of users and departments each of the dearest is asked for by itself: there may be many thousands of others. */
async function cellsByFilter(
  sql: Queryable,
  caller: ReportCaller,
  group: 'user' | 'department',
  keys: readonly string[],
  period: Period,
  filter: CostFilter,
  unit: SeriesUnit,
): Promise<Cells> {
  const reports = await Promise.all(
    keys.map((key) => {
      const one = group === 'user' ? { userId: key } : { department: key }
      return costsBy(sql, caller, 'day', period, { ...filter, ...one })
    }),
  )
  return new Map(keys.map((key, i) => [key, byBucket(reports[i]!, unit)]))
}

/** Of clients, tools and models there are few: each bucket is a period, and has a report of its own. */
async function cellsByPeriod(
  sql: Queryable,
  caller: ReportCaller,
  group: CostGroup,
  buckets: readonly string[],
  { start, end, timezone }: Period,
  filter: CostFilter,
): Promise<Cells> {
  const begins = await sql<{ at: Date }[]>`
    select archon_mcp_instant(bucket.day::date::timestamp, ${timezone}::text) as at
    from unnest(${`{${buckets.join(',')}}`}::text[]) with ordinality as bucket (day, place)
    order by bucket.place`
  const cells: Cells = new Map()
  const reports = await Promise.all(
    begins.map(({ at }, i) => {
      const period = { start: at < start ? start : at, end: begins[i + 1]?.at ?? end, timezone }
      return costsBy(sql, caller, group, period, filter)
    }),
  )
  for (const [i, { rows }] of reports.entries()) {
    for (const { key, cost } of rows) {
      const known = cells.get(key) ?? new Map<string, string>()
      cells.set(key, known.set(buckets[i]!, cost))
    }
  }
  return cells
}

/**
 * How did the dearest groups of a report go over time? Every number is `costsBy()`'s own, or a sum of its numbers.
 * @param report of the same caller, period and filter.
 * @param most so many series, `others` among them.
 */
export async function costSeries(
  sql: Queryable,
  caller: ReportCaller,
  report: Pick<CostReport, 'group_by' | 'rows'>,
  period: Period,
  filter: CostFilter,
  { unit, most }: { unit: SeriesUnit; most: number },
): Promise<CostSeries> {
  const { group_by: group } = report
  const byDay = byBucket(await costsBy(sql, caller, 'day', period, filter), unit)
  const buckets = [...byDay.keys()]
  const totals = [...byDay.values()]
  const dear = report.rows
    .filter(({ cost }) => Number(cost) > 0)
    .toSorted((one, other) => Number(other.cost) - Number(one.cost))
  const shown = dear.length > most ? dear.slice(0, most - 1) : dear
  const keys = shown.map(({ key }) => key)
  const cells = isAsked(group)
    ? await cellsByFilter(
        sql,
        caller,
        group,
        keys.filter((key) => key !== null),
        period,
        filter,
        unit,
      )
    : await cellsByPeriod(sql, caller, group, buckets, period, filter)
  const named = keys
    // What belongs to nobody cannot be asked for: it is what is left.
    .filter((key) => cells.has(key))
    .map((key) => ({
      key,
      others: false,
      costs: buckets.map((bucket) => cells.get(key)?.get(bucket) ?? '0'),
    }))
  const rest = totals.map((total, i) =>
    without(
      total,
      named.map(({ costs }) => costs[i]!),
    ),
  )
  const series = rest.every((cost) => cost === '0')
    ? named
    : [...named, { key: null, others: true, costs: rest }]
  return { unit, buckets, series, totals }
}
