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

/** The rows of a page, of which one more than its limit was read to know whether it is the last. */
export function cutPage<T extends Position>(
  rows: readonly T[],
  limit: number,
): { rows: T[]; next: Position | null } {
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  return { rows: page, next: rows.length > limit && last !== undefined ? last : null }
}
