import type { Queryable } from '../db/client.ts'
import { type ReportCaller, visibleTo } from './visible-to.ts'

/** Holders of a quota of each that a list shows: those that are nearest to their cap. */
const MAX_HOLDERS = 20

/** The moment to look at: null is the database's clock. */
export const momentOf = (sql: Queryable, now: Date | null) =>
  now === null ? sql`now()` : sql`${now}::timestamptz`

/**
 * The quotas that count calls of a user, and as whose. A quota of some tools counts calls of each of them, so that
 * one will do to ask the ledger's own rule.
 */
export const quotasCounting = (sql: Queryable, userId: string | null, department: string | null) => sql`
  select distinct counting.quota_id, counting.holder
  from (
    select null as tool
    union
    select unnest(quota.tools) from archon_mcp_quotas as quota
  ) as narrowed
  cross join (values ('budget'), ('rate')) as kinds (kind)
  cross join lateral archon_mcp_quotas_of(kinds.kind, ${userId}::uuid, ${department}, narrowed.tool) as counting`

/** `period`: the window of `quota` at a moment; of a rate, all time. */
export const currentPeriod = (sql: Queryable, now: Date | null) => sql`
  archon_mcp_window(
    coalesce(quota.window_unit, 'total'), quota.timezone, quota.anchor_day, quota.anchor_hour, ${momentOf(sql, now)}
  ) as period`

/**
 * `standing`: what a holder of `quota` used and holds in `period`. A budget keeps the window of its last call; one
 * that nobody needed yet is read from the calls.
 */
export const standingOf = (sql: Queryable, now: Date | null, holder: string) => sql`
  lateral (
    select case when budget.key is null then spent.used when budget.ends_at > ${momentOf(sql, now)} then budget.used
             else 0 end as used,
           case when budget.key is null then spent.held when budget.ends_at > ${momentOf(sql, now)} then budget.held
             else 0 end as held,
           case when budget.key is null then spent.excess when budget.ends_at > ${momentOf(sql, now)} then budget.excess
             else 0 end as excess,
           case when budget.key is null then spent.excess_calls
             when budget.ends_at > ${momentOf(sql, now)} then budget.excess_calls else 0 end as excess_calls
    from (select ${sql(holder)} as name) as holder
    left join archon_mcp_budgets as budget on budget.key = quota.quota_id || ' ' || holder.name
    left join lateral (
      select spent.*
      from archon_mcp_seen_spent(
        holder.name, quota.metric, quota.tools, quota.models, period.starts_at, period.ends_at
      ) as spent
      where budget.key is null and quota.kind = 'budget' and holder.name is not null
      offset 0
    ) as spent on true
  ) as standing`

/** The columns of `standing`, with what is left and the highest share that is passed. */
export const standingColumns = (sql: Queryable) => sql`
  trim_scale(standing.used)::text as used,
  trim_scale(standing.held)::text as held,
  trim_scale(greatest(quota.amount - standing.used - standing.held, 0))::text as left,
  (
    select max(share)::double precision
    from unnest(quota.warn_at) as share
    where standing.used + standing.held >= share * quota.amount
  ) as warning`

type Fragment = ReturnType<typeof momentOf>

/** How many calls `quota` refused, or would have, in the current window or else in 30 days; counted by quarter-hours. */
export const refusedCalls = (sql: Queryable, now: Date | null, whose: Fragment) => sql`
  (
    select json_build_object(
      'enforced', coalesce(sum(refused.calls) filter (where refused.enforced), 0),
      'observed', coalesce(sum(refused.calls) filter (where not refused.enforced), 0)
    )
    from archon_mcp_refusals as refused
    where refused.quota_id = quota.quota_id
      and refused.quarter >= date_bin(
        '15 minutes',
        case when period.starts_at > '-infinity' then period.starts_at
          else ${momentOf(sql, now)} - interval '30 days' end,
        timestamptz 'epoch'
      )
      and ${whose}
  )`

const department = (sql: Queryable) => sql`coalesce(known.assigned_department, known.claimed_department)`

/** The holders of a `quota` of each whom a caller may see and who used any of it, as JSON, nearest to their cap first. */
export const nearestHolders = (sql: Queryable, caller: ReportCaller, now: Date | null) => sql`
  (
    select json_agg(nearest order by nearest.spent desc, nearest.subject)
    from (
      select substr(candidate.holder, strpos(candidate.holder, ' ') + 1) as subject, member.email, member.name,
             standing.used + standing.held as spent, ${standingColumns(sql)},
             ${refusedCalls(
               sql,
               now,
               sql`refused.user_id in (
                 select known.user_id
                 from archon_mcp_users as known
                 where candidate.holder in ('user ' || known.user_id, 'department ' || ${department(sql)})
               )`,
             )} as refused
      from (
        select distinct whose.holder
        from archon_mcp_users as known
        cross join lateral (
          select case quota.scope when 'each_user' then known.user_id end as user_id,
                 case quota.scope when 'each_department' then ${department(sql)} end as department,
                 case quota.scope when 'each_user' then 'user ' || known.user_id
                   else 'department ' || ${department(sql)} end as holder
        ) as whose
        left join archon_mcp_budgets as budget on budget.key = quota.quota_id || ' ' || whose.holder
        where quota.kind = 'budget'
          and quota.scope like 'each%'
          and ${visibleTo(sql, caller, 'known.user_id')}
          and case when budget.key is not null then budget.ends_at > ${momentOf(sql, now)}
                else (
                  quota.scope = 'each_department'
                  or exists (
                    -- Whether there is anything to sum up: a day that lies in part outside will do.
                    select from archon_mcp_user_days as used
                    where used.user_id = known.user_id
                      and used.day >= (period.starts_at at time zone 'UTC')::date
                      and used.day <= (period.ends_at at time zone 'UTC')::date
                  )
                ) and exists (
                  select from archon_mcp_quotas_of('budget', whose.user_id, whose.department, quota.tools[1]) as counting
                  where counting.quota_id = quota.quota_id
                ) end
      ) as candidate
      cross join ${standingOf(sql, now, 'candidate.holder')}
      left join archon_mcp_users as member on candidate.holder = 'user ' || member.user_id
      where standing.used + standing.held > 0
      order by spent desc, subject
      limit ${MAX_HOLDERS}
    ) as nearest
  )`
