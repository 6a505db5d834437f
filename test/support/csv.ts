const CELL = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y

/** The cells of a file, by RFC 4180 and nothing more lenient. */
export function parseCsv(text: string): string[][] {
  const rows: string[][] = []
  let row: string[] = []
  CELL.lastIndex = 0
  while (CELL.lastIndex < text.length) {
    const at = CELL.lastIndex
    const match = CELL.exec(text)
    if (match === null) throw new Error(`no CSV at ${at}: ${text.slice(at, at + 40)}`)
    row.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '')
    if (match[3] === ',') continue
    rows.push(row)
    row = []
  }
  return rows
}

/** A table with a header, a total and a period. */
export function parseTable(text: string): {
  header: string[]
  rows: Record<string, string>[]
  total: Record<string, string>
  period: string[]
} {
  const [header = [], ...lines] = parseCsv(text)
  if (lines.some((line) => line.length !== header.length)) throw new Error('a line of another length')
  const records = lines.map((line) => Object.fromEntries(header.map((name, i) => [name, line[i] ?? ''])))
  return { header, rows: records.slice(0, -2), total: records.at(-2) ?? {}, period: lines.at(-1) ?? [] }
}

/** A row of JSON as the same row of a table reads. */
export const asCells = (header: string[], row: object): Record<string, string> => {
  const values = new Map(Object.entries(row) as [string, string | number | boolean | null][])
  return Object.fromEntries(header.map((name) => [name, String(values.get(name) ?? '')]))
}
