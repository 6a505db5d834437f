import { type Context, Hono } from 'hono'
import { csvResponse } from '../../file-response.ts'
import type { Queryable, SqlSource } from '../../db/client.ts'
import { choicesFor } from '../../reports/choices.ts'
import { costLines } from '../../reports/cost-csv.ts'
import { costSeries } from '../../reports/cost-series.ts'
import {
  type CostFilter,
  type CostGroup,
  type CostReport,
  type CostRow,
  costsBy,
} from '../../reports/costs.ts'
import type { ReportCaller } from '../../reports/visible-to.ts'
import { MOST_SERIES } from '../components/chart.ts'
import { filters } from '../components/filters.ts'
import { numberedPager, pageOfRows } from '../components/pager.ts'
import { tabs } from '../components/tabs.ts'
import type { DashboardEnv } from '../env.ts'
import { flag, html } from '../html.ts'
import { page } from '../layout.ts'
import { withQuery } from '../navigation.ts'
import { shownPeriod, type ShownPeriod } from '../period.ts'
import { readAs } from '../read.ts'
import { whoFields, whoFilter } from '../who.ts'
import { costChart, unitOf } from './cost-chart.ts'
import { costTable } from './cost-table.ts'

const GROUPS = [
  { value: 'user', text: 'User' },
  { value: 'department', text: 'Department' },
  { value: 'client', text: 'Client' },
  { value: 'tool', text: 'Tool' },
  { value: 'model', text: 'Model' },
  { value: 'day', text: 'Day' },
] as const satisfies readonly { value: CostGroup; text: string }[]
type Group = (typeof GROUPS)[number]['value']

const ORDERS: Record<string, (one: CostRow, other: CostRow) => number> = {
  cost: () => 0,
  calls: (one, other) => other.calls - one.calls,
  tokens: (one, other) => other.total_tokens - one.total_tokens,
  name: (one, other) => (one.label ?? one.key ?? '').localeCompare(other.label ?? other.key ?? ''),
}

const PAGE_ROWS = 50
/** What an address asks of the page: what it cannot mean is left out. */
interface CostsView {
  group: Group
  sort: string
  period: ShownPeriod
  filter: CostFilter
}

async function viewOf(db: Queryable, c: Context<DashboardEnv>): Promise<CostsView> {
  const query = c.req.query()
  const group = GROUPS.find(({ value }) => value === query['group'])?.value ?? 'user'
  const sort = query['sort'] ?? ''
  return {
    group,
    // Days stand in their order.
    sort: group !== 'day' && Object.hasOwn(ORDERS, sort) ? sort : 'cost',
    period: await shownPeriod(db, query, c.var.now),
    filter: whoFilter(query),
  }
}

/** The report of a view, its rows in the order that was chosen: the page and the file show the same. */
async function reportOf(
  db: Queryable,
  caller: ReportCaller,
  { group, sort, period, filter }: CostsView,
): Promise<CostReport> {
  const report = await costsBy(db, caller, group, period, filter)
  return { ...report, rows: report.rows.toSorted(ORDERS[sort]) }
}

async function costsPage(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const path = `${c.var.base}/costs`
  const query = c.req.query()
  const { view, report, series, choices } = await readAs(c, sql, async (db, caller) => {
    const view = await viewOf(db, c)
    const { group, period, filter } = view
    const over = { unit: unitOf(period), most: MOST_SERIES }
    const [report, choices] = await Promise.all([reportOf(db, caller, view), choicesFor(db, caller)])
    // By day there is nothing to stack.
    const stacked = group === 'day' ? { group_by: group, rows: [] } : report
    const series = await costSeries(db, caller, stacked, period, filter, over)
    return { view, report, series, choices }
  })
  const { group, sort, period } = view
  const shown = pageOfRows(report.rows, query['page'], PAGE_ROWS)
  const file = withQuery(`${path}.csv`, query, { page: undefined })
  return page(c, {
    title: 'Costs',
    path: '/costs',
    actions: html`<a class="button quiet" href="${file}" download>Download CSV</a>`,
    content: html`
      ${filters({ path, query, period, fields: whoFields(query, choices), keep: ['group', 'sort'] })}
      ${tabs('Group by', 'group', { path, query, choices: GROUPS, chosen: group })}
      <div id="costs" ${flag('data-live', period.toNow)}>
        ${report.rows.length === 0 ? '' : costChart(series, report, period)}
        ${costTable({ group, rows: shown.rows, report, sorting: { path, query, by: sort } })}
        ${numberedPager({ path, query }, shown, shown.rows.length, report.rows.length)}
      </div>
    `,
  })
}

async function costsFile(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const { view, report } = await readAs(c, sql, async (db, caller) => {
    const view = await viewOf(db, c)
    return { view, report: await reportOf(db, caller, view) }
  })
  const { group, period } = view
  return csvResponse(`costs-by-${group}-${period.first}-to-${period.last}.csv`, costLines(report))
}

/** `/costs`, and the same as a file: who, which tool and which model cost what. */
export const costs = (sql: SqlSource) =>
  new Hono<DashboardEnv>().get('/costs', (c) => costsPage(c, sql)).get('/costs.csv', (c) => costsFile(c, sql))
