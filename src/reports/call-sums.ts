import type { Queryable } from '../db/client.ts'

/** What calls were and used, all together. Open ones have used nothing yet and are not counted. */
export interface CallSums {
  calls: number
  success: number
  /** Timeouts among them. */
  errors: number
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  /** USD, exact, as a decimal string. */
  cost: string
  /** Calls with a model that had no price: what they cost beyond the sum is not known. */
  unpriced_calls: number
  /** Calls whose tokens were counted from texts, since nobody reported them. */
  estimated_calls: number
}

/** The names of the sums, in the order in which tables have them. */
export const SUMS = [
  'calls',
  'success',
  'errors',
  'prompt_tokens',
  'completion_tokens',
  'total_tokens',
  'cost',
  'unpriced_calls',
  'estimated_calls',
] as const satisfies readonly (keyof CallSums)[]

/** Sums as postgres.js reads them: what is no 32-bit integer arrives as text. */
export type SumsRow = Record<Exclude<keyof CallSums, 'total_tokens'>, string>

/** What a call cost. Other writers know only the rounded column; the exact one is then the default, 0. */
export const costOfCall = (sql: Queryable) =>
  sql`case when call.kind is null then coalesce(call.estimated_cost, 0) else call.cost end`

/** The sums of `archon_mcp_requests as call`, as columns of a group. */
export const sumsOfCalls = (sql: Queryable) => sql`
  count(*) as calls,
  count(*) filter (where call.status = 'success') as success,
  sum(call.prompt_tokens) as prompt_tokens,
  sum(call.completion_tokens) as completion_tokens,
  sum(${costOfCall(sql)}) as cost,
  count(*) filter (where call.unpriced) as unpriced_calls,
  count(*) filter (where call.estimated) as estimated_calls`

/** The sums of such sums, exact: none becomes 0, and of the cost no trailing zero is told. */
export const sumsOfSums = (sql: Queryable, part: string) => {
  const sum = (name: string) => sql`coalesce(sum(${sql(`${part}.${name}`)}), 0)`
  return sql`
    ${sum('calls')} as calls,
    ${sum('success')} as success,
    ${sum('calls')} - ${sum('success')} as errors,
    ${sum('prompt_tokens')} as prompt_tokens,
    ${sum('completion_tokens')} as completion_tokens,
    trim_scale(${sum('cost')}) as cost,
    ${sum('unpriced_calls')} as unpriced_calls,
    ${sum('estimated_calls')} as estimated_calls`
}

/** Sums as answers tell them. */
export const sumsOf = (row: SumsRow): CallSums => ({
  calls: Number(row.calls),
  success: Number(row.success),
  errors: Number(row.errors),
  prompt_tokens: Number(row.prompt_tokens),
  completion_tokens: Number(row.completion_tokens),
  // Not the column: other writers may leave one of the two null, and their sum is null then.
  total_tokens: Number(row.prompt_tokens) + Number(row.completion_tokens),
  cost: row.cost,
  unpriced_calls: Number(row.unpriced_calls),
  estimated_calls: Number(row.estimated_calls),
})
