/** Cut to what a column holds, without the one character that Postgres cannot store. */
export const fit = (text: string | null, length: number): string | null =>
  // Cut first: a cut may leave half a surrogate pair.
  text === null ? null : text.replaceAll('\0', '').slice(0, length).toWellFormed()

/** What a client says of itself may be of any length; this much of it is kept. */
const MAX_JSON_CHARS = 16_384

const clean = (_key: string, member: unknown): unknown => {
  if (typeof member === 'string') return fit(member, MAX_JSON_CHARS)
  if (typeof member !== 'object' || member === null || Array.isArray(member)) return member
  return Object.fromEntries(Object.entries(member).map(([key, inner]) => [fit(key, 255), inner]))
}

/**
 * JSON that jsonb takes: without NUL and half surrogate pairs. Bind it as `${jsonText(value)}::text::jsonb`;
 * bound as JSON it would be encoded twice.
 * @returns null when it is longer than 16 Ki characters, or nested deeper than the runtime can follow.
 */
export function jsonText(value: unknown): string | null {
  try {
    const json = JSON.stringify(value, clean)
    return json.length <= MAX_JSON_CHARS ? json : null
  } catch (error) {
    // Nested too deep; or a BigInt or a circle, which only a program can hand over.
    if (error instanceof RangeError || error instanceof TypeError) return null
    throw error
  }
}
