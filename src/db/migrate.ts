import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { errorCode, errorField, type Queryable, type Sql } from './client.ts'
import { aheadSentence } from './schema-version.ts'
import { inTransaction } from './transaction.ts'

/** The migrations of this package: `src/db` and `dist/db` lie equally deep. */
export const MIGRATIONS_FOLDER = fileURLToPath(new URL('../../migrations/', import.meta.url).href)

/** One number for all who migrate a database ("archonmc" in ASCII), so that they take turns. */
const LOCK = '7021784069221281123'

interface Migration {
  version: number
  /** The file's name. */
  name: string
  checksum: string
  /** Each way begins with as many empty lines as stand before it in the file, so that errors tell the right line. */
  up: string
  down: string
}

interface Applied {
  version: number
  name: string
  checksum: string
  applied_at: Date
}

export interface MigrationStatus {
  version: number
  name: string
  /** `edited`: applied, but the file has changed since. `unknown`: applied by another build. */
  state: 'applied' | 'pending' | 'edited' | 'unknown'
  appliedAt: Date | null
}

interface FolderOption {
  /** Where the `NNNN_name.sql` files are. Default: those of this package. */
  folder?: string | undefined
}

export interface MigrateOptions extends FolderOption {
  direction: 'up' | 'down'
  /** Stop when this version is the newest applied one; 0 undoes everything. Default: all the way up, one step down. */
  to?: number | undefined
  /** Steps at most. Default: no limit up or with `to`, one down. */
  steps?: number | undefined
  /** Told of each step after its commit. */
  log?: ((line: string) => void) | undefined
}

function parse(name: string, text: string): Migration {
  const sql = text.replaceAll('\r\n', '\n')
  const [, head, up, down] =
    /^(.*?^-- migrate:up[^\n]*\n)(.*?)^-- migrate:down[^\n]*\n(.*)$/ms.exec(sql) ?? []
  if (head === undefined || up === undefined || down === undefined) {
    throw new Error(`${name} needs a line "-- migrate:up" and after it a line "-- migrate:down"`)
  }
  const atItsLine = (section: string, start: number) =>
    '\n'.repeat(sql.slice(0, start).split('\n').length - 1) + section
  return {
    version: Number.parseInt(name, 10),
    name,
    checksum: createHash('sha256').update(sql).digest('hex'),
    up: atItsLine(up, head.length),
    down: atItsLine(down, sql.length - down.length),
  }
}

async function readMigrations(folder: string): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => /^\d{4}_.+\.sql$/.test(name)).sort()
  const migrations = await Promise.all(
    names.map(async (name) => parse(name, await readFile(`${folder}/${name}`, 'utf8'))),
  )
  const twice = migrations.find((migration, index) => migration.version === migrations[index - 1]?.version)
  if (twice) throw new Error(`Two migrations have the number ${twice.version}`)
  return migrations
}

async function readApplied(sql: Queryable): Promise<Applied[]> {
  const [table] = await sql<
    { here: boolean }[]
  >`select to_regclass('archon_mcp_migrations') is not null as here`
  return table?.here ? sql<Applied[]>`select * from archon_mcp_migrations order by version` : []
}

const CREATE_TABLE = `
create table if not exists archon_mcp_migrations (
  version integer primary key,
  name text not null,
  checksum text not null,
  applied_at timestamptz not null default now()
);
revoke all on archon_mcp_migrations from public;`

const DEPENDENTS_EXIST = '2BP01'

async function apply(
  tx: Queryable,
  { name, ...migration }: Migration,
  direction: 'up' | 'down',
): Promise<void> {
  const text = migration[direction]
  try {
    await tx.unsafe(text).simple()
  } catch (cause) {
    const position = errorField(cause, 'position')
    const line = position ? `:${text.slice(0, Number(position)).split('\n').length}` : ''
    const reason = cause instanceof Error ? cause.message : String(cause)
    // What leans on it is in the detail; the hint would be to drop that unseen.
    const isInTheWay = errorCode(cause) === DEPENDENTS_EXIST
    const more = errorField(cause, isInTheWay ? 'detail' : 'hint')
    throw new Error(`${name}${line} (${direction}): ${reason}${more ? `. ${more}` : ''}`, { cause })
  }
}

/** Applies or undoes one migration. Whoever gets the lock second finds what the first one left. */
const step = (
  sql: Sql,
  migrations: Migration[],
  { direction, to }: MigrateOptions,
): Promise<string | undefined> =>
  inTransaction(
    sql,
    async (tx) => {
      await tx`select pg_advisory_xact_lock(${LOCK})`
      const applied = await readApplied(tx)
      const known = migrations.at(-1)?.version ?? 0
      const unknown = applied.findLast(({ version }) => migrations.every((each) => each.version !== version))
      if (unknown) throw new Error(aheadSentence(unknown.version, known))

      const isApplied = ({ version }: Migration) => applied.some((row) => row.version === version)
      if (direction === 'up') {
        const next = migrations.find((migration) => !isApplied(migration))
        if (!next || next.version > (to ?? known)) return undefined
        if (applied.length === 0) await tx.unsafe(CREATE_TABLE).simple()
        await apply(tx, next, 'up')
        await tx`insert into archon_mcp_migrations ${tx(next, 'version', 'name', 'checksum')}`
        return next.name
      }
      const last = migrations.findLast(isApplied)
      if (!last || last.version <= (to ?? 0)) return undefined
      await apply(tx, last, 'down')
      await (applied.length === 1
        ? tx`drop table archon_mcp_migrations`
        : tx`delete from archon_mcp_migrations where version = ${last.version}`)
      return last.name
    },
    { statementTimeoutMs: 0, idleTimeoutMs: 0 },
  )

/**
 * Brings the schema up or down, each step in its own transaction. Any number of processes may do so at once.
 * @param sql a client with the owner's login.
 * @returns the names of the files whose step this call made, in order.
 * @throws Error naming the file and the line, with Postgres's error as `cause`; the steps before it stay.
 * @example await migrate(sql, { direction: 'up', log: console.log })
 */
export async function migrate(sql: Sql, options: MigrateOptions): Promise<string[]> {
  const { direction, to, folder = MIGRATIONS_FOLDER, log } = options
  const { steps = direction === 'up' || to !== undefined ? Infinity : 1 } = options
  const migrations = await readMigrations(folder)
  if (to !== undefined && to !== 0 && migrations.every(({ version }) => version !== to)) {
    throw new Error(
      `There is no migration ${to}: this build knows ${migrations.map((each) => each.version).join(', ')}`,
    )
  }
  const done: string[] = []
  while (done.length < steps) {
    const name = await step(sql, migrations, options)
    if (name === undefined) break
    done.push(name)
    log?.(`${direction} ${name}`)
  }
  return done
}

/** Every migration of this build and of the database, by number. An edited file is told, and is no error. */
export async function migrationStatus(
  sql: Sql,
  { folder = MIGRATIONS_FOLDER }: FolderOption = {},
): Promise<MigrationStatus[]> {
  const [migrations, applied] = await Promise.all([readMigrations(folder), readApplied(sql)])
  const ours = migrations.map(({ version, name, checksum }): MigrationStatus => {
    const row = applied.find((each) => each.version === version)
    if (!row) return { version, name, state: 'pending', appliedAt: null }
    return {
      version,
      name,
      state: row.checksum === checksum ? 'applied' : 'edited',
      appliedAt: row.applied_at,
    }
  })
  const theirs = applied
    .filter((row) => migrations.every((each) => each.version !== row.version))
    .map(({ version, name, applied_at }) => ({
      version,
      name,
      state: 'unknown' as const,
      appliedAt: applied_at,
    }))
  return [...ours, ...theirs].sort((a, b) => a.version - b.version)
}

/**
 * The SQL that `up` would run, for those who run it by other means.
 * @param sql null: for an empty database.
 */
export async function printMigrations(
  sql: Sql | null,
  { folder = MIGRATIONS_FOLDER }: FolderOption = {},
): Promise<string> {
  const [migrations, applied] = await Promise.all([readMigrations(folder), sql ? readApplied(sql) : []])
  const pending = migrations.filter(({ version }) => applied.every((row) => row.version !== version))
  const blocks = pending.map(({ version, name, checksum, up }, index) => {
    const table = index === 0 && applied.length === 0 ? `${CREATE_TABLE.trim()}\n\n` : ''
    const row = `insert into archon_mcp_migrations (version, name, checksum) values (${version}, '${name.replaceAll("'", "''")}', '${checksum}');`
    return `-- ${name}\nbegin;\n${table}${up.trim()}\n\n${row}\ncommit;\n`
  })
  return blocks.join('\n')
}
