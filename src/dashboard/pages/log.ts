import { type Context, Hono } from 'hono'
import type { SqlSource } from '../../db/client.ts'
import { choicesFor } from '../../reports/choices.ts'
import { listErrors } from '../../reports/errors.ts'
import { listLogs } from '../../reports/logs.ts'
import type { CallsFilter, LoggedCall, LogLevel } from '../../reports/logs-rows.ts'
import { cursorOf, positionOf } from '../../reports/position.ts'
import { OUTCOME_COLUMNS } from '../components/call-columns.ts'
import { facts } from '../components/facts.ts'
import { filters, textField } from '../components/filters.ts'
import { cursorPager } from '../components/pager.ts'
import { type Column, table } from '../components/table.ts'
import { tabs } from '../components/tabs.ts'
import type { DashboardEnv } from '../env.ts'
import { ago, count, moment } from '../format.ts'
import { flag, html } from '../html.ts'
import { page } from '../layout.ts'
import { shownPeriod, type ShownPeriod } from '../period.ts'
import { readAs } from '../read.ts'
import { whoFields, whoFilter } from '../who.ts'
import { personCell } from './users.ts'

const PAGE_ROWS = 50

const LEVELS = [
  { value: 'all', text: 'All calls' },
  { value: 'error', text: 'Errors' },
  { value: 'warning', text: 'Timeouts' },
  { value: 'info', text: 'Successes' },
] as const satisfies readonly { value: LogLevel | 'all'; text: string }[]

const textIn = (value: string | undefined): string | undefined => {
  const text = (value ?? '').replaceAll('\0', '').trim().slice(0, 255)
  return text === '' ? undefined : text
}

const filterOf = (query: Readonly<Record<string, string>>, period: ShownPeriod): CallsFilter => ({
  search: textIn(query['search']),
  tool: textIn(query['tool']),
  userId: whoFilter(query).userId,
  period,
})

const columns = ({ base }: Context<DashboardEnv>['var'], timezone: string): Column<LoggedCall>[] => [
  {
    title: 'When',
    cell: (call) =>
      call.session_id === undefined
        ? moment(call.timestamp, timezone, 'medium')
        : html`<a href="${base}/clients/${call.session_id}"
            >${moment(call.timestamp, timezone, 'medium')}</a
          >`,
  },
  {
    title: 'User',
    cell: (call) =>
      personCell(
        { name: call.user_name, email: call.user_email, user_id: call.user_id },
        call.user_id === undefined ? null : `${base}/users/${call.user_id}`,
      ),
  },
  {
    title: 'Tool',
    cell: (call) =>
      html`${call.tool_name ?? call.method}<span class="sub block"
          >${call.client_type ?? call.kind ?? ''}</span
        >`,
  },
  ...OUTCOME_COLUMNS,
]

async function logPage(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const query = c.req.query()
  const path = `${c.var.base}/log`
  const level = LEVELS.find(({ value }) => value === query['level'])?.value ?? 'all'
  const { period, list, summary, choices } = await readAs(c, sql, async (db, caller) => {
    const period = await shownPeriod(db, query, c.var.now, '7d')
    const filter = filterOf(query, period)
    const request = { limit: PAGE_ROWS, after: positionOf(query['cursor'] ?? '') }
    const [list, { summary }, choices] = await Promise.all([
      listLogs(db, caller, { ...filter, level }, request),
      listErrors(db, caller, 'all', filter, { limit: 1, after: null }),
      choicesFor(db, caller),
    ])
    return { period, list, summary, choices }
  })
  const fields = html`
    ${textField('search', 'Search', textIn(query['search']), 'tool, user, error')}
    ${textField('tool', 'Tool', textIn(query['tool']), 'its whole name')}
    ${whoFields(query, { ...choices, departments: [] })}
  `
  return page(c, {
    title: 'Errors and log',
    path: '/log',
    content: html`
      ${filters({ path, query, period, fields, keep: ['level'] })}
      <div id="log" ${flag('data-live', period.toNow)}>
        ${facts([
          { title: 'Errors', value: count(summary.error_count) },
          { title: 'Timeouts', value: count(summary.timeout_count) },
          { title: 'Share of calls that failed', value: `${summary.error_rate_percent.toFixed(1)}%` },
          {
            title: 'Last one',
            value: summary.last_error_at === null ? '–' : ago(summary.last_error_at, c.var.now),
          },
        ])}
        ${tabs('Outcome', 'level', { path, query, choices: LEVELS, chosen: level })}
        ${table({
          caption: `Calls, newest first, ${period.label}`,
          columns: columns(c.var, period.timezone),
          rows: list.logs,
          mark: (call) => call.level === 'error',
          empty: 'No call that you may read matches these filters.',
        })}
        ${cursorPager(
          { path, query },
          {
            next: list.next === null ? null : cursorOf(list.next),
            shown: list.logs.length,
            total: list.total,
          },
        )}
      </div>
      ${c.var.user?.role === 'finance' ? html`<p class="hint below">You see what the calls of others cost together, and of single calls your own.</p>` : ''}
    `,
  })
}

/** `/log`: which calls were made, and which of them failed. */
export const log = (sql: SqlSource) => new Hono<DashboardEnv>().get('/log', (c) => logPage(c, sql))
