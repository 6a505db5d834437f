/**
 * A row as JSON tells it: moments as ISO text, and what is null left out.
 * @param hidden columns that are not told.
 * @returns what the caller knows the row to be.
 */
export const plain = (row: object, ...hidden: string[]): unknown =>
  Object.fromEntries(
    Object.entries(row)
      .filter(([name, value]) => value !== null && !hidden.includes(name))
      .map(([name, value]: [string, unknown]) => [name, value instanceof Date ? value.toISOString() : value]),
  )
