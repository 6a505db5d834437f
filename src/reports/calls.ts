import type { Queryable } from '../db/client.ts'
import { callSums, costOfCall } from './call-sums.ts'
import { plain } from './plain.ts'
import { comesAfter, cutPage, type PageRequest, type Position, positionColumns } from './position.ts'
import { callsVisibleTo, type ReportCaller } from './visible-to.ts'

/** One call: one JSON-RPC request, or one HTTP request of kind `api`. */
export interface McpCall {
  request_id: string
  session_id?: string
  /** Rows of other writers have none. */
  kind?: 'mcp' | 'api'
  method: string
  tool_name?: string
  /** `open` until its answer has ended. */
  status: 'open' | 'success' | 'error' | 'timeout'
  error_message?: string
  timestamp: string
  duration_ms?: number
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  /** USD, exact, as a decimal string. */
  cost: string
  /** The same rounded to six places: the name under which Archon knows it. */
  estimated_cost: string
}

/** What calls used together. */
export interface CallsSummary {
  total_requests: number
  total_prompt_tokens: number
  total_completion_tokens: number
  total_tokens: number
  /** USD, exact, as a decimal string. */
  total_cost: string
}

/** What did the calls of a session use, all together? Open ones have used nothing yet and are not counted. */
export async function sessionSummary(
  sql: Queryable,
  caller: ReportCaller,
  sessionId: string,
): Promise<CallsSummary> {
  const [row] = await sql<[Record<Exclude<keyof CallsSummary, 'total_tokens'>, string>]>`
    select call.calls as total_requests, call.prompt_tokens as total_prompt_tokens,
           call.completion_tokens as total_completion_tokens, trim_scale(call.cost) as total_cost
    from ${callSums(sql, caller, [], { sessionId })}`
  const prompt = Number(row.total_prompt_tokens)
  const completion = Number(row.total_completion_tokens)
  return {
    total_requests: Number(row.total_requests),
    total_prompt_tokens: prompt,
    total_completion_tokens: completion,
    // Not the column: other writers may leave one of the two null, and their sum is null then.
    total_tokens: prompt + completion,
    total_cost: row.total_cost,
  }
}

/** Which calls did a session make? Newest first. */
export async function listSessionCalls(
  sql: Queryable,
  caller: ReportCaller,
  sessionId: string,
  { limit, after }: PageRequest,
): Promise<{ calls: McpCall[]; next: Position | null }> {
  const found = await sql<Position[]>`
    select call.request_id, call.session_id, call.kind, call.method, call.tool_name, call.status, call.error_message,
           call.timestamp, call.duration_ms,
           coalesce(call.prompt_tokens, 0) as prompt_tokens,
           coalesce(call.completion_tokens, 0) as completion_tokens,
           coalesce(call.prompt_tokens, 0) + coalesce(call.completion_tokens, 0) as total_tokens,
           trim_scale(${costOfCall(sql)}) as cost,
           trim_scale(round(${costOfCall(sql)}, 6)) as estimated_cost,
           ${positionColumns(sql, 'call.timestamp', 'call.request_id')}
    from archon_mcp_requests as call
    where call.session_id = ${sessionId}
      and ${callsVisibleTo(sql, caller, 'call.user_id')}
      and ${comesAfter(sql, after, 'call.timestamp', 'call.request_id')}
    order by call.timestamp desc, call.request_id desc
    limit ${limit + 1}`
  const { rows, next } = cutPage(found, limit)
  return { calls: rows.map((row) => plain(row, 'micros', 'id') as McpCall), next }
}
