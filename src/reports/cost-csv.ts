import { SUMS } from './call-sums.ts'
import type { CostReport, CostRow } from './costs.ts'
import { type CsvCell, csvRow } from './csv.ts'
import type { ToldPeriod } from './period.ts'

/** The last line of every table: its name, and from when, till when and in which zone it counts. */
export const periodLine = (
  { start, end, timezone }: Omit<ToldPeriod, 'start'> & { start: string | null },
  columns: number,
): string => csvRow(['Period', start, end, timezone, ...Array<null>(columns - 4).fill(null)])

/** The report as CSV: a line for each row, then the total, then the period. Its numbers are those of the report. */
export async function* costLines({ group_by, rows, total, period }: CostReport): AsyncGenerator<string> {
  const who = group_by === 'user' ? (['email', 'name', 'department'] as const) : []
  const columns = ['key', 'label', ...who, ...SUMS] as const
  const line = (row: Partial<CostRow>): string =>
    csvRow(columns.map((column): CsvCell => row[column] ?? null))
  yield csvRow(columns)
  for (const row of rows) yield line(row)
  yield line({ key: 'Total', ...total })
  yield periodLine(period, columns.length)
}
