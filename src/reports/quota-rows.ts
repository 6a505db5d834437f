import { plain } from './plain.ts'

/** Requests and tokens are numbers, USD an exact decimal string. */
export type Amount = number | string

/** How many calls were refused, and how many would have been if the quota were enforced. */
export interface RefusedCalls {
  enforced: number
  observed: number
}

/** Where a holder of a budget stands in the current window. */
export interface Standing {
  used: Amount
  /** Reserved by calls that have not ended. */
  held: Amount
  left: Amount
  /** The highest share of the limit that is passed, of those at which the quota warns. */
  warning: number | null
}

/** One of those whom a quota of each holds. */
export interface QuotaHolder extends Standing {
  /** A user's id, or a department. */
  subject: string
  email?: string
  name?: string
  resets_at: string | null
  refused: RefusedCalls
}

interface AnyQuota {
  quota_id: string
  scope: 'user' | 'department' | 'everyone' | 'each_user' | 'each_department'
  subject?: string
  tools?: string[]
  mode: 'observe' | 'warn' | 'enforce'
  warn_at: number[]
  created_at: string
  updated_at: string
  /** In the current window, or in 30 days. Of a quota of each: of those whom the caller may see. */
  refused: RefusedCalls
}

/**
 * A budget. What is used stands here where there is one holder: the quota's own, or of a quota of each the caller,
 * if it holds them.
 */
export interface McpBudget extends AnyQuota, Partial<Standing> {
  kind: 'budget'
  metric: 'requests' | 'tokens' | 'cost' | 'unpriced'
  limit: Amount
  window: 'minute' | 'hour' | 'day' | 'week' | 'month' | 'total'
  timezone: string
  anchor?: { day_of_week?: number; day_of_month?: number; hour?: number }
  models?: string[]
  /** Null for a window without a beginning or an end. */
  window_start: string | null
  resets_at: string | null
  /** What calls used beyond their estimates, and how many did; it is part of what is used. */
  excess?: Amount
  excess_calls?: number
  /** Of a quota of each, for those who may see others: who is nearest to their cap. */
  holders?: QuotaHolder[]
}

export interface McpRate extends AnyQuota {
  kind: 'rate'
  limit: number
  window_seconds: number
  burst: number
}

export type McpQuota = McpBudget | McpRate

interface StandingRow {
  used: string
  held: string
  left: string
  warning: number | null
}

/** A row of the query: numeric and bigint arrive as strings. */
export interface QuotaRow extends StandingRow {
  quota_id: string
  kind: McpQuota['kind']
  scope: McpQuota['scope']
  subject: string | null
  metric: McpBudget['metric']
  amount: string
  window: McpBudget['window']
  timezone: string
  anchor_day: number | null
  anchor_hour: number | null
  window_seconds: number
  burst: number
  tools: string[] | null
  models: string[] | null
  mode: McpQuota['mode']
  warn_at: number[]
  created_at: Date
  updated_at: Date
  /** The one holder of whom it tells. */
  line: string | null
  window_start: Date | null
  resets_at: Date | null
  excess: string
  excess_calls: string
  refused: RefusedCalls
  holders:
    | (StandingRow & { subject: string; email: string | null; name: string | null; refused: RefusedCalls })[]
    | null
}

const iso = (moment: Date | null): string | null => moment?.toISOString() ?? null

function anchorOf({ window, anchor_day, anchor_hour }: QuotaRow): { anchor?: McpBudget['anchor'] } {
  const day = window === 'week' ? 'day_of_week' : 'day_of_month'
  const anchor = {
    ...(anchor_day === null ? {} : { [day]: anchor_day }),
    ...(anchor_hour === null ? {} : { hour: anchor_hour }),
  }
  return Object.keys(anchor).length === 0 ? {} : { anchor }
}

/** A row as answers tell it. */
export function quotaOf(row: QuotaRow, showHolders: boolean): McpQuota {
  const { quota_id, scope, subject, tools, mode, warn_at, created_at, updated_at, refused } = row
  const common = { mode, warn_at, created_at, updated_at, refused }
  if (row.kind === 'rate') {
    const { window_seconds, burst } = row
    const rate = { limit: Number(row.amount), window_seconds, burst, tools }
    return plain({ quota_id, kind: 'rate', scope, subject, ...rate, ...common }) as McpRate
  }
  const { metric, window, timezone, models, holders, line } = row
  const amount = (text: string): Amount => (metric === 'cost' ? text : Number(text))
  const standing = ({ used, held, left, warning }: StandingRow): Standing => ({
    used: amount(used),
    held: amount(held),
    left: amount(left),
    warning,
  })
  const calendar = { window, timezone, ...anchorOf(row), tools, models }
  const resets_at = iso(row.resets_at)
  return {
    ...(plain({
      quota_id,
      kind: 'budget',
      scope,
      subject,
      metric,
      limit: amount(row.amount),
      ...calendar,
    }) as McpBudget),
    ...(plain(common) as typeof common & { created_at: string; updated_at: string }),
    window_start: iso(row.window_start),
    resets_at,
    ...(line === null
      ? {}
      : { ...standing(row), excess: amount(row.excess), excess_calls: Number(row.excess_calls) }),
    ...(showHolders && scope.startsWith('each')
      ? {
          holders: (holders ?? []).map((holder) => ({
            ...(plain(holder, 'spent') as QuotaHolder),
            ...standing(holder),
            resets_at,
          })),
        }
      : {}),
  }
}
