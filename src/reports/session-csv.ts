import { reportedClientType } from './client-types.ts'
import { periodLine } from './cost-csv.ts'
import { type CsvCell, csvRow } from './csv.ts'
import { linesInPages } from './lines-in-pages.ts'
import { comesAfter, type Position, positionColumns } from './position.ts'
import type { ListedSession } from './session.ts'
import { sessionsWithLife } from './session-life.ts'
import { isWanted, sessionColumns, type SessionsFilter } from './session-rows.ts'
import type { ReportReader } from './visible-to.ts'

const COLUMNS = [
  'session_id',
  'user_id',
  'user_email',
  'user_name',
  'client_type',
  'client_version',
  'client_name',
  'era',
  'protocol_version',
  'status',
  'connected_at',
  'last_activity',
  'disconnected_at',
  'total_duration',
  'disconnect_reason',
] as const satisfies readonly (keyof ListedSession)[]

type Row = Position & Record<(typeof COLUMNS)[number], CsvCell> & { client_type: string }

const line = (row: Row): string =>
  csvRow(COLUMNS.map((name) => (name === 'client_type' ? reportedClientType(row.client_type) : row[name])))

/**
 * The sessions that a caller may see and asks for, as CSV, the latest first: a line for each that began before now,
 * then how many they are, then up to when. In the order in which they began, which nothing that happens meanwhile changes.
 */
export async function* sessionLines(read: ReportReader, filter: SessionsFilter): AsyncGenerator<string> {
  const [{ now }] = await read((sql) => sql<[{ now: Date }]>`select now()`)
  yield csvRow(COLUMNS)
  const sessions = yield* linesInPages(
    read,
    (sql, caller, { limit, after }) => sql<Row[]>`
      select ${sessionColumns(sql)}, ${positionColumns(sql, 'session.connected_at', 'session.session_id')}
      from ${sessionsWithLife(sql)}
      where ${isWanted(sql, caller, filter)}
        and session.connected_at <= ${now}
        and ${comesAfter(sql, after, 'session.connected_at', 'session.session_id')}
      order by session.connected_at desc, session.session_id desc
      limit ${limit + 1}`,
    line,
  )
  yield csvRow(['Total', sessions, ...Array<null>(COLUMNS.length - 2).fill(null)])
  yield periodLine({ start: null, end: now.toISOString(), timezone: 'UTC' }, COLUMNS.length)
}
