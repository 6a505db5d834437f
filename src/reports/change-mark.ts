import type { Queryable } from '../db/client.ts'
import { managedBy, type ReportCaller, seesEveryCall, seesEveryone, visibleTo } from './visible-to.ts'

/** What to look at. */
export interface Watched {
  /** This session alone; left out for everything. */
  sessionId?: string | undefined
  /** The access token of ours with which the caller came. */
  accessToken?: string | undefined
}

/** Calls that last longer, and older ones that are priced anew, change sums further back: they go unnoticed. */
const LOOK_BACK = '6 hours'
/** Without a call for so long most clients turn idle. */
const ACTIVE = '5 minutes'

const ofSession = (sql: Queryable, caller: ReportCaller, sessionId: string) => sql`
  (
    select concat_ws(' ', session.last_activity, session.disconnected_at, total.calls, total.cost)
    from archon_mcp_sessions as session
    left join archon_mcp_session_totals as total on total.session_id = session.session_id
    where session.session_id = ${sessionId} and ${visibleTo(sql, caller, 'session.user_id')}
  )`

/** The rule of visibleTo() in its parts, each of which an index answers: of all of them at once none does. */
function ofEverything(sql: Queryable, caller: ReportCaller) {
  const { userId } = caller
  const everyone = seesEveryone(sql, caller)
  const managed = managedBy(sql, caller)
  const sessions = [
    everyone,
    sql`session.user_id = ${userId}::uuid`,
    sql`session.department = ${managed}`,
  ].map(
    (visible) => sql`
      (select max(session.last_activity) from archon_mcp_sessions as session where ${visible}),
      (select max(session.disconnected_at) from archon_mcp_sessions as session
        where session.disconnected_at >= now() - ${LOOK_BACK}::interval and ${visible}),
      (select count(*) from archon_mcp_sessions as session
        where session.disconnected_at is null and session.last_activity >= now() - ${ACTIVE}::interval and ${visible}),`,
  )
  return sql`
    ${sessions}
    (select concat(sum(quarter.calls), ' ', sum(quarter.cost)) from archon_mcp_quarters as quarter
      where quarter.quarter >= now() - ${LOOK_BACK}::interval and (${everyone} or quarter.department = ${managed})),
    (select concat(sum(total.calls), ' ', sum(total.cost)) from archon_mcp_user_totals as total
      where total.user_id = ${userId}::uuid),
    (select concat(count(*), ' ', max(quota.updated_at)) from archon_mcp_quotas as quota),
    (select max(audit.at) from archon_mcp_audit as audit where ${seesEveryCall(sql, caller)})`
}

/**
 * A text that is another one once something has changed that a caller may see: calls, sessions, limits and, for
 * administrators, whatever anybody administered. Cheap, however long the history is.
 * @returns null when the caller may see nothing any more: blocked, cut off, or with an access token that has ended.
 */
export async function changeMark(
  sql: Queryable,
  caller: ReportCaller,
  { sessionId, accessToken }: Watched = {},
): Promise<string | null> {
  const [row] = await sql<[{ mark: string | null }]>`
    select concat_ws(
      '|', ${sessionId === undefined ? ofEverything(sql, caller) : ofSession(sql, caller, sessionId)}
    ) as mark
    where (archon_mcp_caller()).role is not null
      ${
        accessToken === undefined
          ? sql``
          : sql`and exists (
              select from archon_mcp_access_tokens as token
              where token.token_id = ${accessToken} and token.revoked_at is null and token.expires_at > now()
            )`
      }`
  return row?.mark ?? null
}
