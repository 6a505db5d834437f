import type postgres from 'postgres'
import type { Queryable } from '../db/client.ts'
import type { PageRequest, Position } from './position.ts'
import type { ReportCaller, ReportReader } from './visible-to.ts'

const ROWS_AT_ONCE = 1000

/**
 * The lines of a long list, page by page, so that neither memory nor a connection is held while somebody reads slowly,
 * and who is cut off meanwhile reads no further.
 * @param query a page of rows in their order, and one more, which tells whether there is another.
 * @returns how many lines there were.
 * @example const calls = yield* linesInPages(read, (sql, caller, page) => pageOfCalls(sql, wanted, page), csvLine)
 */
export async function* linesInPages<Row extends Position>(
  read: ReportReader,
  query: (sql: Queryable, caller: ReportCaller, page: PageRequest) => postgres.PendingQuery<Row[]>,
  line: (row: Row) => string,
): AsyncGenerator<string, number> {
  let count = 0
  let after: Position | null = null
  do {
    const page: PageRequest = { limit: ROWS_AT_ONCE, after }
    const lines: string[] = []
    let last: Position | null = null
    after = null
    await read(async (sql, caller) => {
      // Row by row: postgres.js's own array of a page outlives the page, and its garbage the exports of a day.
      await query(sql, caller, page).forEach((row) => {
        if (lines.length === page.limit) after = last
        else {
          lines.push(line(row))
          last = row
        }
      })
    })
    yield* lines
    count += lines.length
    // For the same reason: queries that are over hold this array for some time, and it shall hold nothing then.
    lines.length = 0
  } while (after !== null)
  return count
}
