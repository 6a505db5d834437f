import type { CostGroup, CostReport, CostRow } from '../../reports/costs.ts'
import { badge } from '../components/badge.ts'
import { type Column, table, type TableOptions } from '../components/table.ts'
import { count, day, money, percent, shareOf } from '../format.ts'
import { html, type Part } from '../html.ts'
import { withQuery } from '../navigation.ts'

/** The page that shows costs, and its query. */
interface Place {
  path: string
  query: Readonly<Record<string, string>>
}

const TITLES: Record<CostGroup, string> = {
  user: 'User',
  department: 'Department',
  client: 'Client',
  tool: 'Tool',
  model: 'Model',
  day: 'Day',
  hour: 'Hour',
}

/** What a click on a row narrows the page to; null where there is nothing narrower. */
function narrowed(group: CostGroup, key: string): Record<string, string | undefined> | null {
  switch (group) {
    case 'user':
      return { user: key, group: 'tool' }
    case 'department':
      return { department: key, group: 'user' }
    case 'day':
      return { period: undefined, first: key, last: key, group: 'user' }
    case 'client':
    case 'tool':
    case 'model':
    case 'hour':
      return null
  }
}

/** The name of a row, which leads to what is in it. */
export function costName(
  group: CostGroup,
  { key, label, email }: CostRow,
  { path, query }: Place,
  shows: { email: boolean } = { email: true },
): Part {
  const name =
    group === 'day' && key !== null
      ? day(key, { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' })
      : (label ?? key ?? 'None')
  const into = key === null ? null : narrowed(group, key)
  const address = into === null ? null : withQuery(path, query, { ...into, page: undefined, sort: undefined })
  return html`${address === null ? name : html`<a href="${address}">${name}</a>`}${
    !shows.email || group !== 'user' || email === undefined || email === name
      ? ''
      : html`<span class="sub">${email}</span>`
  }`
}

const unpriced = (calls: number): Part =>
  calls === 0 ? '' : html` ${badge('warning', `${count(calls)} unpriced`)}`

/** What each group cost: the numbers of the report, rounded for reading. */
export function costTable({
  group,
  rows,
  report,
  sorting,
}: {
  group: CostGroup
  rows: readonly CostRow[]
  report: CostReport
  sorting: NonNullable<TableOptions<CostRow>['sorting']>
}) {
  const { total } = report
  const whole = Number(total.cost)
  const sortable = group !== 'day'
  const by = (sort: string) => (sortable ? { sort } : {})
  const columns: Column<CostRow>[] = [
    { title: TITLES[group], cell: (row) => costName(group, row, sorting), ...by('name') },
    { title: 'Cost', number: true, cell: (row) => money(row.cost), ...by('cost') },
    { title: 'Share', number: true, cell: (row) => percent(shareOf(Number(row.cost), whole)) },
    { title: 'Calls', number: true, cell: (row) => count(row.calls), ...by('calls') },
    {
      title: 'Errors',
      number: true,
      hint: 'Timeouts among them',
      cell: (row) => (row.errors === 0 ? '–' : count(row.errors)),
    },
    { title: 'Tokens', number: true, cell: (row) => count(row.total_tokens), ...by('tokens') },
    ...(group === 'user' ? [{ title: 'Department', cell: (row: CostRow) => row.department ?? '–' }] : []),
    ...(total.unpriced_calls > 0
      ? [{ title: 'Without a price', cell: (row: CostRow) => unpriced(row.unpriced_calls) }]
      : []),
  ]
  const totals: Part[] = [
    'Total',
    money(total.cost),
    '',
    count(total.calls),
    count(total.errors),
    count(total.total_tokens),
    ...(group === 'user' ? [''] : []),
    ...(total.unpriced_calls > 0 ? [unpriced(total.unpriced_calls)] : []),
  ]
  return html`${table({
    caption: `Costs by ${TITLES[group].toLowerCase()}`,
    columns,
    rows,
    total: totals,
    empty: 'No call in this period, or none that you may see.',
    ...(sortable ? { sorting } : {}),
  })}
  ${report.calls_overlap === true && rows.length > 0 ? html`<p class="hint">A call that used several models stands in the row of each, so calls add up to more than the total.</p>` : ''}`
}
