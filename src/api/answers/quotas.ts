import * as z from 'zod'
import type { QuotaPreview } from '../../reports/quota-preview.ts'
import type { McpQuota, QuotaHolder } from '../../reports/quota-rows.ts'
import { count, id, lastDays, maybe, measure, moment, page } from './parts.ts'

const amount = z
  .union([z.number(), z.string()])
  .describe('Requests and tokens as numbers, USD as a decimal string')
const refused = z
  .strictObject({ enforced: count, observed: count })
  .describe('Calls that were refused, or would have been')
const warning = z.number().nullable().describe('The highest share that is passed, of those at which it warns')

const common = {
  quota_id: id,
  scope: z.enum(['user', 'department', 'everyone', 'each_user', 'each_department']),
  subject: maybe(z.string()).describe("A user's id, or a department"),
  tools: maybe(z.array(z.string())),
  mode: z.enum(['observe', 'warn', 'enforce']),
  warn_at: z.array(z.number()),
  created_at: moment,
  updated_at: moment,
  refused,
}

const Holder = z
  .strictObject({
    subject: z.string(),
    email: maybe(z.string()),
    name: maybe(z.string()),
    used: amount,
    held: amount,
    left: amount,
    warning,
    resets_at: moment.nullable(),
    refused,
  })
  .meta({ id: 'QuotaHolder' }) satisfies z.ZodType<QuotaHolder>

const Budget = z
  .strictObject({
    ...common,
    kind: z.literal('budget'),
    metric: z.enum(['requests', 'tokens', 'cost', 'unpriced']),
    limit: amount,
    window: z.enum(['minute', 'hour', 'day', 'week', 'month', 'total']),
    timezone: z.string(),
    anchor: maybe(
      z.strictObject({ day_of_week: maybe(count), day_of_month: maybe(count), hour: maybe(count) }),
    ),
    models: maybe(z.array(z.string())),
    window_start: moment.nullable(),
    resets_at: moment.nullable(),
    used: maybe(amount),
    held: maybe(amount).describe('Reserved by calls that have not ended'),
    left: maybe(amount),
    warning: maybe(warning),
    excess: maybe(amount).describe('Used beyond what calls were expected to use'),
    excess_calls: maybe(count),
    holders: maybe(z.array(Holder)).describe('Of a quota of each: who is nearest to their cap'),
  })
  .meta({ id: 'McpBudget' })

const Rate = z
  .strictObject({ ...common, kind: z.literal('rate'), limit: count, window_seconds: count, burst: count })
  .meta({ id: 'McpRate' })

export const Quota = z
  .discriminatedUnion('kind', [Budget, Rate])
  .meta({ id: 'McpQuota' }) satisfies z.ZodType<McpQuota>

export const QuotaList = z.strictObject({ quotas: z.array(Quota), ...page })

export const Preview = z.strictObject({
  period: lastDays,
  calls: count.describe('The calls that it counts'),
  refused: count,
  holders: z.array(
    z.strictObject({
      subject: maybe(z.string()),
      user_id: maybe(id),
      email: maybe(z.string()),
      name: maybe(z.string()),
      department: maybe(z.string()),
      calls_refused: count,
      first_refused_at: moment,
      last_refused_at: moment,
      windows: maybe(measure).describe('In how many windows of a budget'),
    }),
  ),
  total: count,
}) satisfies z.ZodType<QuotaPreview>
