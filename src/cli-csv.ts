/** A line of a table, with the number that an editor shows for where it begins. */
export interface CsvLine {
  line: number
  cells: string[]
}

/** A cell and what ends it: in quotes, where `""` is one of them, or bare. Lines may end in any way. */
const cellOf = (delimiter: string): RegExp =>
  new RegExp(`(?:"((?:[^"]|"")*)"|([^"${delimiter}\\r\\n]*))(${delimiter}|\\r\\n|\\n|\\r|$)`, 'y')

const DELIMITERS = [',', ';', '\t']

/** The one that the first line has: spreadsheets of many countries write semicolons. */
function delimiterOf(text: string): string {
  const [head = ''] = text.split(/[\r\n]/, 1)
  return DELIMITERS.find((delimiter) => head.includes(delimiter)) ?? ','
}

/**
 * Reads CSV (RFC 4180) as spreadsheets write it: with or without a byte order mark, divided by commas, semicolons or
 * tabs, in any line ends. Lines of empty cells alone are left out, and white space around a cell is no part of it.
 * @throws Error that names the line from which on it is no CSV.
 * @example readCsv('email,department\r\nana@example.com,Sales\r\n')
 */
export function readCsv(file: string): CsvLine[] {
  const text = file.replace(/^\uFEFF/, '')
  const cell = cellOf(delimiterOf(text))
  const lines: CsvLine[] = []
  let line = 1
  let current: CsvLine = { line, cells: [] }
  while (cell.lastIndex < text.length || current.cells.length > 0) {
    const match = cell.exec(text)
    if (match === null) throw new Error(`line ${current.line}: a quotation mark has no partner`)
    const [whole, inQuotes, bare, end] = match
    current.cells.push((inQuotes?.replaceAll('""', '"') ?? bare ?? '').trim())
    line += whole.match(/\r\n|\n|\r/g)?.length ?? 0
    if (end !== '' && DELIMITERS.includes(end ?? '')) continue
    if (current.cells.some((value) => value !== '')) lines.push(current)
    current = { line, cells: [] }
  }
  return lines
}
