import type { Queryable } from '../db/client.ts'
import { type costOfCall, sumsOfCalls, sumsOfSums } from './call-sums.ts'
import type { Period } from './period.ts'

/** A part of a query, such as callSums(). */
export type SqlFragment = ReturnType<typeof costOfCall>

// Each of these gives rows of sums by `key`, and one more with `is_total` over all.

/** Sums by what stands in each call; `calls` are summed up by it. */
export const partsByColumn = (sql: Queryable, key: SqlFragment, calls: SqlFragment) => sql`
  select grouping(part.key) = 1 as is_total, part.key, null as label, ${sumsOfSums(sql, 'part')}
  from (
    select ${key} as key, ${sumsOfCalls(sql)}
    from ${calls}
    group by 1
  ) as part
  group by grouping sets ((part.key), ())`

/**
 * Sums by the days or hours of a zone, those without a call among them. Calls are summed by quarters of an hour
 * first, on which every zone's days and hours begin: a calendar is slower than a sum.
 */
export function partsByTime(
  sql: Queryable,
  unit: 'day' | 'hour',
  { start, end, timezone }: Period,
  calls: SqlFragment,
) {
  const startOf = unit === 'day' ? startOfDay : startOfHour
  return sql`
    with part as materialized (
      select call.quarter, ${sumsOfCalls(sql)}
      from ${calls}
      group by 1
    ), counted as (
      select ${startOf(sql, sql`part.quarter`, timezone)} as bucket, part.calls, part.success, part.prompt_tokens,
             part.completion_tokens, part.cost, part.unpriced_calls, part.estimated_calls
      from part
      union all
      select distinct ${startOf(sql, sql`moment.at`, timezone)}, 0, 0, 0, 0, 0, 0, 0
      from (
        select generate_series(
          ${start}::timestamptz, ${end}::timestamptz - interval '1 microsecond',
          ${unit === 'day' ? '12 hours' : '1 hour'}::text::interval
        )
        union all
        -- The last may be begun and not full.
        select ${end}::timestamptz - interval '1 microsecond'
      ) as moment (at)
    )
    select grouping(counted.bucket) = 1 as is_total,
           ${unit === 'day' ? sql`to_char(counted.bucket, 'YYYY-MM-DD')` : hourKey(sql)} as key,
           ${unit === 'day' ? sql`null` : hourLabel(sql, timezone)} as label,
           ${sumsOfSums(sql, 'counted')}
    from counted
    group by grouping sets ((counted.bucket), ())`
}

const startOfDay = (sql: Queryable, at: SqlFragment, timezone: string) =>
  sql`(${at} at time zone ${timezone}::text)::date`

/**
 * The moment at which clocks last showed a full hour, as archon_mcp_window() has it, which would be too slow here. In
 * a zone that is set by half an hour (Lord Howe) an hour may last an hour and a half; hence the second look.
 */
function startOfHour(sql: Queryable, at: SqlFragment, timezone: string) {
  const fullHour = (moment: SqlFragment) => {
    const local = sql`(${moment} at time zone ${timezone}::text)`
    return sql`(${moment} - (${local} - date_trunc('hour', ${local})))`
  }
  return fullHour(fullHour(at))
}

const hourKey = (sql: Queryable) =>
  sql`to_char(counted.bucket at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

/** What clocks show, with the offset that tells apart the two hours of one name when they are set back. */
const hourLabel = (sql: Queryable, timezone: string) => {
  const local = sql`(counted.bucket at time zone ${timezone}::text)`
  const ahead = sql`(${local} - (counted.bucket at time zone 'UTC'))`
  return sql`
    to_char(${local}, 'YYYY-MM-DD HH24:MI') || case when ${ahead} < interval '0' then '-' else '+' end
      || to_char(greatest(${ahead}, -${ahead}), 'HH24:MI')`
}

/**
 * Sums by model: each call in the row of every model that it used, with what it used of that one. What no model
 * accounts for, such as a tool's own price and tokens that were counted from texts, has no key: it is what is left
 * of the total, so that the rows add up to that to the last digit. Calls do not: one may stand in several rows.
 * @param calls the same calls, summed up by model and by nothing.
 */
export const partsByModel = (sql: Queryable, calls: { byModel: SqlFragment; all: SqlFragment }) => sql`
  with part as (
    select false as is_total, call.model as key, call.calls, call.success, call.prompt_tokens, call.completion_tokens,
           call.cost, call.unpriced_calls, case when call.model is null then total.estimated_calls else 0 end
             as estimated_calls
    from ${calls.byModel}
    cross join (select call.estimated_calls from ${calls.all}) as total
    where call.model is not null
       or call.calls > 0 or (call.prompt_tokens, call.completion_tokens, call.cost) <> (0, 0, 0)
    union all
    select true, null, call.calls, call.success, call.prompt_tokens, call.completion_tokens, call.cost,
           call.unpriced_calls, call.estimated_calls
    from ${calls.all}
  )
  select part.is_total, part.key, null as label, ${sumsOfSums(sql, 'part')}
  from part
  group by part.is_total, part.key`
