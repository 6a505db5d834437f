import type { Queryable } from '../db/client.ts'
import { reportedClientType } from './client-types.ts'
import { periodLine } from './cost-csv.ts'
import { type CsvCell, csvRow } from './csv.ts'
import { type LogsFilter, totalOf, wantedBy } from './logs-total.ts'
import { type CallRow, callOf, type LoggedCall, pageOfCalls } from './logs-rows.ts'
import { linesInPages } from './lines-in-pages.ts'
import { type Period, toldPeriod } from './period.ts'
import { cutPage, type PageRequest, type Position } from './position.ts'
import type { ReportCaller, ReportReader } from './visible-to.ts'

/**
 * Which calls were made? Newest first; open ones have no outcome yet and are left out.
 * @param offset how many to skip, as Archon pages: what comes in between shifts them. A position does not.
 * @returns a page of them, and how many match in all.
 */
export async function listLogs(
  sql: Queryable,
  caller: ReportCaller,
  filter: LogsFilter,
  page: PageRequest,
  offset = 0,
): Promise<{ logs: LoggedCall[]; total: number; next: Position | null }> {
  const wanted = wantedBy(sql, caller, filter)
  // One statement, so that page and total are of one moment. A page without rows still has a total.
  const found = await sql<({ total: number } & CallRow)[]>`
    select totals.total, page.*
    from (${totalOf(sql, caller, filter)}) as totals
    left join (${pageOfCalls(sql, wanted, page, offset)}) as page on true
    order by page.micros desc, page.id desc`
  const { rows, next } = cutPage(
    found.filter(({ request_id }) => request_id !== null),
    page.limit,
  )
  return { logs: rows.map((row) => callOf(row, 'total')), total: found[0]?.total ?? 0, next }
}

/** Before every call. */
const ALWAYS = new Date(0)

const CSV_COLUMNS = [
  'request_id',
  'timestamp',
  'level',
  'status',
  'kind',
  'method',
  'tool_name',
  'session_id',
  'user_id',
  'user_email',
  'user_name',
  'department',
  'client_type',
  'duration_ms',
  'prompt_tokens',
  'completion_tokens',
  'total_tokens',
  'cost',
  'estimated_cost',
  'error_message',
] as const satisfies (keyof LoggedCall)[]

/**
 * The same calls as CSV: a line for each, then how many they are, then the period.
 * @param period left out for all up to now; what begins meanwhile is not in the file.
 */
export async function* logLines(
  read: ReportReader,
  filter: LogsFilter,
  period?: Period,
): AsyncGenerator<string> {
  const line = (row: CallRow): string =>
    csvRow(
      CSV_COLUMNS.map((column) => {
        const cell = (row as CallRow & Partial<Record<string, CsvCell>>)[column] ?? null
        return column === 'client_type' && typeof cell === 'string' ? reportedClientType(cell) : cell
      }),
    )
  const [{ now }] = await read((sql) => sql<[{ now: Date }]>`select now()`)
  const bounded = { ...filter, period: period ?? { start: ALWAYS, end: now } }
  yield csvRow(CSV_COLUMNS)
  const calls = yield* linesInPages(
    read,
    (sql, caller, page) => pageOfCalls(sql, wantedBy(sql, caller, bounded), page),
    line,
  )
  yield csvRow(['Total', calls, ...Array<null>(CSV_COLUMNS.length - 2).fill(null)])
  const told =
    period === undefined ? { start: null, end: now.toISOString(), timezone: 'UTC' } : toldPeriod(period)
  yield periodLine(told, CSV_COLUMNS.length)
}
