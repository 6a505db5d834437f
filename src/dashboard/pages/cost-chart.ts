import type { CostSeries, SeriesUnit } from '../../reports/cost-series.ts'
import type { CostReport } from '../../reports/costs.ts'
import { chart } from '../components/chart.ts'
import { emptyState } from '../components/table.ts'
import { day, money, shortUsd } from '../format.ts'
import type { Html } from '../html.ts'
import { daysOf, type ShownPeriod } from '../period.ts'

const MOST_COLUMNS = 62

/** Columns that are wide enough to be seen: days, or else weeks or months. */
export function unitOf(period: ShownPeriod): SeriesUnit {
  const days = daysOf(period)
  if (days <= MOST_COLUMNS) return 'day'
  return days <= MOST_COLUMNS * 7 ? 'week' : 'month'
}

const NAMES = { day: 'Day', week: 'Week of', month: 'Month' }

const shortLabel = (date: string, unit: CostSeries['unit']): string =>
  unit === 'month'
    ? day(date, { month: 'short', year: '2-digit' })
    : day(date, { day: 'numeric', month: 'short' })

const fullLabel = (date: string, unit: CostSeries['unit']): string =>
  unit === 'month' ? day(date, { month: 'long', year: 'numeric' }) : day(date, { dateStyle: 'full' })

/** What the dearest groups cost over time. A key is called as in the report of the same groups. */
export function costChart(
  { unit, buckets, series, totals }: CostSeries,
  { rows }: Pick<CostReport, 'rows'>,
  { label }: ShownPeriod,
): Html {
  if (totals.every((total) => Number(total) === 0)) return emptyState(`No call cost anything: ${label}.`)
  const labels = new Map(rows.map((row) => [row.key, row.label ?? row.key ?? 'None']))
  const columns = [...series.map(({ costs }) => costs), totals]
  return chart({
    id: 'cost-chart',
    title: `Cost in USD by ${unit}, ${label}`,
    unit: NAMES[unit],
    series: series.map(({ key, others }) => ({
      key: key ?? '',
      label: others ? (series.length === 1 ? 'All' : 'All others') : (labels.get(key) ?? key ?? 'None'),
    })),
    buckets: buckets.map((date, i) => ({
      label: shortLabel(date, unit),
      title: fullLabel(date, unit),
      values: series.map(({ costs }) => Number(costs[i])),
    })),
    axis: shortUsd,
    cell: (bucket, column) => money(columns[column]?.[bucket] ?? '0'),
  })
}
