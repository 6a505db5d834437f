import type { Queryable } from '../db/client.ts'
import type { AnalyticsPeriod } from './analytics-period.ts'
import { callSums } from './call-sums.ts'
import type { ReportCaller } from './visible-to.ts'

/** How long calls took, in ms. A percentile is the time of a call that there was: so many took no longer. */
export interface ResponseTimes {
  /** The hundred tools, or methods where there is none, with the most calls. */
  by_tool: {
    tool: string
    avg_ms: number
    min_ms: number
    max_ms: number
    count: number
    p50: number
    p95: number
    p99: number
  }[]
  /** Over all calls; 0 where there was none. */
  overall_avg: number
  p50: number
  p95: number
  p99: number
}

/** The percentiles of rows with `ms`, how many `calls` took that long, how many no longer, and of how many. */
const percentiles = (sql: Queryable) => sql`
  min(timed.ms) filter (where timed.no_longer >= 0.50 * timed.of_all) as p50,
  min(timed.ms) filter (where timed.no_longer >= 0.95 * timed.of_all) as p95,
  min(timed.ms) filter (where timed.no_longer >= 0.99 * timed.of_all) as p99`

/** How long did calls take, in all and by tool? Those that failed or ran out of time count like any other. */
export async function responseTimes(
  sql: Queryable,
  caller: ReportCaller,
  { start, end }: AnalyticsPeriod,
): Promise<ResponseTimes> {
  // Calls are many and durations few: they are counted first, and sorted then.
  const [row] = await sql<[ResponseTimes]>`
    with times as materialized (
      select call.tool, call.ms, call.calls
      from ${callSums(sql, caller, ['tool', 'ms'], { period: { start, end } })}
    ), tools as (
      select timed.tool,
             round(sum(timed.ms * timed.calls) / sum(timed.calls), 2) as avg_ms,
             min(timed.ms) as min_ms, max(timed.ms) as max_ms, sum(timed.calls) as count,
             ${percentiles(sql)}
      from (
        select times.*,
               sum(times.calls) over (partition by times.tool order by times.ms) as no_longer,
               sum(times.calls) over (partition by times.tool) as of_all
        from times
      ) as timed
      group by timed.tool
      order by count desc, timed.tool
      limit 100
    ), overall as (
      select coalesce(round(sum(timed.ms * timed.calls) / sum(timed.calls), 2), 0) as avg_ms, ${percentiles(sql)}
      from (
        select every.*, sum(every.calls) over (order by every.ms) as no_longer, sum(every.calls) over () as of_all
        from (select times.ms, sum(times.calls) as calls from times group by times.ms) as every
      ) as timed
    )
    select (select coalesce(json_agg(tools order by tools.count desc, tools.tool), '[]') from tools) as by_tool,
           overall.avg_ms::float8 as overall_avg,
           coalesce(overall.p50, 0) as p50, coalesce(overall.p95, 0) as p95, coalesce(overall.p99, 0) as p99
    from overall`
  return row
}
