/** Counts the tokens of a text. */
export type TokenCounter = (text: string) => number

/** What most tokenizers come to for prose and for JSON, at no cost. */
const CHARACTERS_A_TOKEN = 4

/** The counter that knows no model. */
export const countByLength: TokenCounter = (text) => Math.ceil(text.length / CHARACTERS_A_TOKEN)

type Fields = Record<string, unknown>
const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const textOf = (value: unknown): string =>
  value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value)

/** What a model reads of a tool's result: its texts, or else what it is structured of. */
function textOfResult(result: unknown): string {
  if (!isObject(result)) return ''
  const content: unknown[] = Array.isArray(result['content']) ? result['content'] : []
  const texts = content.flatMap((part) =>
    isObject(part) && typeof part['text'] === 'string' ? [part['text']] : [],
  )
  return texts.length > 0 ? texts.join('\n') : textOf(result['structuredContent'])
}

/** Tokens of what a tool was called with and of what it answered, for when nobody reports what a model used. */
export const countCall = (
  count: TokenCounter,
  given: unknown,
  result: unknown,
): { promptTokens: number; completionTokens: number } => ({
  promptTokens: count(textOf(given)),
  completionTokens: count(textOfResult(result)),
})

/** Bytes of a text in UTF-8. */
export function utf8Length(text: string): number {
  let bytes = text.length
  for (let place = 0; place < text.length; place += 1) {
    const unit = text.charCodeAt(place)
    // Half of a surrogate pair is 2 of the 4 bytes of its character.
    if (unit > 0x7f) bytes += unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1
  }
  return bytes
}
