import * as z from 'zod'
import type { CallsSummary as Summary, McpCall as Call } from '../../reports/calls.ts'
import type { ErrorSummary } from '../../reports/errors.ts'
import type { LoggedCall } from '../../reports/logs-rows.ts'
import { clientType, count, id, maybe, moment, nextPage, page, percent, usd } from './parts.ts'

const call = z.strictObject({
  request_id: id,
  session_id: maybe(id),
  kind: maybe(z.enum(['mcp', 'api'])),
  method: z.string(),
  tool_name: maybe(z.string()),
  status: z.enum(['open', 'success', 'error', 'timeout']).describe('open until its answer has ended'),
  error_message: maybe(z.string()),
  timestamp: moment,
  duration_ms: maybe(count),
  prompt_tokens: count,
  completion_tokens: count,
  total_tokens: count,
  cost: usd,
  estimated_cost: usd.describe('USD, rounded to six places'),
})

export const McpCall = call.meta({ id: 'McpCall' }) satisfies z.ZodType<Call>

export const CallsSummary = z
  .strictObject({
    total_requests: count,
    total_prompt_tokens: count,
    total_completion_tokens: count,
    total_tokens: count,
    total_cost: usd,
  })
  .meta({ id: 'CallsSummary' }) satisfies z.ZodType<Summary>

const Logged = call
  .extend({
    level: z.enum(['info', 'warning', 'error']),
    status: z.enum(['success', 'error', 'timeout']),
    client_type: maybe(clientType),
    user_id: maybe(id),
    user_email: maybe(z.string()),
    user_name: maybe(z.string()),
    department: maybe(z.string()).describe('That of the user when the call was made'),
  })
  .meta({ id: 'LoggedCall' }) satisfies z.ZodType<LoggedCall>

export const LogPage = z.strictObject({
  logs: z.array(Logged),
  pagination: z.strictObject({ total: count, limit: count, offset: count, has_more: z.boolean() }),
  ...nextPage,
})

export const ErrorPage = z.strictObject({
  errors: z.array(Logged),
  summary: z.strictObject({
    error_count: count,
    timeout_count: count,
    last_error_at: moment.nullable(),
    error_rate_percent: percent,
  }) satisfies z.ZodType<ErrorSummary>,
  ...page,
})
