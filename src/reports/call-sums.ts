import type { Queryable } from '../db/client.ts'
import type { ReportCaller } from './visible-to.ts'

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

/** What calls are summed up by. `tool` is the method of what is none, `ms` how long a call took. */
export type SummedBy =
  | 'user_id'
  | 'session_id'
  | 'department'
  | 'client_type'
  | 'tool'
  | 'model'
  | 'quarter'
  | 'ms'

/** A moment, or a part of a query that says when. */
type Moment = Date | ReturnType<typeof costOfCall>

/** Which calls to sum up: those that have ended. */
export interface SummedCalls {
  /** Left out for all time. */
  period?: { start: Moment; end: Moment } | undefined
  userId?: string | undefined
  /** That of the call at its time. */
  department?: string | undefined
  sessionId?: string | undefined
  /** @default both */
  kind?: 'mcp' | 'api' | undefined
  /** Only tokens of models that had no price. */
  unpriced?: boolean
  /**
   * Calls, successes, tokens, cost, unpriced and estimated ones are all that is wanted: more roll-ups know them.
   * @default false
   */
  costsOnly?: boolean
}

/**
 * `call`: the sums that a caller may see of calls, a row for each group; one row when they are summed up by nothing.
 * Sums come from here alone: who may not read single calls, as finance, may read sums of them, and the function in the
 * database asks who wants them. By model, what no model accounts for stands without one; calls may be in several rows.
 */
export const callSums = (
  sql: Queryable,
  { role, userId, department }: ReportCaller,
  by: readonly SummedBy[],
  of: SummedCalls,
) => sql`
  archon_mcp_call_sums(
    ${`{${by.join(',')}}`}::text[], ${of.period?.start ?? null}, ${of.period?.end ?? null}, ${of.userId ?? null},
    ${of.department ?? null}, ${of.sessionId ?? null}, ${of.unpriced ?? false}, ${role}, ${userId}, ${department},
    ${of.costsOnly !== true}, p_kind => ${of.kind ?? null}
  ) as call`

/** What a call cost. Other writers know only the rounded column; the exact one is then the default, 0. */
export const costOfCall = (sql: Queryable) =>
  sql`case when call.kind is null then coalesce(call.estimated_cost, 0) else call.cost end`

/** The sums of callSums(), as columns of a group. */
export const sumsOfCalls = (sql: Queryable) => sql`
  sum(call.calls) as calls,
  sum(call.success) as success,
  sum(call.prompt_tokens) as prompt_tokens,
  sum(call.completion_tokens) as completion_tokens,
  sum(call.cost) as cost,
  sum(call.unpriced_calls) as unpriced_calls,
  sum(call.estimated_calls) as estimated_calls`

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
