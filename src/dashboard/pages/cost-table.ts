import type { CostGroup, CostReport, CostRow } from '../../reports/costs.ts'
import { badge } from '../components/badge.ts'
import { type Column, table, type TableOptions } from '../components/table.ts'
import { count, day, money, percent, shareOf } from '../format.ts'
import { html, type Part } from '../html.ts'

const TITLES: Record<CostGroup, string> = {
  user: 'User',
  department: 'Department',
  client: 'Client',
  tool: 'Tool',
  model: 'Model',
  day: 'Day',
  hour: 'Hour',
}

function nameOf(group: CostGroup, { key, label, email }: CostRow): Part {
  if (group === 'day' && key !== null)
    return day(key, { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' })
  const name = label ?? key ?? 'None'
  if (group !== 'user' || email === undefined || email === name) return name
  return html`${name} <span class="sub">${email}</span>`
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
    { title: TITLES[group], cell: (row) => nameOf(group, row), ...by('name') },
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
