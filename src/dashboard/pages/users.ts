import { type Context, Hono } from 'hono'
import type { SqlSource } from '../../db/client.ts'
import { csvResponse } from '../../file-response.ts'
import { choicesFor } from '../../reports/choices.ts'
import { cursorOf, positionOf } from '../../reports/position.ts'
import { userLines } from '../../reports/user-csv.ts'
import { USER_SORTS, type UserSort, type UsersFilter } from '../../reports/user-rows.ts'
import { listUsers, type UsersReport, type UserStatistics } from '../../reports/users.ts'
import { badge } from '../components/badge.ts'
import { choiceField, filters, textField } from '../components/filters.ts'
import { cursorPager } from '../components/pager.ts'
import { type Column, table } from '../components/table.ts'
import type { DashboardEnv } from '../env.ts'
import { ago, count, money } from '../format.ts'
import { flag, html, type Part } from '../html.ts'
import { page } from '../layout.ts'
import { keptQuery, withQuery } from '../navigation.ts'
import { shownPeriod } from '../period.ts'
import { readAs } from '../read.ts'
import { whoFilter } from '../who.ts'

const PAGE_ROWS = 50

function filterOf(query: Readonly<Record<string, string>>): UsersFilter & { sort: UserSort } {
  const search = (query['search'] ?? '').replaceAll('\0', '').trim().slice(0, 255)
  return {
    search: search === '' ? undefined : search,
    department: whoFilter(query).department,
    sort: USER_SORTS.find((sort) => sort === query['sort']) ?? 'cost',
  }
}

/** What to call a user, and their e-mail below it. */
export function personCell(
  {
    name,
    email,
    user_id,
  }: { name?: string | undefined; email?: string | undefined; user_id?: string | undefined },
  address: string | null,
): Part {
  const called = name ?? email ?? user_id ?? 'Unknown user'
  return html`${address === null ? called : html`<a href="${address}">${called}</a>`}${
    email === undefined || email === called ? '' : html`<span class="sub block">${email}</span>`
  }`
}

function columns(c: Context<DashboardEnv>): Column<UserStatistics>[] {
  const { base, now } = c.var
  const kept = keptQuery(c.req.query())
  return [
    {
      title: 'User',
      sort: 'name',
      cell: (user) =>
        html`${personCell(user, `${base}/users/${user.user_id}${kept}`)}${user.blocked ? html` ${badge('bad', 'Blocked')}` : ''}`,
    },
    { title: 'Department', cell: (user) => user.department ?? '–' },
    { title: 'Role', cell: (user) => user.role ?? '–' },
    { title: 'Sessions', number: true, cell: (user) => count(user.total_sessions) },
    { title: 'Calls', number: true, sort: 'calls', cell: (user) => count(user.total_requests) },
    { title: 'Tokens', number: true, sort: 'tokens', cell: (user) => count(user.total_tokens) },
    { title: 'Cost', number: true, sort: 'cost', cell: (user) => money(user.total_cost) },
    {
      title: 'Last activity',
      sort: 'last_activity',
      cell: (user) => (user.last_activity_at === undefined ? '–' : ago(user.last_activity_at, now)),
    },
  ]
}

const totalRow = ({ total, totals }: UsersReport): Part[] => [
  `${count(total)} ${total === 1 ? 'user' : 'users'}`,
  '',
  '',
  count(totals.total_sessions),
  count(totals.total_requests),
  count(totals.total_tokens),
  money(totals.total_cost),
  '',
]

async function usersPage(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const query = c.req.query()
  const path = `${c.var.base}/users`
  const filter = filterOf(query)
  const { period, report, choices } = await readAs(c, sql, async (db, caller) => {
    const period = await shownPeriod(db, query, c.var.now)
    const request = { limit: PAGE_ROWS, after: positionOf(query['cursor'] ?? '') }
    const [report, choices] = await Promise.all([
      listUsers(db, caller, filter, period, request),
      choicesFor(db, caller),
    ])
    return { period, report, choices }
  })
  const { departments } = choices
  const fields = html`
    ${textField('search', 'Search', filter.search, 'name, e-mail or id')}
    ${
      departments.length < 2
        ? ''
        : choiceField('department', 'Department', {
            any: 'All departments',
            choices: departments.map((name) => ({ value: name, text: name })),
            chosen: filter.department,
          })
    }
  `
  const file = withQuery(`${path}.csv`, query, { cursor: undefined })
  return page(c, {
    title: 'Users',
    path: '/users',
    actions: html`<a class="button quiet" href="${file}" download>Download CSV</a>`,
    content: html`
      ${filters({ path, query, period, fields, keep: ['sort'] })}
      <div id="users" ${flag('data-live', period.toNow)}>
        ${table({
          caption: `Users and what they did, ${period.label}`,
          columns: columns(c),
          rows: report.users,
          total: totalRow(report),
          empty: 'Nobody that you may see matches these filters.',
          sorting: { path, query, by: filter.sort },
        })}
        ${cursorPager(
          { path, query },
          {
            next: report.next === null ? null : cursorOf(report.next),
            shown: report.users.length,
            total: report.total,
          },
        )}
      </div>
    `,
  })
}

async function usersFile(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const query = c.req.query()
  const period = await readAs(c, sql, (db) => shownPeriod(db, query, c.var.now))
  return csvResponse(
    `users-${period.first}-to-${period.last}.csv`,
    userLines((report) => readAs(c, sql, report), filterOf(query), period),
  )
}

/** `/users`, and the same as a file: who is here, and what they did. */
export const users = (sql: SqlSource) =>
  new Hono<DashboardEnv>().get('/users', (c) => usersPage(c, sql)).get('/users.csv', (c) => usersFile(c, sql))
