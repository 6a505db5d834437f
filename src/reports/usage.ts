import type { Queryable } from '../db/client.ts'
import { costOfCall } from './call-sums.ts'
import type { CallsSummary } from './calls.ts'
import type { Period } from './period.ts'
import { tokensOf, toolOf } from './usage-columns.ts'
import { type ReportCaller, visibleTo } from './visible-to.ts'

/** A period, or the last so many days of 24 hours. */
export type UsagePeriod = Pick<Period, 'start' | 'end'> | { days: number }

/** What the calls that succeeded in a period used. */
export interface UsageSummary {
  /** `days` is rounded up. */
  period: { start: string; end: string; days: number }
  /** Calls outside a session count in no session. */
  summary: CallsSummary & { unique_sessions: number }
  /** By tool, or by method where there is none; the most used first. USD are exact decimal strings. */
  by_tool: Record<string, { count: number; tokens: number; cost: string }>
}

type Row = { [K in keyof UsageSummary['summary']]: string } & {
  period_start: Date
  period_end: Date
  by_tool: UsageSummary['by_tool'] | null
}

/** How much was used, in all and by tool? As in Archon, calls that failed are left out; /analytics has them. */
export async function usageSummary(
  sql: Queryable,
  caller: ReportCaller,
  period: UsagePeriod,
): Promise<UsageSummary> {
  const start = 'start' in period ? sql`${period.start}::timestamptz` : daysAgo(sql, period.days)
  const end = 'end' in period ? sql`${period.end}::timestamptz` : sql`now()`
  const succeeded = sql`
    from archon_mcp_requests as call
    where ${visibleTo(sql, caller, 'call.user_id')}
      and call.status = 'success'
      and call.timestamp >= ${start}
      and call.timestamp < ${end}`
  // Sessions are counted apart: `count(distinct …)` would sort every call.
  const [row] = await sql<[Row]>`
    with tools as (
      select ${toolOf(sql)} as tool, count(*) as calls,
             coalesce(sum(call.prompt_tokens), 0) as prompt,
             coalesce(sum(call.completion_tokens), 0) as completion,
             sum(${tokensOf(sql)}) as tokens,
             sum(${costOfCall(sql)}) as cost
      ${succeeded}
      group by 1
    )
    select ${start} as period_start, ${end} as period_end,
           coalesce(sum(tools.calls), 0) as total_requests,
           coalesce(sum(tools.prompt), 0) as total_prompt_tokens,
           coalesce(sum(tools.completion), 0) as total_completion_tokens,
           coalesce(sum(tools.tokens), 0) as total_tokens,
           trim_scale(coalesce(sum(tools.cost), 0)) as total_cost,
           (select count(used.session_id) from (select call.session_id ${succeeded} group by 1) as used)
             as unique_sessions,
           json_object_agg(
             tools.tool,
             json_build_object('count', tools.calls, 'tokens', tools.tokens, 'cost', trim_scale(tools.cost)::text)
             order by tools.calls desc, tools.tool
           ) filter (where tools.tool is not null) as by_tool
    from tools`
  const { period_start, period_end } = row
  const days = Math.ceil((period_end.getTime() - period_start.getTime()) / 86_400_000)
  return {
    period: { start: period_start.toISOString(), end: period_end.toISOString(), days },
    summary: {
      total_requests: Number(row.total_requests),
      total_prompt_tokens: Number(row.total_prompt_tokens),
      total_completion_tokens: Number(row.total_completion_tokens),
      total_tokens: Number(row.total_tokens),
      total_cost: row.total_cost,
      unique_sessions: Number(row.unique_sessions),
    },
    by_tool: row.by_tool ?? {},
  }
}

/** Days of 24 hours, which a change of the clocks makes no longer. */
const daysAgo = (sql: Queryable, days: number) => sql`(now() - make_interval(hours => ${24 * days}::integer))`
