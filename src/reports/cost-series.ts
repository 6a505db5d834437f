import type { Queryable } from '../db/client.ts'
import { costOfCall } from './call-sums.ts'
import type { SqlFragment } from './cost-parts.ts'
import { callsOf, type CostFilter, type CostGroup, keyOf } from './costs.ts'
import type { Period } from './period.ts'
import type { ReportCaller } from './visible-to.ts'

export type SeriesUnit = 'day' | 'week' | 'month'

/** What the dearest groups of a period cost over time. USD are exact decimal strings. */
export interface CostSeries {
  unit: SeriesUnit
  /** The first day of each, in order, those without a call among them. A week begins on Monday. */
  buckets: string[]
  /** The dearest first; `others` sums up all that have no series of their own. A cost for each bucket. */
  series: { key: string | null; others: boolean; costs: string[] }[]
  /** Of all groups, for each bucket. */
  totals: string[]
}

interface Row {
  bucket: string
  key: string | null
  others: boolean | null
  is_total: boolean
  cost: string
}

/** Costs by quarter of an hour and group. Of models: each line, and what of a call no line accounts for. */
function partsOf(sql: Queryable, group: Exclude<CostGroup, 'day' | 'hour'>, calls: SqlFragment): SqlFragment {
  const quarter = sql`date_bin('15 minutes', call.timestamp, timestamptz 'epoch')`
  if (group !== 'model') {
    return sql`
      select ${quarter} as quarter, ${keyOf(sql, group)} as key, sum(${costOfCall(sql)}) as cost
      from ${calls}
      group by 1, 2`
  }
  return sql`
    select part.quarter, part.key, sum(part.cost) as cost
    from (
      with counted as materialized (
        select call.request_id, ${quarter} as quarter, ${costOfCall(sql)} as cost from ${calls}
      ), line as materialized (
        select counted.quarter, usage.model, sum(usage.cost) as cost
        from counted
        join archon_mcp_usage as usage on usage.request_id = counted.request_id
        group by 1, 2
      )
      select line.quarter, line.model as key, line.cost from line
      union all
      select line.quarter, null, -line.cost from line
      union all
      select counted.quarter, null, sum(counted.cost) from counted group by 1
    ) as part
    group by 1, 2`
}

/**
 * How did costs go over time, by group? In days, weeks or months of the zone, of the `most` dearest groups and of the
 * others together.
 */
export async function costSeries(
  sql: Queryable,
  caller: ReportCaller,
  group: Exclude<CostGroup, 'day' | 'hour'>,
  period: Period,
  filter: CostFilter,
  { unit, most }: { unit: SeriesUnit; most: number },
): Promise<CostSeries> {
  const { start, end, timezone } = period
  const bucketOf = (at: SqlFragment): SqlFragment =>
    sql`date_trunc(${unit}::text, ${at} at time zone ${timezone}::text)::date`
  const rows = await sql<Row[]>`
    with part as materialized (${partsOf(sql, group, callsOf(sql, caller, period, filter))}),
    counted as materialized (
      select ${bucketOf(sql`part.quarter`)} as bucket, part.key, sum(part.cost) as cost
      from part
      group by 1, 2
    ), ranked as (
      select counted.key, row_number() over (order by sum(counted.cost) desc, counted.key) as place,
             count(*) over () as keys
      from counted
      group by counted.key
    ), named as (
      select counted.bucket, counted.cost, ranked.place,
             case when ranked.keys <= ${most}::integer then ranked.place else least(ranked.place, ${most}::integer) end
               as series,
             ranked.keys > ${most}::integer and ranked.place >= ${most}::integer as others,
             case when ranked.keys <= ${most}::integer or ranked.place < ${most}::integer then counted.key end as key
      from counted
      join ranked on ranked.key is not distinct from counted.key
      union all
      select moment.day::date, 0, null, null, null, null
      from generate_series(
        ${bucketOf(sql`${start}::timestamptz`)}::timestamp,
        ${bucketOf(sql`(${end}::timestamptz - interval '1 microsecond')`)}::timestamp,
        ${`1 ${unit}`}::text::interval
      ) as moment (day)
    )
    select to_char(named.bucket, 'YYYY-MM-DD') as bucket, named.key, named.others,
           grouping(named.series) = 1 as is_total, trim_scale(sum(named.cost)) as cost
    from named
    group by grouping sets ((named.bucket, named.series, named.key, named.others), (named.bucket))
    order by is_total desc, named.series, named.bucket`
  return seriesOf(rows, unit)
}

function seriesOf(rows: readonly Row[], unit: SeriesUnit): CostSeries {
  const totals = rows.filter((row) => row.is_total)
  const buckets = totals.map(({ bucket }) => bucket)
  const series: CostSeries['series'] = []
  for (const { bucket, key, others, is_total, cost } of rows) {
    // The rows that only make every bucket be there.
    if (is_total || others === null) continue
    let one = series.find((known) => known.key === key && known.others === others)
    if (one === undefined) series.push((one = { key, others, costs: buckets.map(() => '0') }))
    one.costs[buckets.indexOf(bucket)] = cost
  }
  return { unit, buckets, series, totals: totals.map(({ cost }) => cost) }
}
