import type {
  BudgetLeft,
  BudgetState,
  LedgerRefusal,
  QuotaMetric,
  QuotaScope,
  QuotaWindow,
  RateState,
  Verdict,
} from './types.ts'

/** A row of the ledger's answer: bigint and numeric arrive as strings. */
export interface VerdictRow {
  verdict: 'admitted' | LedgerRefusal
  user_id: string | null
  email: string | null
  name: string | null
  department: string | null
  role: string | null
  session_id: string | null
  retry_ms: string | null
  quota_id: string | null
  counted_calls: string | null
  rate_limit: number | null
  rate_window_seconds: number | null
  rate_remaining: number | null
  rate_reset_ms: number | null
  budget_scope: QuotaScope | null
  budget_metric: QuotaMetric | null
  budget_window: QuotaWindow | null
  budget_limit: string | null
  budget_left: string | null
  budget_starts_at: Date | null
  budget_ends_at: Date | null
  budget_warning: string | null
  budget_held: boolean | null
  elsewhere: string | null
}

function rateOf(row: VerdictRow): { rate?: RateState } {
  const { rate_limit: limit, rate_window_seconds: windowSeconds } = row
  const { rate_remaining: remaining, rate_reset_ms: resetMs } = row
  if (limit === null || windowSeconds === null || remaining === null || resetMs === null) return {}
  return { rate: { limit, windowSeconds, remaining, resetMs } }
}

function budgetOf(row: VerdictRow): { budget?: BudgetState } {
  const { budget_scope: scope, budget_metric: metric, budget_window: window } = row
  const { budget_limit: limit, budget_left: remaining } = row
  if (scope === null || metric === null || window === null || limit === null || remaining === null) return {}
  return {
    budget: {
      scope,
      metric,
      window,
      limit,
      remaining,
      startsAt: row.budget_starts_at,
      resetsAt: row.budget_ends_at,
      warning: row.budget_warning === null ? null : Number(row.budget_warning),
    },
  }
}

/** What the ledger's statement says of one request. */
export function verdictOf(row: VerdictRow): Verdict {
  const limits = { ...rateOf(row), ...budgetOf(row) }
  const { user_id: id, email, name, department, role } = row
  if (row.verdict === 'admitted') {
    const user = id === null ? null : { id, email, name, department, role: role ?? 'member' }
    return { admitted: true, user, sessionId: row.session_id, ...limits }
  }
  return {
    admitted: false,
    code: row.verdict,
    userId: id,
    quotaId: row.quota_id,
    calls: Number(row.counted_calls ?? 0),
    ...(row.retry_ms === null ? {} : { retryAfterMs: Number(row.retry_ms) }),
    ...limits,
    ...(row.budget_held === true ? { held: true } : {}),
    ...(row.elsewhere === null ? {} : { elsewhere: JSON.parse(row.elsewhere) as BudgetLeft[] }),
  }
}
