/** What a cell of a table may hold. A Date is written as ISO 8601 in UTC, null as nothing. */
export type CsvCell = string | number | boolean | Date | null

/** What a spreadsheet takes for a formula, also where it is written full-width. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/
/** What is a number to everybody, so that the sign of a negative one is no formula. */
const NUMBER = /^-?\d+(?:\.\d+)?(?:e[+-]?\d+)?$/i
const NEEDS_QUOTES = /[",\r\n]|^\s|\s$/

function textOf(cell: CsvCell): string {
  if (cell === null) return ''
  if (cell instanceof Date) return cell.toISOString()
  const text = String(cell)
  // Names come from tokens, clients and tools: whoever opens the file must not run what they wrote.
  return FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text
}

const quoted = (text: string): string => (NEEDS_QUOTES.test(text) ? `"${text.replaceAll('"', '""')}"` : text)

/**
 * One line of CSV (RFC 4180), its CRLF included. A text that a spreadsheet would run as a formula gets a leading
 * apostrophe; plain numbers stay numbers.
 * @example csvRow(['search', 3, '0.0012', null]) // 'search,3,0.0012,\r\n'
 */
export const csvRow = (cells: readonly CsvCell[]): string =>
  `${cells.map((cell) => quoted(textOf(cell))).join(',')}\r\n`
