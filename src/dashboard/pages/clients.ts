import { type Context, Hono } from 'hono'
import type { SqlSource } from '../../db/client.ts'
import { type Activity, type ActivityFilter, listActivity } from '../../reports/activity.ts'
import { choicesFor } from '../../reports/choices.ts'
import { PRODUCTS } from '../../reports/client-types.ts'
import { cursorOf, positionOf } from '../../reports/position.ts'
import type { StatusFilter } from '../../reports/session-life.ts'
import { sessionBadge } from '../components/badge.ts'
import { choiceField, filters } from '../components/filters.ts'
import { cursorPager } from '../components/pager.ts'
import { type Column, table } from '../components/table.ts'
import { tabs } from '../components/tabs.ts'
import type { DashboardEnv } from '../env.ts'
import { ago, count, money, span } from '../format.ts'
import { html, type Part } from '../html.ts'
import { page } from '../layout.ts'
import { readAs } from '../read.ts'
import { whoFields, whoFilter } from '../who.ts'

const PAGE_ROWS = 50
/** Characters of a client's name and version that are read at a glance. */
const LONG = 40

const STATUSES = [
  { value: 'active', text: 'Active' },
  { value: 'idle', text: 'Idle' },
  { value: 'disconnected', text: 'Gone' },
  { value: 'all', text: 'All' },
] as const satisfies readonly { value: StatusFilter; text: string }[]

const CLIENT_TYPES = [...PRODUCTS, 'Unknown'] as const

function filterOf(query: Readonly<Record<string, string>>): ActivityFilter {
  const { kind } = query
  return {
    ...whoFilter(query),
    kind: kind === 'mcp' || kind === 'api' ? kind : 'all',
    status: STATUSES.find(({ value }) => value === query['status'])?.value ?? 'live',
    clientType: CLIENT_TYPES.find((type) => type === query['type']),
  }
}

/** Whose client it is, as far as anybody knows. */
function personOf({ user_name: name, user_email: email }: Activity, address: string | null): Part {
  const called = name ?? email ?? 'Nobody in particular'
  return html`${address === null ? called : html`<a href="${address}">${called}</a>`}${
    email === undefined || email === called ? '' : html`<span class="sub">${email}</span>`
  }`
}

const clientOf = ({ kind, client_type, client_name, client_version }: Activity): Part => {
  if (kind === 'api') return 'API'
  const called =
    client_type === undefined || client_type === 'Unknown' ? (client_name ?? 'Unknown') : client_type
  const version = client_version === undefined ? '' : html` <span class="version">${client_version}</span>`
  const whole = `${called} ${client_version ?? ''}`
  return whole.length > LONG
    ? html`<span class="long" title="${whole}">${called}${version}</span>`
    : html`${called}${version}`
}

function columns(c: Context<DashboardEnv>): Column<Activity>[] {
  const { base, now } = c.var
  return [
    {
      title: 'User',
      cell: (row) => personOf(row, row.session_id === undefined ? null : `${base}/clients/${row.session_id}`),
    },
    { title: 'Client', cell: clientOf },
    { title: 'Status', cell: (row) => sessionBadge(row.status) },
    { title: 'Last activity', cell: (row) => ago(row.last_activity, now) },
    { title: 'Calls', number: true, cell: (row) => count(row.calls) },
    { title: 'Cost', number: true, cell: (row) => money(row.cost) },
    {
      title: 'There for',
      whole: true,
      cell: (row) => span((Date.parse(row.last_activity) - Date.parse(row.connected_at)) / 1000),
    },
    { title: 'Department', cell: (row) => row.department ?? '–' },
  ]
}

async function clientsPage(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const query = c.req.query()
  const path = `${c.var.base}/clients`
  const filter = filterOf(query)
  const after = positionOf(query['cursor'] ?? '')
  const { list, choices } = await readAs(c, sql, async (db, caller) => {
    const [list, choices] = await Promise.all([
      listActivity(db, caller, filter, { limit: PAGE_ROWS, after }),
      choicesFor(db, caller),
    ])
    return { list, choices }
  })
  const { activity, totals, next } = list
  const fields = html`
    ${whoFields(query, choices)}
    ${choiceField('status', 'Status', { any: 'Active and idle', choices: STATUSES, chosen: query['status'] })}
    ${choiceField('type', 'Client', {
      any: 'All clients',
      choices: CLIENT_TYPES.map((type) => ({ value: type, text: type })),
      chosen: filter.clientType,
    })}
  `
  const kinds = [
    { value: 'all', text: 'Together' },
    { value: 'mcp', text: 'MCP' },
    { value: 'api', text: 'API' },
  ]
  return page(c, {
    title: 'Clients',
    path: '/clients',
    content: html`
      ${filters({ path, query, fields, keep: ['kind'] })}
      ${tabs('Kind of activity', 'kind', { path, query, choices: kinds, chosen: filter.kind })}
      <div id="clients" data-live>
        <p class="hint">
          ${count(totals.mcp)} MCP
          ${totals.mcp === 1 ? 'session' : 'sessions'}${
            filter.kind === 'mcp' || filter.clientType !== undefined
              ? ''
              : `, ${count(totals.api)} ${totals.api === 1 ? 'user' : 'users'} of the API in the last 24 hours`
          }
        </p>
        ${table({
          caption: 'Clients, latest activity first',
          columns: columns(c),
          rows: activity,
          empty: 'Nobody is here that you may see and that these filters let through.',
        })}
        ${cursorPager(
          { path, query },
          {
            next: next === null ? null : cursorOf(next),
            shown: activity.length,
            total: totals.mcp + totals.api,
          },
        )}
      </div>
    `,
  })
}

/** `/clients`: who is at work with which client, live. */
export const clients = (sql: SqlSource) =>
  new Hono<DashboardEnv>().get('/clients', (c) => clientsPage(c, sql))
