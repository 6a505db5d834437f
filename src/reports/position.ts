import type { Queryable } from '../db/client.ts'

/** Where a page ended: the next begins after this row, in the order newest first and then by id. */
export interface Position {
  /** Microseconds since the epoch: what a Date holds is too coarse to tell rows apart. */
  micros: string
  id: string
}

/** How much of a list to read, and from where. */
export interface PageRequest {
  limit: number
  after: Position | null
}

/** A position as one opaque word for an address. */
export const cursorOf = ({ micros, id }: Position): string =>
  btoa(`${micros} ${id}`).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')

// 17 digits reach to the year 5138.
const POSITION = /^(-?\d{1,17}) ([\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12})$/

/** @returns null for what cursorOf() cannot have written. */
export function positionOf(cursor: string): Position | null {
  try {
    const [, micros, id] = POSITION.exec(atob(cursor.replaceAll('-', '+').replaceAll('_', '/'))) ?? []
    return micros === undefined || id === undefined ? null : { micros, id }
  } catch {
    return null // not base64
  }
}

/**
 * The columns that tell where a row lies.
 * @param moment the column by which rows are ordered, newest first; `id` is the one that tells rows of one moment apart.
 * @example sql`select call.method, ${positionColumns(sql, 'call.timestamp', 'call.request_id')} from …`
 */
export const positionColumns = (sql: Queryable, moment: string, id: string) =>
  sql`(extract(epoch from ${sql(moment)}) * 1000000)::bigint as micros, ${sql(id)} as id`

/** The condition that a row comes after a position, in the order `moment desc, id desc`. */
export const comesAfter = (sql: Queryable, after: Position | null, moment: string, id: string) =>
  after === null
    ? sql`true`
    : sql`(${sql(moment)}, ${sql(id)})
        < (timestamptz 'epoch' + ${after.micros}::bigint * interval '1 microsecond', ${after.id}::uuid)`

/** The rows of a page, of which one more than its limit was read to know whether it is the last. */
export function cutPage<T extends Position>(
  rows: readonly T[],
  limit: number,
): { rows: T[]; next: Position | null } {
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  return { rows: page, next: rows.length > limit && last !== undefined ? last : null }
}
