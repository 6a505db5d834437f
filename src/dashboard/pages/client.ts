import { type Context, Hono } from 'hono'
import { callerOf } from '../../as-caller.ts'
import { resolveSql, type SqlSource } from '../../db/client.ts'
import { type CallsSummary, listSessionCalls, type McpCall, sessionSummary } from '../../reports/calls.ts'
import { cursorOf, type Position, positionOf } from '../../reports/position.ts'
import { type McpSession, sessionById } from '../../reports/session.ts'
import { readsCallsOf } from '../../reports/visible-to.ts'
import { reasonToEnd } from '../../sessions/life-cycle.ts'
import { createSessionManager } from '../../sessions/session-manager.ts'
import { isUuid } from '../../uuid.ts'
import { sessionBadge } from '../components/badge.ts'
import { OUTCOME_COLUMNS } from '../components/call-columns.ts'
import { confirmPage } from '../components/confirm.ts'
import { details, facts } from '../components/facts.ts'
import { cursorPager } from '../components/pager.ts'
import { type Column, emptyState, table } from '../components/table.ts'
import { type Mark, timeline } from '../components/timeline.ts'
import type { DashboardEnv } from '../env.ts'
import { ago, count, milliseconds, moment, money, span } from '../format.ts'
import { html, type Html, type Part } from '../html.ts'
import { page } from '../layout.ts'
import { chosenZone } from '../period.ts'
import { readAs } from '../read.ts'
import { notAllowed, notFound } from './message.ts'

const PAGE_ROWS = 100
const REASONS: Readonly<Record<string, string>> = {
  client_disconnect: 'ended by its user',
  timeout: 'no call for too long',
  server_shutdown: 'the server stopped',
  error: 'an error',
  replaced: 'too many sessions of this user',
  admin: 'ended by an administrator',
  revoked: 'its user was cut off',
  erased: 'its user was erased',
}

const nameOf = ({ client_type, client_name, client_version }: McpSession): string => {
  const called = client_type === 'Unknown' ? (client_name ?? 'Unknown client') : client_type
  return client_version === undefined ? called : `${called} ${client_version}`
}

const ownerOf = ({ user_name, user_email }: McpSession): string =>
  user_name ?? user_email ?? 'nobody in particular'

const about = (session: McpSession, timezone: string, { base, now }: DashboardEnv['Variables']): Html => {
  const owner =
    session.user_id === undefined
      ? ownerOf(session)
      : html`<a href="${base}/users/${session.user_id}">${ownerOf(session)}</a>`
  const { disconnected_at: ended, disconnect_reason: reason } = session
  const rows: (readonly [string, Part])[] = [
    [
      'User',
      session.user_email === undefined
        ? owner
        : html`${owner} <span class="sub">${session.user_email}</span>`,
    ],
    ['Calls itself', session.client_name ?? '–'],
    ['Protocol', session.protocol_version ?? session.era ?? '–'],
    ['Connected', moment(session.connected_at, timezone)],
    ['Last activity', ago(session.last_activity, now)],
    ...(ended === undefined
      ? [['Ends', html`after ${span(session.timeout_seconds)} without a call`] as const]
      : [
          [
            'Ended',
            html`${moment(ended, timezone)}${reason === undefined ? '' : `, ${REASONS[reason] ?? reason}`}`,
          ] as const,
          ['Lasted', span(session.total_duration ?? 0)] as const,
        ]),
    ['Session', html`<code>${session.session_id}</code>`],
  ]
  return details(rows)
}

const callColumns = (timezone: string): Column<McpCall>[] => [
  { title: 'When', cell: (call) => moment(call.timestamp, timezone, 'medium') },
  { title: 'Tool', cell: (call) => call.tool_name ?? call.method },
  ...OUTCOME_COLUMNS,
]

const TONES = { open: 'waiting', success: 'good', error: 'bad', timeout: 'warning' } as const

const markOf = ({ timestamp, tool_name, method, status, duration_ms }: McpCall): Mark => ({
  at: new Date(timestamp),
  lane: tool_name ?? method,
  tone: TONES[status],
  title: `${tool_name ?? method}: ${status}${duration_ms === undefined ? '' : ` after ${milliseconds(duration_ms)}`}`,
})

/** What the page shows, or null for a session that is not there or not this person's to see. */
async function read(c: Context<DashboardEnv>, sql: SqlSource, id: string, after: Position | null) {
  if (!isUuid(id)) return null
  return await readAs(c, sql, async (db, caller) => {
    const session = await sessionById(db, caller, id)
    if (session === null) return null
    const mayRead = readsCallsOf(caller, session.user_id)
    const [summary, list] = await Promise.all([
      sessionSummary(db, caller, id),
      mayRead ? listSessionCalls(db, caller, id, { limit: PAGE_ROWS, after }) : null,
    ])
    return { session, summary, list, mayEnd: reasonToEnd(caller, session.user_id) !== null }
  })
}

const totals = ({ session, summary }: { session: McpSession; summary: CallsSummary }): Html =>
  facts([
    { title: 'Status', value: sessionBadge(session.status) },
    { title: 'Calls', value: count(summary.total_requests) },
    { title: 'Tokens', value: count(summary.total_tokens) },
    { title: 'Cost', value: money(summary.total_cost) },
  ])

async function clientPage(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const query = c.req.query()
  const id = c.req.param('id') ?? ''
  const found = await read(c, sql, id, positionOf(query['cursor'] ?? ''))
  if (found === null) return notFound(c, 'session')
  const { session, list, mayEnd } = found
  const path = `${c.var.base}/clients/${id}`
  const timezone = chosenZone(query).timezone
  return page(c, {
    title: `${nameOf(session)} of ${ownerOf(session)}`,
    path: '/clients',
    back: { address: `${c.var.base}/clients`, text: 'All clients' },
    actions:
      mayEnd && session.status !== 'disconnected'
        ? html`<a class="button quiet" href="${path}/disconnect">Disconnect…</a>`
        : undefined,
    content: html`
      <div id="session" data-live="session=${id}">
        ${totals(found)} ${about(session, timezone, c.var)}
        <h2>Calls</h2>
        ${
          list === null
            ? emptyState('You see what the calls of others cost together, not each of them.')
            : html`${timeline(`Calls over time, ${timezone}`, list.calls.map(markOf), timezone)}
              ${table({
                caption: 'Calls of this session, newest first',
                columns: callColumns(timezone),
                rows: list.calls,
                empty: 'No call yet.',
              })}
              ${cursorPager({ path, query }, { next: list.next === null ? null : cursorOf(list.next), shown: list.calls.length })}`
        }
      </div>
    `,
  })
}

async function disconnectPage(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const id = c.req.param('id') ?? ''
  const found = await read(c, sql, id, null)
  if (found === null) return notFound(c, 'session')
  if (!found.mayEnd) return notAllowed(c, 'Administrators end the sessions of others.')
  const { session } = found
  return confirmPage(c, {
    title: 'Disconnect this client?',
    path: '/clients',
    text: html`The session of <strong>${nameOf(session)}</strong> of
      <strong>${ownerOf(session)}</strong> ends, and cannot be taken up again. The client may open another one
      at once: to keep somebody out, block them.`,
    action: `${c.var.base}/clients/${id}/disconnect`,
    button: 'Disconnect',
    back: `${c.var.base}/clients/${id}`,
  })
}

async function disconnect(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const id = c.req.param('id') ?? ''
  const found = await read(c, sql, id, null)
  if (found === null) return notFound(c, 'session')
  const context: Context = c
  const reason = reasonToEnd(callerOf(context), found.session.user_id)
  if (reason === null) return notAllowed(c, 'Administrators end the sessions of others.')
  // One that ran out keeps that end, though the sweep may have yet to write it.
  if (found.session.status !== 'disconnected') {
    await createSessionManager(resolveSql(sql, c)).endSession(found.session.session_id, reason)
  }
  return c.redirect(`${c.var.base}/clients/${id}`, 303)
}

/** `/clients/:id`: one session with its calls, and its end. */
export const client = (sql: SqlSource) =>
  new Hono<DashboardEnv>()
    .get('/clients/:id', (c) => clientPage(c, sql))
    .get('/clients/:id/disconnect', (c) => disconnectPage(c, sql))
    .post('/clients/:id/disconnect', (c) => disconnect(c, sql))
