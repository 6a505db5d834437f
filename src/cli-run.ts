import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import { connect, errorCode, type Sql } from './db/client.ts'
import { TRIAL_FOLDER, useTrialServer } from './trial/database.ts'

/** What was typed is not a command: exit code 2. */
export class UsageError extends Error {
  override name = 'UsageError'
}

export const say = (line: string): void => void process.stdout.write(`${line}\n`)
export const variable = (name: string): string | undefined => process.env[name] || undefined

export function parse<T extends ParseArgsOptionsConfig>(args: string[], options: T) {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true })
  } catch (cause) {
    if (!errorCode(cause)?.startsWith('ERR_PARSE_ARGS')) throw cause
    throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

/** Refuses what was typed beyond what a command takes. */
export function refuseMore([first]: string[]): void {
  if (first !== undefined) throw new UsageError(`Unexpected argument "${first}"`)
}

/** Runs on the database of DATABASE_URL, as its owner; without one, on that of the trial. */
export async function withDatabase(run: (sql: Sql) => Promise<void>): Promise<void> {
  const given = variable('DATABASE_URL')
  const server = given === undefined ? await useTrialServer(TRIAL_FOLDER) : undefined
  const sql = connect(given ?? server?.ownerUrl ?? '', { max: 1, onNotice: say })
  try {
    await run(sql)
  } finally {
    await sql.end({ timeout: 5 })
    await server?.stop()
  }
}

/** Rows as columns of equal width; those of numbers end at the right. */
export function table(head: string[], rows: string[][], numbers: readonly number[] = []): string {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  const cell = (text: string, column: number) =>
    numbers.includes(column) ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0)
  return all.map((row) => row.map(cell).join('  ').trimEnd()).join('\n')
}
