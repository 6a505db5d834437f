import { periodLine } from './cost-csv.ts'
import { type CsvCell, csvRow } from './csv.ts'
import { inBatches } from './in-batches.ts'
import { type Period, toldPeriod } from './period.ts'
import type { UsersFilter } from './user-rows.ts'
import { isUser, totalsOfAll, userOf, type UserStatistics, usersQuery, type UserTotals } from './users.ts'
import type { ReportReader } from './visible-to.ts'

const COLUMNS = [
  'user_id',
  'email',
  'name',
  'department',
  'role',
  'blocked',
  'total_sessions',
  'active_sessions',
  'total_requests',
  'total_tokens',
  'total_cost',
  'last_activity_at',
  'first_seen_at',
] as const satisfies readonly (keyof UserStatistics)[]

const line = (row: Partial<UserStatistics>): string =>
  csvRow(COLUMNS.map((column): CsvCell => row[column] ?? null))

/**
 * The users as CSV: a line for each, then the total of all, then the period. Its numbers are the report's, which is
 * never held as a whole: it is read while somebody takes it.
 */
export async function* userLines(
  read: ReportReader,
  filter: UsersFilter,
  period: Period,
): AsyncGenerator<string> {
  const all = { limit: null, after: null }
  const query = inBatches(read, (sql, caller) => usersQuery(sql, caller, filter, period, all))
  yield csvRow(COLUMNS)
  let totals: UserTotals | undefined
  for await (const rows of query) {
    for (const row of rows) {
      totals ??= totalsOfAll(row)
      if (isUser(row)) yield line(userOf(row))
    }
  }
  yield line({ user_id: 'Total', ...totals })
  yield periodLine(toldPeriod(period), COLUMNS.length)
}
