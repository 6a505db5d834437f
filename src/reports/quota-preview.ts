import type { Queryable } from '../db/client.ts'
import { plain } from './plain.ts'

/** People that a preview names: those of whom the most calls would have been refused. */
const MAX_NAMED = 100

/** What is proposed. Null is what a rate or a budget has not; of tools and models it is all. */
export interface ProposedQuota {
  kind: 'budget' | 'rate'
  scope: string
  subject: string | null
  metric: string | null
  amount: string
  window: string | null
  timezone: string
  anchorDay: number | null
  anchorHour: number | null
  windowSeconds: number | null
  burst: number | null
  tools: readonly string[] | null
  models: readonly string[] | null
}

/** Somebody whose calls a quota would have refused. */
export interface RefusedHolder {
  /** Whose budget or rate it was: a user's id or a department; left out where the quota is everyone's. */
  subject?: string
  /** Left out for nobody. */
  user_id?: string
  email?: string
  name?: string
  department?: string
  calls_refused: number
  first_refused_at: string
  last_refused_at: string
  /** In how many windows of a budget. */
  windows?: number
}

/** What a quota would have done. */
export interface QuotaPreview {
  period: { start: string; end: string; days: number }
  /** The calls that it counts, and how many of them it would have refused. */
  calls: number
  refused: number
  /** The most refused first; at most 100 of `total`. */
  holders: RefusedHolder[]
  total: number
}

interface Row {
  start: Date
  end: Date
  calls: string
  refused: string
  total: string
  holders: RefusedHolder[] | null
}

/** Names as an array, each once and sorted, as quotas have them. */
const listOf = (sql: Queryable, names: readonly string[] | null) =>
  names === null
    ? sql`null::text[]`
    : sql`(
        select array_agg(distinct name order by name)
        from json_array_elements_text(${JSON.stringify(names)}::text::json) as name
      )`

const moment = (sql: Queryable, column: string) =>
  sql`to_char(${sql(column)} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

/**
 * Whom would a quota have refused in the last so many days of 24 hours, and when? Its calls are judged again in their
 * order, each refused or charged with what it really used. Those who have a quota of their own in place of one of
 * each are left out.
 * @param now the end of the period; null is the database's clock.
 */
export async function previewQuota(
  sql: Queryable,
  quota: ProposedQuota,
  days: number,
  now: Date | null = null,
): Promise<QuotaPreview> {
  const { kind, scope, subject, metric, amount, window, timezone } = quota
  const [row] = await sql<[Row]>`
    with period as (
      select ends_at - make_interval(hours => ${24 * days}::integer) as starts_at, ends_at,
             ${listOf(sql, quota.tools)} as tools, ${listOf(sql, quota.models)} as models
      from (select coalesce(${now}::timestamptz, now()) as ends_at) as period
    ), refused as materialized (
      select refused.*
      from period
      cross join lateral archon_mcp_preview_quota(
        ${kind}, ${scope}, ${subject}, ${metric}, ${amount}::numeric, ${window}, ${timezone}, ${quota.anchorDay}::integer,
        ${quota.anchorHour}::integer, ${quota.windowSeconds}::integer, ${quota.burst}::integer,
        period.tools, period.models, period.starts_at, period.ends_at
      ) as refused
      where not exists (
        select from archon_mcp_quotas as own
        where ${scope} like 'each%'
          and (own.kind, own.holder) = (${kind}, refused.holder)
          and (own.metric, own.window_unit, own.tools, own.models)
            is not distinct from (${metric}, ${window}, period.tools, period.models)
      )
    ), people as (
      select case when strpos(refused.holder, ' ') > 0
               then substr(refused.holder, strpos(refused.holder, ' ') + 1) end as subject,
             refused.user_id, count(*) as calls_refused, min(refused.refused_at) as first_refused_at,
             max(refused.refused_at) as last_refused_at,
             nullif(count(distinct refused.starts_at), 0) as windows
      from refused
      group by refused.holder, refused.user_id
    )
    select period.starts_at as start, period.ends_at as end,
           (
             select count(*)
             from archon_mcp_requests as call
             where call.timestamp >= period.starts_at
               and call.timestamp < period.ends_at
               and call.kind is not null
               and call.counted
               and (
                 period.tools is null
                 or array[call.tool_name, regexp_replace(call.tool_name, '/.*', '/*')]::text[] && period.tools
               )
               and case ${scope}
                     when 'user' then call.user_id::text = ${subject}
                     when 'department' then call.department = ${subject}
                     when 'each_user' then call.user_id is not null
                     when 'each_department' then call.department is not null
                     else true
                   end
           ) as calls,
           (select count(*) from refused) as refused,
           (select count(*) from people) as total,
           (
             select json_agg(named order by named.calls_refused desc, named.first_refused_at, named.user_id)
             from (
               select people.subject, people.user_id, known.email, known.name,
                      coalesce(known.assigned_department, known.claimed_department) as department,
                      people.calls_refused, ${moment(sql, 'people.first_refused_at')} as first_refused_at,
                      ${moment(sql, 'people.last_refused_at')} as last_refused_at, people.windows
               from people
               left join archon_mcp_users as known on known.user_id = people.user_id
               order by people.calls_refused desc, people.first_refused_at, people.user_id
               limit ${MAX_NAMED}
             ) as named
           ) as holders
    from period`
  return {
    period: { start: row.start.toISOString(), end: row.end.toISOString(), days },
    calls: Number(row.calls),
    refused: Number(row.refused),
    holders: (row.holders ?? []).map((holder) => plain(holder) as RefusedHolder),
    total: Number(row.total),
  }
}
