import type { Queryable } from '../db/client.ts'
import { callSums } from './call-sums.ts'
import { clientTypeColumn, type ReportedClientType } from './client-types.ts'
import { plain } from './plain.ts'
import { comesAfter, cutPage, type PageRequest, type Position, positionColumns } from './position.ts'
import { lifeColumns, type SessionStatus, sessionsWithLife, type StatusFilter } from './session-life.ts'
import { isWanted, type SessionsFilter } from './session-rows.ts'
import { departmentOf, emailOf, nameOf } from './user-names.ts'
import type { ReportCaller } from './visible-to.ts'

/** A client at work: a session of MCP, or a user who calls the API, of the last day. Moments are ISO 8601. */
export interface Activity {
  kind: 'mcp' | 'api'
  /** Of MCP. */
  session_id?: string
  client_type?: ReportedClientType
  /** What the client calls itself. */
  client_name?: string
  client_version?: string
  user_id?: string
  user_email?: string
  user_name?: string
  /** Where the user works now. */
  department?: string
  status: SessionStatus
  connected_at: string
  last_activity: string
  /** Those that have ended. */
  calls: number
  /** USD, exact, as a decimal string. */
  cost: string
}

/** Which to list. */
export interface ActivityFilter extends SessionsFilter {
  kind: 'mcp' | 'api' | 'all'
  clientType?: ReportedClientType | undefined
}

/** Of MCP, its sessions. */
const sessions = (sql: Queryable, caller: ReportCaller, filter: ActivityFilter) => sql`
  ${sessionsWithLife(sql)}
  where ${isWanted(sql, caller, filter)}
    ${
      filter.clientType === undefined
        ? sql``
        : sql`and ${clientTypeColumn(sql, 'session.client_type')} = ${filter.clientType}`
    }`

/** How long a caller of the API counts as there, as an MCP client without a session does. */
const API_LIVES = '60 minutes'
const API_IDLE = '5 minutes'

const API_STATUS: Record<StatusFilter, string> = {
  all: 'true',
  live: `caller.last_activity >= now() - interval '${API_LIVES}'`,
  active: `caller.last_activity >= now() - interval '${API_IDLE}'`,
  idle: `caller.last_activity < now() - interval '${API_IDLE}' and caller.last_activity >= now() - interval '${API_LIVES}'`,
  disconnected: `caller.last_activity < now() - interval '${API_LIVES}'`,
}

/** Of the API, its callers of the last day, by sums: who may not read single calls sees them too. */
const callers = (sql: Queryable, caller: ReportCaller, { status, userId, department }: ActivityFilter) => sql`
  (
    select coalesce(call.user_id, '00000000-0000-0000-0000-000000000000') as id, call.user_id,
           call.first_at as connected_at, call.last_at as last_activity, call.calls, call.cost
    from ${callSums(sql, caller, ['user_id'], {
      period: { start: sql`now() - interval '24 hours'`, end: sql`'infinity'::timestamptz` },
      userId,
      kind: 'api',
    })}
  ) as caller
  left join archon_mcp_users as known on known.user_id = caller.user_id
  where ${sql.unsafe(API_STATUS[status])}
    ${department === undefined ? sql`` : sql`and ${departmentOf(sql)} = ${department}`}`

function pageOfSessions(sql: Queryable, caller: ReportCaller, filter: ActivityFilter, page: PageRequest) {
  return sql`
    select 'mcp' as kind, live.session_id, live.client_type, live.client_name, live.client_version, live.user_id,
           live.user_email, live.user_name, ${departmentOf(sql)} as department, live.status, live.connected_at,
           live.last_activity, coalesce(total.calls, 0) as calls, trim_scale(coalesce(total.cost, 0)) as cost,
           live.micros, live.id
    from (
      select session.session_id, ${clientTypeColumn(sql, 'session.client_type')} as client_type, session.client_name,
             session.client_version, session.user_id, session.user_email, session.user_name, ${lifeColumns(sql)},
             ${positionColumns(sql, 'session.last_activity', 'session.session_id')}
      from ${sessions(sql, caller, filter)}
        and ${comesAfter(sql, page.after, 'session.last_activity', 'session.session_id')}
      order by session.last_activity desc, session.session_id desc
      limit ${page.limit + 1}
    ) as live
    left join archon_mcp_users as known on known.user_id = live.user_id
    left join archon_mcp_session_totals as total on total.session_id = live.session_id`
}

function pageOfCallers(sql: Queryable, caller: ReportCaller, filter: ActivityFilter, page: PageRequest) {
  return sql`
    select 'api' as kind, null::uuid as session_id, null::text as client_type, null::text as client_name,
           null::text as client_version, caller.user_id, ${emailOf(sql, 'caller.user_id')} as user_email,
           ${nameOf(sql, 'caller.user_id')} as user_name, ${departmentOf(sql)} as department,
           case
             when caller.last_activity >= now() - ${API_IDLE}::text::interval then 'active'
             when caller.last_activity >= now() - ${API_LIVES}::text::interval then 'idle'
             else 'disconnected'
           end as status,
           caller.connected_at, caller.last_activity, caller.calls, trim_scale(caller.cost) as cost,
           ${positionColumns(sql, 'caller.last_activity', 'caller.id')}
    from ${callers(sql, caller, filter)}
      and ${comesAfter(sql, page.after, 'caller.last_activity', 'caller.id')}
    order by caller.last_activity desc, caller.id desc
    limit ${page.limit + 1}`
}

type Row = Position & { calls: string }

/**
 * Which clients are at work, of MCP, of the API, or both together? Latest activity first.
 * @returns a page of them, and how many there are of each.
 */
export async function listActivity(
  sql: Queryable,
  caller: ReportCaller,
  filter: ActivityFilter,
  page: PageRequest,
): Promise<{ activity: Activity[]; totals: { mcp: number; api: number }; next: Position | null }> {
  // A client type is one of MCP.
  const kind = filter.clientType === undefined ? filter.kind : 'mcp'
  const [totals, found] = await Promise.all([
    sql<[{ mcp: string; api: string }]>`
      select ${kind === 'api' ? sql`0` : sql`(select count(*) from ${sessions(sql, caller, filter)})`} as mcp,
             ${kind === 'mcp' ? sql`0` : sql`(select count(*) from ${callers(sql, caller, filter)})`} as api`,
    sql<Row[]>`
      select *
      from (
        select * from (${pageOfSessions(sql, caller, filter, page)}) as mcp where ${kind !== 'api'}
        union all
        select * from (${pageOfCallers(sql, caller, filter, page)}) as api where ${kind !== 'mcp'}
      ) as activity
      order by activity.micros desc, activity.id desc
      limit ${page.limit + 1}`,
  ])
  const { rows, next } = cutPage(found, page.limit)
  return {
    activity: rows.map((row) => ({
      ...(plain(row, 'micros', 'id', 'disconnected_at') as Activity),
      calls: Number(row.calls),
    })),
    totals: { mcp: Number(totals[0].mcp), api: Number(totals[0].api) },
    next,
  }
}
