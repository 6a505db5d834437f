import { type CallSums, SUMS, sumsOf } from './call-sums.ts'
import {
  type CostFilter,
  type CostGroup,
  type CostReport,
  type CostRow,
  costRowOf,
  costsQuery,
} from './costs.ts'
import { type CsvCell, csvRow } from './csv.ts'
import { inBatches } from './in-batches.ts'
import { type Period, type ToldPeriod, toldPeriod } from './period.ts'
import type { ReportReader } from './visible-to.ts'

/** The last line of every table: its name, and from when, till when and in which zone it counts. */
export const periodLine = (
  { start, end, timezone }: Omit<ToldPeriod, 'start'> & { start: string | null },
  columns: number,
): string => csvRow(['Period', start, end, timezone, ...Array<null>(columns - 4).fill(null)])

const columnsOf = (group: CostGroup) => {
  const who = group === 'user' ? (['email', 'name', 'department'] as const) : []
  return ['key', 'label', ...who, ...SUMS] as const
}

const line = (row: Partial<CostRow>, group: CostGroup): string =>
  csvRow(columnsOf(group).map((column): CsvCell => row[column] ?? null))

const endOf = (total: CallSums, period: ToldPeriod, group: CostGroup): string[] => [
  line({ key: 'Total', ...total }, group),
  periodLine(period, columnsOf(group).length),
]

/** The report as CSV: a line for each row, then the total, then the period. Its numbers are those of the report. */
export async function* costLines({
  group_by: group,
  rows,
  total,
  period,
}: CostReport): AsyncGenerator<string> {
  yield csvRow(columnsOf(group))
  for (const row of rows) yield line(row, group)
  yield* endOf(total, period, group)
}

/** The same, of a report that is never held as a whole: read while somebody takes it. */
export async function* costLinesOf(
  read: ReportReader,
  group: CostGroup,
  period: Period,
  filter: CostFilter = {},
): AsyncGenerator<string> {
  yield csvRow(columnsOf(group))
  let total: CallSums | undefined
  const query = inBatches(read, (sql, caller) => costsQuery(sql, caller, group, period, filter))
  for await (const rows of query) {
    for (const row of rows) {
      // It comes first, and belongs to the end.
      if (row.is_total) total = sumsOf(row)
      else yield line(costRowOf(row, group), group)
    }
  }
  if (total !== undefined) yield* endOf(total, toldPeriod(period), group)
}
