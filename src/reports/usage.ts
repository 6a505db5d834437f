import type { Queryable } from '../db/client.ts'
import { callSums } from './call-sums.ts'
import type { CallsSummary } from './calls.ts'
import type { Period } from './period.ts'
import type { ReportCaller } from './visible-to.ts'

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
  const calls = (by: 'tool' | 'session_id') => callSums(sql, caller, [by], { period: { start, end } })
  const [row] = await sql<[Row]>`
    with tools as (
      select call.tool, call.success as calls, call.success_prompt_tokens as prompt,
             call.success_completion_tokens as completion,
             call.success_prompt_tokens + call.success_completion_tokens as tokens, call.success_cost as cost
      from ${calls('tool')}
      where call.success > 0
    )
    select ${start} as period_start, ${end} as period_end,
           coalesce(sum(tools.calls), 0) as total_requests,
           coalesce(sum(tools.prompt), 0) as total_prompt_tokens,
           coalesce(sum(tools.completion), 0) as total_completion_tokens,
           coalesce(sum(tools.tokens), 0) as total_tokens,
           trim_scale(coalesce(sum(tools.cost), 0)) as total_cost,
           (select count(call.session_id) from ${calls('session_id')} where call.success > 0) as unique_sessions,
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
