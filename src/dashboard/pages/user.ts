import { type Context, Hono } from 'hono'
import type { SqlSource } from '../../db/client.ts'
import { type CostGroup, type CostReport, costsBy } from '../../reports/costs.ts'
import { costSeries } from '../../reports/cost-series.ts'
import { quotasOfUser } from '../../reports/quotas.ts'
import { listSessions } from '../../reports/sessions.ts'
import type { ListedSession } from '../../reports/session.ts'
import { type UserReport, userById } from '../../reports/users.ts'
import { isUuid } from '../../uuid.ts'
import { isAdmin } from '../admin.ts'
import { badge, sessionBadge } from '../components/badge.ts'
import { MOST_SERIES } from '../components/chart.ts'
import { details, facts } from '../components/facts.ts'
import { filters } from '../components/filters.ts'
import { emptyState, table } from '../components/table.ts'
import type { DashboardEnv } from '../env.ts'
import { ago, count, money, moment } from '../format.ts'
import { html, type Html, type Part } from '../html.ts'
import { page } from '../layout.ts'
import { shownPeriod, type ShownPeriod } from '../period.ts'
import { readAs } from '../read.ts'
import { costChart, unitOf } from './cost-chart.ts'
import { limitTable } from './limit-table.ts'
import { notFound } from './message.ts'
import { userForms } from './user-forms.ts'

const MOST_SESSIONS = 20

async function read(c: Context<DashboardEnv>, sql: SqlSource, id: string) {
  if (!isUuid(id)) return null
  const query = c.req.query()
  return await readAs(c, sql, async (db, caller) => {
    const period = await shownPeriod(db, query, c.var.now)
    const user = await userById(db, caller, id, period)
    if (user === null) return null
    const only = { userId: id }
    const tools = await costsBy(db, caller, 'tool', period, only)
    const [models, series, sessions, limits] = await Promise.all([
      costsBy(db, caller, 'model', period, only),
      costSeries(db, caller, tools, period, only, { unit: unitOf(period), most: MOST_SERIES }),
      listSessions(db, caller, { status: 'all', userId: id }, { limit: MOST_SESSIONS, after: null }),
      quotasOfUser(db, id, user.department ?? null),
    ])
    return { period, user, tools, models, series, sessions, limits }
  })
}

const blockedOr = (user: UserReport): Part =>
  user.blocked ? badge('bad', 'Blocked') : badge('good', 'Allowed')

const totals = (user: UserReport, now: Date): Html =>
  facts([
    { title: 'Cost', value: money(user.total_cost) },
    { title: 'Calls', value: count(user.total_requests) },
    { title: 'Tokens', value: count(user.total_tokens) },
    { title: 'Sessions', value: count(user.total_sessions), note: `${count(user.active_sessions)} live now` },
    {
      title: 'Last activity',
      value: user.last_activity_at === undefined ? '–' : ago(user.last_activity_at, now),
    },
  ])

function about(user: UserReport, { timezone }: ShownPeriod): Html {
  const worked = user.memberships.map(
    ({ department, starts_at, ends_at }) =>
      html`<span class="block"
        >${department ?? 'None'}
        <span class="sub"
          >from
          ${moment(starts_at, timezone)}${ends_at === null ? '' : html` to ${moment(ends_at, timezone)}`}</span
        ></span
      >`,
  )
  return details([
    ['E-mail', user.email ?? '–'],
    [
      'Role',
      html`${user.role ?? '–'}${user.assigned_role === undefined ? '' : html` <span class="sub">set by an administrator</span>`}`,
    ],
    ['Access', blockedOr(user)],
    ...(user.revoked_at === undefined
      ? []
      : [['Tokens refused up to', moment(user.revoked_at, timezone)] as const]),
    ...(user.first_seen_at === undefined
      ? []
      : [['First seen', moment(user.first_seen_at, timezone)] as const]),
    ['Department', worked.length === 0 ? (user.department ?? '–') : worked],
    ['Id', html`<code>${user.user_id}</code>`],
  ])
}

const costsOf = (title: string, group: CostGroup, { rows, total }: CostReport): Html =>
  table({
    caption: `Costs by ${group} of this user`,
    columns: [
      { title, cell: (row) => row.label ?? row.key ?? 'None' },
      { title: 'Calls', number: true, cell: (row) => count(row.calls) },
      { title: 'Tokens', number: true, cell: (row) => count(row.total_tokens) },
      { title: 'Cost', number: true, cell: (row) => money(row.cost) },
    ],
    rows,
    total: ['Total', count(total.calls), count(total.total_tokens), money(total.cost)],
    empty: 'No call in this period.',
  })

const sessionsOf = (
  sessions: readonly ListedSession[],
  total: number,
  { base, now }: Context<DashboardEnv>['var'],
  id: string,
): Html =>
  html`${table({
    caption: 'The latest sessions of this user',
    columns: [
      {
        title: 'Client',
        cell: (session) =>
          html`<a href="${base}/clients/${session.session_id}">${session.client_type}</a>
            <span class="version">${session.client_version ?? ''}</span>`,
      },
      { title: 'Status', cell: (session) => sessionBadge(session.status) },
      { title: 'Last activity', cell: (session) => ago(session.last_activity, now) },
      { title: 'Connected', cell: (session) => ago(session.connected_at, now) },
    ],
    rows: sessions,
    empty: 'No session yet.',
  })}${
    total > sessions.length
      ? html`<p class="hint">
          <a href="${base}/clients?status=all&amp;user=${id}">All ${count(total)} sessions</a>
        </p>`
      : ''
  }`

async function userPage(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const id = (c.req.param('id') ?? '').toLowerCase()
  const found = await read(c, sql, id)
  if (found === null) return notFound(c, 'user')
  const { period, user, tools, models, series, sessions, limits } = found
  const path = `${c.var.base}/users/${id}`
  const mine = c.var.user?.id === id
  return page(c, {
    title: user.name ?? user.email ?? 'A user without a name',
    path: '/users',
    back: { address: `${c.var.base}/users`, text: 'All users' },
    actions:
      mine || isAdmin(c)
        ? html`<a class="button quiet" href="${path}/export" download>Download everything as JSON</a>`
        : undefined,
    content: html`
      ${filters({ path, query: c.req.query(), period })} ${totals(user, c.var.now)} ${about(user, period)}
      ${costChart(series, tools, period)}
      <h2>By tool</h2>
      ${costsOf('Tool', 'tool', tools)}
      <h2>By model</h2>
      ${costsOf('Model', 'model', models)}
      <h2>Limits, and what is left</h2>
      ${limits.length === 0 ? emptyState('No limit holds this user.') : limitTable(c, limits)}
      <h2>Sessions</h2>
      ${sessionsOf(sessions.sessions, sessions.total, c.var, id)}
      ${isAdmin(c) && user.role !== undefined ? userForms(c, user) : ''}
    `,
  })
}

/** `/users/:id`: one user, what they did, what holds them, and what an administrator may change. */
export const user = (sql: SqlSource) => new Hono<DashboardEnv>().get('/users/:id', (c) => userPage(c, sql))
