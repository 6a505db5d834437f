import type postgres from 'postgres'
import type { Queryable } from '../db/client.ts'
import type { ReportCaller, ReportReader } from './visible-to.ts'

/** Few enough that memory stays small, enough that the way to Postgres does not count. */
const ROWS_AT_ONCE = 500

/**
 * Milliseconds that a batch waits to be taken: less than a transaction may be idle, after which Postgres would end the
 * connection, which postgres.js does not survive in a transaction.
 */
const PATIENCE_MS = 8000

/** Waits for what a reader does, and not for ever. */
async function within(taken: Promise<void>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nobody read on for ${ms} ms`)), ms)
  })
  try {
    await Promise.race([taken, late])
  } finally {
    clearTimeout(timer)
    // Refused later, when the stream is given up.
    taken.catch(() => {})
  }
}

/**
 * The rows of one query, all of one moment, so many at a time: for reports whose order is made of sums, where a page
 * cannot be found without all of them. The transaction lasts until the last batch is fetched, and fetches no further
 * than somebody reads; it ends when a batch is not taken for 8 s.
 * @param query the rows, in their order; a batch is good until the next is asked for.
 * @throws what Postgres throws, and Error when nobody read on, after the batches that came before.
 * @example for await (const rows of inBatches(read, (sql, caller) => usersQuery(sql, caller))) write(rows)
 */
export async function* inBatches<Row extends object>(
  read: ReportReader,
  query: (sql: Queryable, caller: ReportCaller) => postgres.PendingQuery<Row[]>,
  patienceMs = PATIENCE_MS,
): AsyncGenerator<readonly Row[]> {
  // A write waits until the one before was read.
  const { readable, writable } = new TransformStream<Row[], Row[]>()
  const writer = writable.getWriter()
  async function fetchAll(): Promise<void> {
    try {
      const last = await read(async (sql, caller) => {
        // All rows are wanted, and not the first soon.
        await sql`select set_config('cursor_tuple_fraction', '1', true)`
        await sql`declare report no scroll cursor for ${query(sql, caller)}`
        for (;;) {
          // Not prepared: a connection would keep the columns of whichever report came first.
          const rows = await sql.unsafe<Row[]>(`fetch ${ROWS_AT_ONCE} from report`)
          // The last is read when nothing is held any more.
          if (rows.length < ROWS_AT_ONCE) return rows
          await within(writer.write(rows), patienceMs)
        }
      })
      await writer.write(last)
      await writer.close()
    } catch (error) {
      await writer.abort(error)
    }
  }
  const reading = fetchAll()
  const batches = readable.getReader()
  try {
    for (;;) {
      const { done, value } = await batches.read()
      if (done) return
      yield value
      // Queries that are over hold their rows for some time, and shall hold none then.
      value.length = 0
    }
  } finally {
    // Who reads no further lets go of the transaction.
    await batches.cancel().catch(() => {})
    await reading.catch(() => {})
  }
}
