import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { connect } from '../../src/db/client.ts'
import { migrate, migrationStatus, printMigrations } from '../../src/db/migrate.ts'
import { databaseState, SCHEMA_VERSION } from '../../src/db/schema-version.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const ONE = `-- The first table.
-- migrate:up
create table fruit (name text);
create function greet() returns text language plpgsql as $$
begin
  return 'a; b -- not a comment';
end
$$;
-- migrate:down
drop function greet();
drop table fruit;
`
const TWO = '-- migrate:up\ninsert into fruit values (greet());\n-- migrate:down\ndelete from fruit;\n'
const THREE =
  '-- migrate:up\nalter table fruit add column n integer;\n-- migrate:down\nalter table fruit drop column n;\n'
const NAMES = ['0001_fruit.sql', '0002_greet.sql', '0003_number.sql']

let folder: string
let database: TestDatabase
const put = (name: string, text: string) => writeFileSync(join(folder, name), text)
const states = async () => (await migrationStatus(database.owner, { folder })).map(({ state }) => state)
const tables = async () => {
  const rows = await database.owner<{ name: string }[]>`
    select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1`
  return rows.map(({ name }) => name)
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'migrations-'))
  for (const [index, text] of [ONE, TWO, THREE].entries()) put(NAMES[index] ?? '', text)
  database = await createTestDatabase({}, 'empty')
})
afterEach(async () => {
  await database[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

describe('up', () => {
  test('applies every step once, in order', async () => {
    const { owner } = database
    const lines: string[] = []
    expect(await migrate(owner, { direction: 'up', folder, log: (line) => lines.push(line) })).toEqual(NAMES)
    expect(lines).toEqual(NAMES.map((name) => `up ${name}`))
    expect([...(await owner`select * from fruit`)]).toEqual([{ name: 'a; b -- not a comment', n: null }])
    expect(await migrate(owner, { direction: 'up', folder })).toEqual([])
    expect(await states()).toEqual(['applied', 'applied', 'applied'])
  })

  test('stops at the version or after the number of steps it is told', async () => {
    const { owner } = database
    expect(await migrate(owner, { direction: 'up', to: 2, folder })).toEqual(NAMES.slice(0, 2))
    expect(await states()).toEqual(['applied', 'applied', 'pending'])
    await migrate(owner, { direction: 'down', to: 0, folder })
    expect(await migrate(owner, { direction: 'up', steps: 1, folder })).toEqual(NAMES.slice(0, 1))
  })

  test('of twenty at once leaves one result', async () => {
    const clients = Array.from({ length: 20 }, () => connect(database.ownerUrl, { max: 1 }))
    const done = await Promise.all(clients.map((sql) => migrate(sql, { direction: 'up', folder })))
    await Promise.all(clients.map((sql) => sql.end()))
    expect(done.flat().sort()).toEqual(NAMES)
    expect(await database.owner`select * from fruit`).toHaveLength(1)
  })

  test('keeps nothing of a step that fails, and names the file and the line', async () => {
    const { owner } = database
    put(
      '0002_greet.sql',
      '-- migrate:up\n\ncreate table half (n integer);\nselect wrong from half;\n-- migrate:down\n',
    )
    const failing = migrate(owner, { direction: 'up', folder })
    await expect(failing).rejects.toThrow('0002_greet.sql:4 (up): column "wrong" does not exist')
    await expect(failing).rejects.toMatchObject({ cause: { code: '42703' } })
    expect(await tables()).toEqual(['archon_mcp_migrations', 'fruit'])
    expect(await states()).toEqual(['applied', 'pending', 'pending'])
  })

  test('leaves nothing of its own when the first step fails', async () => {
    put('0001_fruit.sql', '-- migrate:up\nselect 1 / 0;\n-- migrate:down\n')
    await expect(migrate(database.owner, { direction: 'up', folder })).rejects.toThrow('division by zero')
    expect(await tables()).toEqual([])
  })

  test('applies a step that was added below the newest one', async () => {
    const { owner } = database
    rmSync(join(folder, '0002_greet.sql'))
    await migrate(owner, { direction: 'up', folder })
    put('0002_greet.sql', TWO)
    expect(await migrate(owner, { direction: 'up', folder })).toEqual(['0002_greet.sql'])
  })

  test('refuses a version that does not exist', async () => {
    const beyond = migrate(database.owner, { direction: 'up', to: 9, folder })
    await expect(beyond).rejects.toThrow('There is no migration 9: this build knows 1, 2, 3')
  })

  test('refuses a file without its two sections, and two files of one number', async () => {
    put('0004_open.sql', '-- migrate:up\nselect 1;\n')
    const half = migrate(database.owner, { direction: 'up', folder })
    await expect(half).rejects.toThrow('0004_open.sql needs a line "-- migrate:up" and after it')
    put('0004_open.sql', TWO)
    put('0004_twin.sql', TWO)
    await expect(migrate(database.owner, { direction: 'up', folder })).rejects.toThrow('the number 4')
  })
})

describe('down', () => {
  beforeEach(() => migrate(database.owner, { direction: 'up', folder }))

  test('undoes one step unless told otherwise', async () => {
    expect(await migrate(database.owner, { direction: 'down', folder })).toEqual(['0003_number.sql'])
    expect(await states()).toEqual(['applied', 'applied', 'pending'])
  })

  test('undoes everything after a version', async () => {
    expect(await migrate(database.owner, { direction: 'down', to: 1, folder })).toEqual(
      NAMES.slice(1).toReversed(),
    )
    expect(await states()).toEqual(['applied', 'pending', 'pending'])
  })

  test('leaves nothing when every step is undone', async () => {
    expect(await migrate(database.owner, { direction: 'down', to: 0, folder })).toEqual(NAMES.toReversed())
    expect(await tables()).toEqual([])
    expect(await migrate(database.owner, { direction: 'down', to: 0, folder })).toEqual([])
  })
})

describe('status', () => {
  test('of an empty database is pending, and makes no table', async () => {
    expect(await states()).toEqual(['pending', 'pending', 'pending'])
    expect(await tables()).toEqual([])
  })

  test('tells an applied file that was edited, which stops nobody', async () => {
    await migrate(database.owner, { direction: 'up', folder })
    put('0002_greet.sql', `${TWO}-- a second thought\n`)
    expect(await states()).toEqual(['applied', 'edited', 'applied'])
    expect(await migrate(database.owner, { direction: 'up', folder })).toEqual([])
  })

  test('takes a file with other line ends for the same', async () => {
    await migrate(database.owner, { direction: 'up', folder })
    put('0001_fruit.sql', ONE.replaceAll('\n', '\r\n'))
    expect(await states()).toEqual(['applied', 'applied', 'applied'])
  })

  test('of a newer database is told, which neither way touches', async () => {
    await migrate(database.owner, { direction: 'up', folder })
    rmSync(join(folder, '0003_number.sql'))
    expect(await states()).toEqual(['applied', 'applied', 'unknown'])
    for (const direction of ['up', 'down'] as const) {
      await expect(migrate(database.owner, { direction, folder })).rejects.toThrow(
        'Database is at migration 3, this build knows 2: deploy a newer mcp-user-context, or migrate down with the build that made it',
      )
    }
  })
})

describe('print', () => {
  test('gives SQL that does what up does, from nothing or from where the database is', async () => {
    // The printed SQL begins and commits by itself, which takes a client of one connection.
    await using one = await createTestDatabase({ max: 1 }, 'empty')
    const { owner } = one
    const states = async () => (await migrationStatus(owner, { folder })).map(({ state }) => state)
    await migrate(owner, { direction: 'up', to: 1, folder })
    await owner.unsafe(await printMigrations(owner, { folder })).simple()
    expect(await states()).toEqual(['applied', 'applied', 'applied'])
    expect(await printMigrations(owner, { folder })).toBe('')

    await migrate(owner, { direction: 'down', to: 0, folder })
    await owner.unsafe(await printMigrations(null, { folder })).simple()
    expect(await states()).toEqual(['applied', 'applied', 'applied'])
  })
})

describe('the migrations of this package', () => {
  test('go up, down to nothing, and up again', async () => {
    const { owner } = database
    const up = await migrate(owner, { direction: 'up' })
    expect(Number.parseInt(up.at(-1) ?? '', 10)).toBe(SCHEMA_VERSION)
    expect(await migrate(owner, { direction: 'down', to: 0 })).toEqual(up.toReversed())
    const left = await owner`
      select relname as name from pg_class where relnamespace = 'public'::regnamespace
      union all select proname from pg_proc where pronamespace = 'public'::regnamespace
      union all select typname from pg_type where typnamespace = 'public'::regnamespace`
    expect([...left]).toEqual([])
    await migrate(owner, { direction: 'up' })
    expect(await databaseState(owner)).toEqual({ migration: SCHEMA_VERSION, state: 'current' })
  })
})
