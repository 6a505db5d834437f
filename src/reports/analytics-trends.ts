import type { Queryable } from '../db/client.ts'
import type { AnalyticsPeriod } from './analytics-period.ts'
import { callSums } from './call-sums.ts'
import type { ReportCaller } from './visible-to.ts'

/** A number and what it was before; from 0, a change is 100 percent or none. */
export interface Change<T = number> {
  current: T
  previous: T
  change_percent: number
}

/** What happened in a period. Rates are percents, 0 where no call was; USD are exact decimal strings. */
export interface CallTrends {
  trends: {
    /** Every day of the period, in its zone. */
    daily: { date: string; requests: number; tokens: number; cost: string; success_rate: number }[]
    /** All 24 hours of the day, in its zone; durations in ms, 0 where no call was. */
    hourly: { hour: number; requests: number; avg_duration: number }[]
  }
  /** How many calls ended in which way. */
  ratios: { success: number; error: number; timeout: number; success_rate: number }
  /** Against the period before; null where nobody asked. */
  comparison: {
    requests: Change
    success_rate: Change
    tokens: Change
    cost: Change<string>
  } | null
}

/** The figures of the calls between two moments: one row, or one for each quarter of an hour. */
const figures = (sql: Queryable, caller: ReportCaller, start: Date, end: Date, by: 'quarter'[] = []) => sql`
  select call.calls as requests, call.success, call.calls - call.success - call.timeouts as error,
         call.timeouts as timeout, call.prompt_tokens + call.completion_tokens as tokens, call.cost,
         call.duration_ms as duration, call.timed_calls as timed, call.quarter as at
  from ${callSums(sql, caller, by, { period: { start, end } })}`

/** The sum of such rows. */
const sumOfFigures = (sql: Queryable) => sql`
  coalesce(sum(part.requests), 0) as requests,
  coalesce(sum(part.success), 0) as success,
  coalesce(sum(part.error), 0) as error,
  coalesce(sum(part.timeout), 0) as timeout,
  coalesce(sum(part.tokens), 0) as tokens,
  coalesce(sum(part.cost), 0) as cost,
  coalesce(sum(part.duration), 0) as duration,
  coalesce(sum(part.timed), 0) as timed`

const successRate = (sql: Queryable, row: string) =>
  sql`coalesce(round(100.0 * ${sql(`${row}.success`)} / nullif(${sql(`${row}.requests`)}, 0), 2), 0)`

function comparison(sql: Queryable, caller: ReportCaller, { previousStart, previousEnd }: AnalyticsPeriod) {
  return sql`(
    select json_object_agg(metric.name, json_build_object(
             'current', case metric.name
               when 'cost' then to_json(trim_scale(metric.current)::text) else to_json(metric.current)
             end,
             'previous', case metric.name
               when 'cost' then to_json(trim_scale(metric.previous)::text) else to_json(metric.previous)
             end,
             'change_percent', case
               when metric.previous <> 0
                 then round(100.0 * (metric.current - metric.previous) / metric.previous, 2)
               when metric.current > 0 then 100
               else 0
             end
           ))
    from (${figures(sql, caller, previousStart, previousEnd)}) as previous
    cross join lateral (values
      ('requests', total.requests, previous.requests),
      ('success_rate', ${successRate(sql, 'total')}, ${successRate(sql, 'previous')}),
      ('tokens', total.tokens, previous.tokens),
      ('cost', total.cost, previous.cost)
    ) as metric (name, current, previous)
  )`
}

/**
 * How did use go, by day and by hour of the day, how did calls end, and what changed?
 * @param compare with the period before.
 */
export async function callTrends(
  sql: Queryable,
  caller: ReportCaller,
  period: AnalyticsPeriod,
  compare: boolean,
): Promise<CallTrends> {
  const { start, end, days, timezone } = period
  // Quarters of an hour lie in one hour of one day of every zone, and are few: each is put on the clock once.
  const [row] = await sql<[CallTrends['trends'] & Omit<CallTrends, 'trends'>]>`
    with quarters as materialized (
      select quarter.*, quarter.at at time zone ${timezone} as clock
      from (${figures(sql, caller, start, end, ['quarter'])}) as quarter
    ), days as materialized (
      select part.clock::date as date, ${sumOfFigures(sql)} from quarters as part group by 1
    ), hours as materialized (
      select extract(hour from part.clock) as hour, ${sumOfFigures(sql)} from quarters as part group by 1
    )
    select (
             select json_agg(
                      json_build_object(
                        'date', calendar.date, 'requests', day.requests, 'tokens', day.tokens,
                        'cost', trim_scale(day.cost)::text, 'success_rate', ${successRate(sql, 'day')}
                      )
                      order by calendar.date
                    )
             from generate_series(0, ${days - 1}::integer) as since
             cross join lateral (
               select (${start}::timestamptz at time zone ${timezone})::date + since as date
             ) as calendar
             cross join lateral (
               select ${sumOfFigures(sql)} from days as part where part.date = calendar.date
             ) as day
           ) as daily,
           (
             select json_agg(
                      json_build_object(
                        'hour', clock.hour, 'requests', used.requests,
                        'avg_duration', coalesce(round(used.duration / nullif(used.timed, 0), 2), 0)
                      )
                      order by clock.hour
                    )
             from generate_series(0, 23) as clock (hour)
             cross join lateral (
               select ${sumOfFigures(sql)} from hours as part where part.hour = clock.hour
             ) as used
           ) as hourly,
           json_build_object(
             'success', total.success, 'error', total.error, 'timeout', total.timeout,
             'success_rate', ${successRate(sql, 'total')}
           ) as ratios,
           ${compare ? comparison(sql, caller, period) : sql`null`} as comparison
    from (select ${sumOfFigures(sql)} from quarters as part) as total`
  const { daily, hourly, ...rest } = row
  return { trends: { daily, hourly }, ...rest }
}
