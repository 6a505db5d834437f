import { type Actor, type AuditDetails, recordAudit } from '../audit.ts'
import { errorCode, errorField, pgArray, type Sql, type Transaction } from '../db/client.ts'
import { inTransaction } from '../db/transaction.ts'
import type { QuotaMetric, QuotaScope, QuotaWindow } from '../ledger/types.ts'

/** What an administrator allows. What a budget has and a rate has not is null in a rate, and the other way round. */
export interface QuotaDefinition {
  /** The quota to change, or the id of a new one; null for the one of the same identity. */
  quotaId: string | null
  kind: 'budget' | 'rate'
  scope: QuotaScope
  /** A user's id or a department; null where the scope says all. */
  subject: string | null
  metric: QuotaMetric | null
  /** Requests, tokens or USD as a decimal; of a rate, calls. */
  amount: string
  window: QuotaWindow | null
  /** IANA: where the calendar is read. */
  timezone: string
  /** Of the week (Monday is 1) or of the month. */
  anchorDay: number | null
  anchorHour: number | null
  windowSeconds: number | null
  burst: number | null
  /** Null for all. */
  tools: string[] | null
  models: string[] | null
  mode: 'observe' | 'warn' | 'enforce'
  /** Shares of the amount. */
  warnAt: number[]
}

/** What a rate has of a budget: nothing. */
export const NO_BUDGET = {
  metric: null,
  window: null,
  timezone: 'UTC',
  anchorDay: null,
  anchorHour: null,
  models: null,
} as const satisfies Partial<QuotaDefinition>

/** A definition that the database does not take; the message is a half-sentence on the field. */
export class QuotaError extends Error {
  override name = 'QuotaError'
  readonly field: 'timezone' | 'quota_id'

  constructor(field: 'timezone' | 'quota_id', message: string, options?: ErrorOptions) {
    super(message, options)
    this.field = field
  }
}

const UNKNOWN_ZONE = '22023'

/** What the caller did wrong, where an error of the database says so; else the error. */
export function quotaErrorOf(error: unknown): unknown {
  if (errorCode(error) === UNKNOWN_ZONE)
    return new QuotaError('timezone', 'is not a time zone that Postgres knows', { cause: error })
  if (errorField(error, 'constraint_name') === 'archon_mcp_quotas_once')
    return new QuotaError(
      'quota_id',
      'names one quota, while another has this kind, scope, subject, metric, window and narrowing already: ' +
        'leave it out to change that one',
      { cause: error },
    )
  return error
}

const list = (names: string[] | null): string | null => (names === null ? null : pgArray(names))

/**
 * Creates a quota, or changes the one with that id, or else the one of the same kind, scope, subject, metric, window
 * and narrowing. What was used stays used. It holds for every call that asks after the commit.
 * @param by whoever does it, for the record.
 * @param now the moment in whose window a new budget begins; null is the database's clock.
 * @throws QuotaError for a time zone that is not known, and an id that would make a second quota of one identity.
 */
export async function putQuota(
  sql: Sql,
  quota: QuotaDefinition,
  by: Actor,
  now: Date | null = null,
): Promise<{ quotaId: string; created: boolean }> {
  const put = async (tx: Transaction) => {
    const [row] = await tx<[{ quota_id: string; created: boolean }]>`
      select (put.quota).quota_id, put.created
      from archon_mcp_put_quota(
        ${now}, ${quota.quotaId}, ${quota.kind}, ${quota.scope}, ${quota.subject}, ${quota.metric}, ${quota.amount},
        ${quota.window}, ${quota.timezone}, ${quota.anchorDay}, ${quota.anchorHour}, ${quota.windowSeconds},
        ${quota.burst}, ${list(quota.tools)}::text[], ${list(quota.models)}::text[], ${quota.mode},
        ${pgArray(quota.warnAt)}::numeric[]
      ) as put`
    const target = { kind: 'quota', id: row.quota_id } as const
    await recordAudit(tx, by, { action: 'quota.set', target, details: detailsOf(quota, row.created) })
    return { quotaId: row.quota_id, created: row.created }
  }
  try {
    return await inTransaction(sql, put, { statementTimeoutMs: COUNTING_MS })
  } catch (error) {
    throw quotaErrorOf(error)
  }
}

/** A new budget is counted from the calls of its window, which may be many. */
const COUNTING_MS = 120_000

/** What was set, for the record. A subject is an id or a department. */
function detailsOf(quota: QuotaDefinition, created: boolean): AuditDetails {
  const { kind, scope, subject, metric, amount, window, windowSeconds, burst, tools, models, mode } = quota
  const told = {
    kind,
    scope,
    subject,
    metric,
    amount,
    window,
    window_seconds: windowSeconds,
    burst,
    tools,
    models,
    mode,
  }
  const set = Object.entries(told).filter(([, value]) => value !== null)
  return { created, ...Object.fromEntries(set) }
}

/**
 * @param by whoever does it, for the record.
 * @returns whether it was there.
 */
export async function removeQuota(sql: Sql, quotaId: string, by: Actor): Promise<boolean> {
  return await inTransaction(sql, async (tx) => {
    const [quota] = await tx<[AuditDetails?]>`
      select quota.kind, quota.scope, quota.subject, quota.metric, trim_scale(quota.amount) as amount
      from archon_mcp_quotas as quota
      where quota.quota_id = ${quotaId}`
    const [row] = await tx<[{ removed: boolean }]>`select archon_mcp_remove_quota(${quotaId}) as removed`
    if (row.removed)
      await recordAudit(tx, by, {
        action: 'quota.removed',
        target: { kind: 'quota', id: quotaId },
        details: { ...quota },
      })
    return row.removed
  })
}

/** A budget that says other than its calls do. Amounts are decimals. */
export interface BudgetDifference {
  quota_id: string
  holder: string
  /** Null for a window without a beginning. */
  starts_at: Date | null
  used: string
  held: string
  calls_used: string
  calls_held: string
}

/**
 * Compares every budget with its calls.
 * @param fix sets right what differs, and records it in `archon_mcp_repairs`.
 */
export async function checkBudgets(
  sql: Sql,
  fix: boolean,
): Promise<{ checked: number; differences: BudgetDifference[] }> {
  const [row] = await sql<[{ checked: number }]>`select count(*)::integer as checked from archon_mcp_budgets`
  const differences = await sql<BudgetDifference[]>`
    select quota_id, holder, nullif(starts_at, '-infinity') as starts_at, trim_scale(used) as used,
           trim_scale(held) as held, trim_scale(calls_used) as calls_used, trim_scale(calls_held) as calls_held
    from archon_mcp_check_budgets(${fix})`
  return { checked: row.checked, differences: [...differences] }
}
