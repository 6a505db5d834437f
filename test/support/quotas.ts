import { pgArray, type Sql } from '../../src/db/client.ts'
import type { QuotaMetric, QuotaScope, QuotaWindow } from '../../src/ledger/types.ts'

interface AnyQuota {
  /** The quota to change; left out: the one of the same kind, holder, metric, window and narrowing, or a new one. */
  id?: string
  scope?: QuotaScope
  /** A user's id, or a department. */
  subject?: string
  limit: number | string
  tools?: string[]
  mode?: 'observe' | 'warn' | 'enforce'
  warnAt?: number[]
}

export interface BudgetToPut extends AnyQuota {
  metric?: QuotaMetric
  window?: QuotaWindow
  timezone?: string
  day?: number
  hour?: number
  models?: string[]
}

export interface RateToPut extends AnyQuota {
  windowSeconds: number
  burst?: number
}

const list = (names: string[] | undefined): string | null => (names === undefined ? null : pgArray(names))

/**
 * Creates or changes a quota, as an administrator does.
 * @param quota a rate where it says `windowSeconds`; else a budget, of requests in a day for everyone unless told.
 * @param now null: the database's clock.
 * @returns its id.
 */
export async function putQuota(
  sql: Sql,
  quota: BudgetToPut | RateToPut,
  now: Date | null = null,
): Promise<string> {
  const { scope = 'everyone', mode = 'enforce', warnAt = [0.8, 0.95] } = quota
  const rate = 'windowSeconds' in quota ? quota : null
  const budget = 'windowSeconds' in quota ? null : quota
  const [row] = await sql<{ id: string }[]>`
    select (put.quota).quota_id as id
    from archon_mcp_put_quota(
      ${now}, ${quota.id ?? null}, ${rate ? 'rate' : 'budget'}, ${scope}, ${quota.subject ?? null},
      ${budget ? (budget.metric ?? 'requests') : null}, ${quota.limit}, ${budget ? (budget.window ?? 'day') : null},
      ${budget?.timezone ?? 'UTC'}, ${budget?.day ?? null}, ${budget?.hour ?? null}, ${rate?.windowSeconds ?? null},
      ${rate ? (rate.burst ?? rate.limit) : null}, ${list(quota.tools)}::text[], ${list(budget?.models)}::text[],
      ${mode}, ${pgArray(warnAt)}::numeric[]
    ) as put`
  return row!.id
}

export const removeQuota = async (sql: Sql, id: string): Promise<void> => {
  await sql`select archon_mcp_remove_quota(${id})`
}

/** Where a holder of a budget stands; amounts as decimals without trailing zeros. */
export interface BudgetRow {
  holder: string
  used: string
  held: string
  excess: string
  excess_calls: number
  starts_at: Date
}

/** The budgets of a quota, by holder. */
export const budgetsOf = async (sql: Sql, id: string): Promise<BudgetRow[]> => [
  ...(await sql<BudgetRow[]>`
    select holder, trim_scale(used)::text as used, trim_scale(held)::text as held, trim_scale(excess)::text as excess,
           excess_calls::integer as excess_calls, starts_at
    from archon_mcp_budgets where quota_id = ${id} order by holder`),
]

/** Budgets that differ from their calls: there must be none. */
export const differences = async (sql: Sql): Promise<unknown[]> => [
  ...(await sql`
    select quota.scope, quota.metric, quota.window_unit, budget.*
    from archon_mcp_check_budgets(false) as budget
    join archon_mcp_quotas as quota using (quota_id)`),
]
