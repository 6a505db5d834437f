import { readFile } from 'node:fs/promises'
import { CLI_ACTOR } from './audit.ts'
import { type ImportedUser, ImportError, importUsers, type UserKey } from './auth/import-users.ts'
import { type CsvLine, readCsv } from './cli-csv.ts'
import { parse, refuseMore, say, table, UsageError, withDatabase } from './cli-run.ts'

const KEYS: readonly (readonly [UserKey, readonly string[]])[] = [
  ['user_id', ['user_id']],
  ['email', ['email']],
  ['issuer and subject', ['issuer', 'subject']],
]
const ROLES = ['member', 'manager', 'finance', 'admin']
const COLUMNS = [...KEYS.flatMap(([, columns]) => columns), 'department', 'role']
const MAX_CHARS = 255

interface Fault {
  line: number
  fault: string
}
interface Head {
  by: UserKey
  /** Which cell is which. */
  columns: ReadonlyMap<string, number>
}

const quoted = (texts: readonly string[]): string => texts.map((text) => `"${text}"`).join(', ')

/** @throws Error with everything that is wrong with the first line. */
function headOf({ line, cells }: CsvLine): Head {
  const names = cells.map((name) => name.toLowerCase())
  const keys = KEYS.filter(([, columns]) => columns.every((column) => names.includes(column)))
  const unknown = names.filter((name) => !COLUMNS.includes(name))
  const twice = names.filter((name, place) => names.indexOf(name) !== place)
  const partner = names.includes('issuer') === names.includes('subject')
  const faults = [
    ...(unknown.length > 0
      ? [`no column is called ${quoted(unknown)}: there are ${COLUMNS.join(', ')}`]
      : []),
    ...(unknown.includes('from') ? ['an import holds from now on, and changes nothing of the past'] : []),
    ...(twice.length > 0 ? [`${quoted(twice)} is there more than once`] : []),
    ...(keys.length === 1 && partner
      ? []
      : ['name users by one of: user_id; email; issuer and subject, in two columns']),
    ...(names.includes('department') ? [] : ['the column department is missing']),
  ]
  const [key] = keys
  if (faults.length > 0 || key === undefined) {
    throw new Error(faults.map((fault) => `line ${line}: ${fault}`).join('\n'))
  }
  return { by: key[0], columns: new Map(names.map((name, place) => [name, place])) }
}

const textFault = (name: string, text: string): string[] => {
  if (text === '') return [`${name} is empty`]
  if (text.length > MAX_CHARS) return [`${name} is longer than ${MAX_CHARS} characters`]
  return text.includes('\0') ? [`${name} has a character that Postgres cannot store`] : []
}

/** The row, or what is wrong with it. */
function rowOf({ line, cells }: CsvLine, { by, columns }: Head): ImportedUser | Fault[] {
  if (cells.length !== columns.size) {
    return [{ line, fault: `${cells.length} cells under ${columns.size} columns` }]
  }
  const cell = (name: string): string => cells[columns.get(name) ?? -1] ?? ''
  const keyColumns = KEYS.find(([key]) => key === by)?.[1] ?? []
  const department = cell('department')
  const role = cell('role').toLowerCase()
  const faults = [
    ...[...keyColumns, 'department'].flatMap((name) => textFault(name, cell(name))),
    ...(role === '' || ROLES.includes(role) ? [] : [`role "${role}" is not one of ${ROLES.join(', ')}`]),
  ]
  if (faults.length > 0) return faults.map((fault) => ({ line, fault }))
  return { line, key: keyColumns.map(cell), department, role: role === '' ? null : role }
}

const users = (count: number): string => (count === 1 ? '1 user' : `${count} users`)
const move = (before: string | null, after: string): string =>
  before === after ? after : `${before ?? 'none'} -> ${after}`

async function readText(file: string): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(await readFile(file))
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause
    throw new Error(`${file} is not UTF-8: save it as "CSV UTF-8"`, { cause })
  }
}

async function importFile(args: string[]): Promise<void> {
  const { values, positionals } = parse(args, { 'dry-run': { type: 'boolean' } })
  const [file, ...rest] = positionals
  if (file === undefined) throw new UsageError('Import what? Give the name of a CSV file')
  refuseMore(rest)
  const [first, ...lines] = readCsv(await readText(file))
  if (first === undefined || lines.length === 0) throw new Error(`${file} names no users`)
  const head = headOf(first)
  const read = lines.map((line) => rowOf(line, head))
  const faults = read.flatMap((row) => (Array.isArray(row) ? row : []))
  const rows = read.flatMap((row) => (Array.isArray(row) ? [] : [row]))
  const dry = values['dry-run'] === true
  await withDatabase(async (sql) => {
    const changes = await importUsers(sql, head.by, rows, CLI_ACTOR, { faults, dry }).catch(
      (error: unknown) => {
        if (!(error instanceof ImportError)) throw error
        throw new Error(`${error.message}\nNothing was imported`, { cause: error })
      },
    )
    if (changes.length > 0) {
      const shown = changes.map((change) => [
        change.email ?? change.name ?? change.user_id,
        move(change.department_before, change.department),
        move(change.role_before, change.role),
      ])
      say(table(['who', 'department', 'role'], shown))
    }
    const same = rows.length - changes.length
    say(
      `${users(changes.length)} ${dry ? 'would change' : 'changed'}${same === 0 ? '' : `, ${users(same)} as they were`}`,
    )
  })
}

export async function usersCommand([action = '', ...args]: string[]): Promise<void> {
  if (action !== 'import') throw new UsageError(`users what? "${action}" is not import`)
  await importFile(args)
}
