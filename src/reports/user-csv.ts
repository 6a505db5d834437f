import { periodLine } from './cost-csv.ts'
import { type CsvCell, csvRow } from './csv.ts'
import type { UsersReport, UserStatistics } from './users.ts'

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

/** The report as CSV: a line for each user, then the total of all, then the period. Its numbers are the report's. */
export async function* userLines({
  users,
  totals,
  period,
}: Omit<UsersReport, 'next'>): AsyncGenerator<string> {
  yield csvRow(COLUMNS)
  for (const user of users) yield line(user)
  yield line({ user_id: 'Total', ...totals })
  yield periodLine(period, COLUMNS.length)
}
