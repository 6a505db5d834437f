import * as z from 'zod'
import type { ResponseTimes } from '../../reports/analytics-times.ts'
import type { CallTrends } from '../../reports/analytics-trends.ts'
import { COST_GROUPS, type CostReport } from '../../reports/costs.ts'
import type { UsageSummary } from '../../reports/usage.ts'
import { count, day, lastDays, maybe, measure, percent, period, usd } from './parts.ts'

const sums = {
  calls: count,
  success: count,
  errors: count.describe('Timeouts among them'),
  prompt_tokens: count,
  completion_tokens: count,
  total_tokens: count,
  cost: usd,
  unpriced_calls: count.describe('Calls with a model that had no price'),
  estimated_calls: count.describe('Calls whose tokens were counted from texts'),
}

export const Costs = z.strictObject({
  period,
  group_by: z.enum(COST_GROUPS),
  calls_overlap: maybe(z.literal(true)).describe('A call may stand in several rows'),
  rows: z.array(
    z.strictObject({
      key: z
        .string()
        .nullable()
        .describe('A user, department, client, tool, model, day, or the start of an hour'),
      label: maybe(z.string()).describe('Where people read something else than the key'),
      email: maybe(z.string()),
      name: maybe(z.string()),
      department: maybe(z.string()),
      ...sums,
    }),
  ),
  total: z.strictObject(sums),
}) satisfies z.ZodType<CostReport>

export const Usage = z.strictObject({
  period: lastDays,
  summary: z.strictObject({
    total_requests: count,
    total_prompt_tokens: count,
    total_completion_tokens: count,
    total_tokens: count,
    total_cost: usd,
    unique_sessions: count,
  }),
  by_tool: z.record(z.string(), z.strictObject({ count, tokens: count, cost: usd })),
}) satisfies z.ZodType<UsageSummary>

const quantiles = { p50: measure, p95: measure, p99: measure }
const change = z.strictObject({ current: z.number(), previous: z.number(), change_percent: z.number() })

export const Analytics = z.strictObject({
  period: period.extend({ days: count }),
  trends: z.strictObject({
    daily: z.array(
      z.strictObject({ date: day, requests: count, tokens: count, cost: usd, success_rate: percent }),
    ),
    hourly: z.array(z.strictObject({ hour: count, requests: count, avg_duration: measure })),
  }),
  ratios: z.strictObject({ success: count, error: count, timeout: count, success_rate: percent }),
  response_times: z
    .strictObject({
      by_tool: z.array(
        z.strictObject({
          tool: z.string(),
          avg_ms: measure,
          min_ms: measure,
          max_ms: measure,
          count,
          ...quantiles,
        }),
      ),
      overall_avg: measure,
      ...quantiles,
    })
    .describe('Milliseconds'),
  comparison: z
    .strictObject({
      requests: change,
      success_rate: change,
      tokens: change,
      cost: change.extend({ current: usd, previous: usd }),
    })
    .nullable()
    .describe('Against the period before'),
}) satisfies z.ZodType<CallTrends & { response_times: ResponseTimes }>
