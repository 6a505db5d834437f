import { type Context, Hono } from 'hono'
import type { SqlSource } from '../../db/client.ts'
import { type Choices, choicesFor } from '../../reports/choices.ts'
import { costSeries } from '../../reports/cost-series.ts'
import { type CostReport, type CostRow, costsBy } from '../../reports/costs.ts'
import { listQuotas } from '../../reports/quotas.ts'
import { refusalsIn } from '../../reports/refusals.ts'
import { MOST_SERIES } from '../components/chart.ts'
import { type Fact, facts } from '../components/facts.ts'
import { filters } from '../components/filters.ts'
import { table } from '../components/table.ts'
import type { DashboardEnv } from '../env.ts'
import { change, count, money, percent, shareOf, short } from '../format.ts'
import { flag, html, type Html } from '../html.ts'
import { page } from '../layout.ts'
import { homeOf, withQuery } from '../navigation.ts'
import { daysOf, periodBefore, shownPeriod, type ShownPeriod } from '../period.ts'
import { readAs } from '../read.ts'
import { attentionList, attentionOf } from './attention.ts'
import { costChart, unitOf } from './cost-chart.ts'
import { costName } from './cost-table.ts'

const MOST_BUDGETS = 200
const TOP = 5

const read = (c: Context<DashboardEnv>, sql: SqlSource) =>
  readAs(c, sql, async (db, caller) => {
    const period = await shownPeriod(db, c.req.query(), c.var.now)
    const before = await periodBefore(db, period)
    const [byDay, byUser, byTool, byDepartment, usersBefore, { quotas }, refusals, choices] =
      await Promise.all([
        costsBy(db, caller, 'day', period),
        costsBy(db, caller, 'user', period),
        costsBy(db, caller, 'tool', period),
        costsBy(db, caller, 'department', period),
        costsBy(db, caller, 'user', before),
        listQuotas(db, caller, { kind: 'budget' }, { limit: MOST_BUDGETS, after: null }),
        refusalsIn(db, caller, period),
        choicesFor(db, caller),
      ])
    const over = { unit: unitOf(period), most: MOST_SERIES }
    const series = await costSeries(db, caller, byDepartment, period, {}, over)
    return { period, byDay, byUser, byTool, byDepartment, usersBefore, quotas, refusals, choices, series }
  })

/** Of the rows of a report by user, those that are somebody's. */
const activeUsers = ({ rows }: CostReport): number =>
  rows.filter(({ key, calls }) => key !== null && calls > 0).length

const against = (current: number, previous: number, days: number): Html => {
  const changed = change(current, previous)
  const time = days === 1 ? 'the day before' : `the ${days} days before`
  return changed === null ? html`none in ${time}` : html`${changed} against ${time}`
}

function figures(byUser: CostReport, usersBefore: CostReport, days: number): Fact[] {
  const { total } = byUser
  const { total: then } = usersBefore
  const [errors, errorsThen] = [shareOf(total.errors, total.calls), shareOf(then.errors, then.calls)]
  const [users, usersThen] = [activeUsers(byUser), activeUsers(usersBefore)]
  return [
    { title: 'Cost', value: money(total.cost), note: against(Number(total.cost), Number(then.cost), days) },
    { title: 'Calls', value: count(total.calls), note: against(total.calls, then.calls, days) },
    {
      title: 'Tokens',
      value: html`<data value="${total.total_tokens}" title="${count(total.total_tokens)}"
        >${short(total.total_tokens)}</data
      >`,
      note: against(total.total_tokens, then.total_tokens, days),
    },
    { title: 'Active users', value: count(users), note: against(users, usersThen, days) },
    {
      title: 'Failed calls',
      value: percent(errors),
      note: then.calls === 0 ? 'no call before' : `${percent(errorsThen)} before`,
    },
  ]
}

function top(
  title: string,
  group: 'user' | 'tool',
  { rows }: CostReport,
  place: { path: string; query: Readonly<Record<string, string>> },
): Html {
  return html`<section>
    <h2><a href="${withQuery(place.path, place.query, { group })}">${title}</a></h2>
    ${table<CostRow>({
      caption: title,
      columns: [
        {
          title: group === 'user' ? 'User' : 'Tool',
          cell: (row) => costName(group, row, place, { email: false }),
        },
        { title: 'Cost', number: true, cell: ({ cost }) => money(cost) },
        { title: 'Calls', number: true, cell: ({ calls }) => count(calls) },
      ],
      rows: rows.slice(0, TOP),
      empty: 'No call in this period.',
    })}
  </section>`
}

const namesOf = ({ users }: Choices): ((userId: string) => string) => {
  const names = new Map(users?.map(({ user_id, name, email }) => [user_id, name ?? email ?? user_id]))
  return (userId) => names.get(userId) ?? userId
}

const told = ({ label, timezone }: ShownPeriod): string => `${label}, ${timezone}`

async function overviewPage(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const query = c.req.query()
  const found = await read(c, sql)
  const { period, byUser, byTool, byDepartment, usersBefore, series } = found
  const place = { path: `${c.var.base}/costs`, query }
  const [one] = byUser.rows
  const alone = byUser.rows.length < 2 && (one === undefined || one.key === c.var.user?.id)
  return page(c, {
    title: 'Overview',
    path: '',
    content: html`
      ${filters({ path: homeOf(c.var.base), query, period })}
      <div id="overview" ${flag('data-live', period.toNow)}>
        <p class="hint">${told(period)}</p>
        ${facts(figures(byUser, usersBefore, daysOf(period)))}
        <h2>Needs attention</h2>
        ${attentionList(attentionOf(found, namesOf(found.choices)))}
        ${costChart(series, byDepartment, period)}
        <div class="beside">
          ${alone ? '' : top('Dearest users', 'user', byUser, place)}
          ${top('Dearest tools', 'tool', byTool, place)}
        </div>
      </div>
    `,
  })
}

/** The first page: how much, by whom, and what to look at. */
export const overview = (sql: SqlSource) => new Hono<DashboardEnv>().get('/', (c) => overviewPage(c, sql))
