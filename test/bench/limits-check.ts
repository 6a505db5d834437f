import type { Sql } from '../../src/db/client.ts'
import { differences } from '../support/quotas.ts'
import { ESTIMATE } from './spender.ts'
import { pause, until } from './statistics.ts'

export type Metric = 'requests' | 'tokens' | 'cost'

interface Standing {
  amount: string
  used: string
  held: string
  excess: string
  rows: number
  open: number
  timeouts: number
  /** Timeouts that are not flagged, or not charged at their estimate. */
  wrong_timeouts: number
  of_rows: string
  above: boolean
  left_too_much: boolean
}

/** Waits until whoever lives has closed their calls, then lets the holds of the others expire. */
export async function settle(owner: Sql, quota: string): Promise<void> {
  let open = -1
  await until('the living close their calls', async () => {
    const before = open
    open = (await standing(owner, quota, '0')).open
    if (open > 0 && open !== before) await pause(500)
    return open === 0 || open === before
  })
  for (;;) {
    const [swept] = await owner<{ expired: number }[]>`
      select calls_expired::integer as expired from archon_mcp_sweep(now() + interval '1 hour', 10000)`
    if (swept?.expired === 0) return
  }
}

async function standing(owner: Sql, quota: string, estimate: string): Promise<Standing> {
  const [row] = await owner<Standing[]>`
    select trim_scale(quota.amount)::text as amount, trim_scale(budget.used)::text as used,
           trim_scale(budget.held)::text as held, trim_scale(budget.excess)::text as excess,
           calls.*, trim_scale(calls.of_rows)::text as of_rows,
           greatest(budget.used + budget.held, calls.of_rows) > quota.amount as above,
           quota.amount - budget.used >= ${estimate}::numeric and quota.amount - budget.used > 0 as left_too_much
    from archon_mcp_quotas as quota
    join archon_mcp_budgets as budget using (quota_id)
    cross join lateral (
      select count(*)::integer as rows,
             count(*) filter (where call.status = 'open')::integer as open,
             count(*) filter (where call.status = 'timeout')::integer as timeouts,
             count(*) filter (
               where call.status = 'timeout'
                 and not (call.hold_expired and call.cost = call.reserved_cost and call.total_tokens = call.reserved_tokens
                          and call.reserved_tokens = ${ESTIMATE.tokens})
             )::integer as wrong_timeouts,
             coalesce(sum(case quota.metric when 'requests' then 1 when 'tokens' then call.total_tokens else call.cost end), 0)
               as of_rows
      from archon_mcp_requests as call
      where call.user_id = quota.subject::uuid
    ) as calls
    where quota.quota_id = ${quota}`
  return row!
}

/** What a run broke, and where its budget stands in the end. */
export async function faultsOf(
  owner: Sql,
  quota: string,
  { metric, admitted, killed }: { metric: Metric; admitted: number; killed: boolean },
): Promise<{ faults: string[]; told: string }> {
  await settle(owner, quota)
  const estimate = metric === 'requests' ? '1' : String(ESTIMATE[metric])
  const found = await standing(owner, quota, estimate)
  const differing = await differences(owner)
  const faults = [
    ...(found.above ? ['above the limit'] : []),
    ...(found.left_too_much ? ['refused although there was room'] : []),
    ...(found.used === found.of_rows ? [] : [`used ${found.used}, but the rows say ${found.of_rows}`]),
    ...(found.held === '0' ? [] : [`${found.held} is held by nobody`]),
    ...(found.excess === '0' ? [] : [`excess of ${found.excess}`]),
    ...(found.rows < admitted ? [`${admitted - found.rows} admitted calls have no row`] : []),
    ...(killed || found.rows === admitted ? [] : [`${found.rows} rows`]),
    ...(killed || found.timeouts === 0 ? [] : [`${found.timeouts} timeouts`]),
    ...(found.wrong_timeouts === 0 ? [] : [`${found.wrong_timeouts} timeouts not charged as they should`]),
    ...(metric === 'requests' && found.rows !== Number(found.amount) ? [`${found.rows} rows`] : []),
    ...(differing.length === 0 ? [] : [`doctor: ${JSON.stringify(differing)}`]),
  ]
  const dead = killed ? `, ${found.timeouts} of the dead charged at their estimate and flagged` : ''
  return { faults, told: `${found.rows} rows${dead}, used ${found.used} of ${found.amount}` }
}
