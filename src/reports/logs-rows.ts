import type { Queryable } from '../db/client.ts'
import { costOfCall } from './call-sums.ts'
import type { McpCall } from './calls.ts'
import { type ReportedClientType, reportedClientType } from './client-types.ts'
import type { SqlFragment } from './cost-parts.ts'
import type { Period } from './period.ts'
import { plain } from './plain.ts'
import { comesAfter, type PageRequest, type Position, positionColumns } from './position.ts'
import { isForTool, tokensOf } from './usage-columns.ts'
import { callsVisibleTo, type ReportCaller } from './visible-to.ts'

/** How bad the end of a call is: success is info, timeout a warning, error an error. */
export type LogLevel = 'info' | 'warning' | 'error'

/** A call that has ended, and who made it; a call of nobody has no user. */
export interface LoggedCall extends McpCall {
  level: LogLevel
  status: 'success' | 'error' | 'timeout'
  /** Rows without any have none. */
  client_type?: ReportedClientType
  user_id?: string
  user_email?: string
  user_name?: string
  /** That of the user when the call was made. */
  department?: string
}

/** Which calls to list. */
export interface CallsFilter {
  /** In method, tool, error message, client type, e-mail or name of the user, in upper or lower case. */
  search?: string | undefined
  sessionId?: string | undefined
  userId?: string | undefined
  /** A tool, or the method of calls without one; of an API the route. */
  tool?: string | undefined
  kind?: 'mcp' | 'api' | undefined
  /** Left out for all time. */
  period?: Pick<Period, 'start' | 'end'> | undefined
}

/** Calls with the user as the database knows them, or else as their session does: Archon's users are only there. */
const CALLS = (sql: Queryable, calls: SqlFragment) => sql`
  ${calls} as call
  left join archon_mcp_users as known on known.user_id = call.user_id
  left join archon_mcp_sessions as session on session.session_id = call.session_id`

/** All calls, for conditions. */
export const callsWithUser = (sql: Queryable) => CALLS(sql, sql`archon_mcp_requests`)

/** The condition that a call contains a text, whatever is in it. Lines keep columns apart, within which words lie. */
const contains = (sql: Queryable, search: string) => sql`
  strpos(
    lower(concat_ws(
      chr(10), call.method, call.tool_name, call.error_message, call.client_type,
      coalesce(known.email, session.user_email), coalesce(known.name, session.user_name)
    )),
    lower(${search})
  ) > 0`

/** The condition that a call has ended, may be read by the caller and matches; over callsWithUser(). */
export function matches(sql: Queryable, caller: ReportCaller, filter: CallsFilter) {
  const { search, sessionId, userId, tool, kind, period } = filter
  return sql`
    ${callsVisibleTo(sql, caller, 'call.user_id')}
    and call.status <> 'open'
    ${sessionId === undefined ? sql`` : sql`and call.session_id = ${sessionId}`}
    ${userId === undefined ? sql`` : sql`and call.user_id = ${userId}`}
    ${tool === undefined ? sql`` : sql`and ${isForTool(sql, tool)}`}
    ${kind === undefined ? sql`` : sql`and coalesce(call.kind, 'mcp') = ${kind}`}
    ${
      period === undefined
        ? sql``
        : sql`and call.timestamp >= ${period.start} and call.timestamp < ${period.end}`
    }
    ${search === undefined ? sql`` : sql`and ${contains(sql, search)}`}`
}

/** The columns of a call in a list. */
const columns = (sql: Queryable) => sql`
  call.request_id, call.timestamp,
  case call.status when 'success' then 'info' when 'timeout' then 'warning' else 'error' end as level,
  call.status, call.kind, call.method, call.tool_name, call.session_id, call.user_id,
  coalesce(known.email, session.user_email) as user_email,
  coalesce(known.name, session.user_name) as user_name,
  call.department, call.client_type, call.duration_ms,
  coalesce(call.prompt_tokens, 0) as prompt_tokens,
  coalesce(call.completion_tokens, 0) as completion_tokens,
  ${tokensOf(sql)} as total_tokens,
  trim_scale(${costOfCall(sql)}) as cost,
  trim_scale(round(${costOfCall(sql)}, 6)) as estimated_cost,
  call.error_message`

export type CallRow = Position & { request_id: string }

/**
 * Calls, newest first: a page and one row more, which tells whether there is another.
 * @param wanted the condition, over callsWithUser().
 */
export const pageOfCalls = (
  sql: Queryable,
  wanted: SqlFragment,
  { limit, after }: PageRequest,
  offset = 0,
) => sql<CallRow[]>`
  select ${columns(sql)}, ${positionColumns(sql, 'call.timestamp', 'call.request_id')}
  from ${CALLS(
    sql,
    sql`(
      select call.*
      from ${callsWithUser(sql)}
      where ${wanted}
        and ${comesAfter(sql, after, 'call.timestamp', 'call.request_id')}
      order by call.timestamp desc, call.request_id desc
      limit ${limit + 1} offset ${offset}
    )`,
  )}
  order by call.timestamp desc, call.request_id desc`

/** A row as answers tell it. */
export function callOf(row: CallRow & { client_type?: string | null }, ...hidden: string[]): LoggedCall {
  const { client_type } = row
  const client = typeof client_type === 'string' ? reportedClientType(client_type) : null
  return plain({ ...row, client_type: client }, 'micros', 'id', ...hidden) as LoggedCall
}
