import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { connect, type Sql } from '../../src/db/client.ts'
import { SCHEMA_VERSION, databaseState } from '../../src/db/schema-version.ts'
import { prepareTrialDatabase, startTrialServer, useTrialServer } from '../../src/trial/database.ts'
import { startPostgres } from '../../src/trial/postgres.ts'
import { processStart } from '../../src/trial/processes.ts'

const SCRIPT = fileURLToPath(new URL('../support/trial-process.ts', import.meta.url).href)

/** As a home folder may be: closed to everybody else. */
let home: string
/** As the temporary folder is: anybody may pass. */
let open: string
let folder: string
const children: ChildProcess[] = []

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'trial-'))
  open = mkdtempSync(join(tmpdir(), 'trial-'))
  chmodSync(open, 0o755)
  folder = join(home, '.data')
})
afterEach(async () => {
  for (const child of children.splice(0)) await ended(child, 'SIGINT')
  for (const made of [home, open]) rmSync(made, { recursive: true })
})

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill(signal)
  await exit
}

interface Running {
  child: ChildProcess
  url: string
  /** The process of the server. */
  server: number
  /** Where its data lies. */
  folder: string
}

/** Starts the trial in a process of its own. */
async function startElsewhere(environment: NodeJS.ProcessEnv = {}): Promise<Running> {
  const child = spawn(process.execPath, [SCRIPT, folder], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  children.push(child)
  // Its output may end before what it said of the reason has been read.
  const closed = new Promise((resolve) => child.once('close', resolve))
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  for await (const line of createInterface(child.stdout)) {
    const running: Omit<Running, 'child'> = JSON.parse(line)
    return { child, ...running }
  }
  await closed
  throw new Error(errors)
}

/** A machine that has these programs alone. */
function machineWith(programs: string[]): NodeJS.ProcessEnv {
  const [bin, temporary] = [join(open, 'bin'), join(open, 'tmp')]
  for (const made of [bin, temporary]) mkdirSync(made)
  for (const name of programs) {
    const program = ['/bin', '/usr/bin'].map((place) => join(place, name)).find((each) => existsSync(each))
    if (program) symlinkSync(program, join(bin, name))
  }
  return { PATH: bin, TMPDIR: temporary }
}

async function query<T>(url: string, run: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = connect(url, { max: 1 })
  try {
    return await run(sql)
  } finally {
    await sql.end()
  }
}

const words = (url: string) => query(url, async (sql) => [...(await sql`select * from last_words`)])

describe('an embedded server', () => {
  test('for tests leaves neither process nor folder', async () => {
    const postgres = await startPostgres({ durable: false })
    const [row] = await query(
      postgres.url,
      (sql) => sql`select current_setting('listen_addresses') as at, current_setting('fsync') as fsync`,
    )
    expect(row).toEqual({ at: '127.0.0.1', fsync: 'off' })
    await postgres.stop()
    await postgres.stop()
    expect(processStart(postgres.pid)).toBeNull()
    expect(existsSync(dirname(postgres.dataDir))).toBe(false)
  })

  test('lets nobody in without the password', async () => {
    await using postgres = await startPostgres({ durable: false })
    const url = new URL(postgres.url)
    url.password = 'guessed'
    await expect(query(url.href, (sql) => sql`select 1`)).rejects.toMatchObject({ code: '28P01' })
  })

  test('keeps its data, and leaves a stranger alone that has the number of its last process', async () => {
    const first = await startTrialServer(folder)
    const [row] = await query(first.ownerUrl, (sql) => sql`select current_setting('fsync') as fsync`)
    expect(row).toEqual({ fsync: 'on' })
    await query(first.ownerUrl, (sql) => sql`create table last_words as select 'kept' as words`)
    await first.stop()

    const stranger = spawn(process.execPath, ['-e', 'setInterval(() => {}, 60_000)'], { stdio: 'ignore' })
    children.push(stranger)
    writeFileSync(
      join(folder, 'postgres', 'postmaster.pid'),
      `${stranger.pid}\n${join(folder, 'postgres')}\n`,
    )
    const second = await startTrialServer(folder)
    expect(await words(second.ownerUrl)).toEqual([{ words: 'kept' }])
    await second.stop()
    expect(processStart(stranger.pid ?? 0)).not.toBeNull()
  })

  test.runIf(process.getuid?.() === 0)(
    'works for root on copies, where others may pass neither the folder nor into a namespace',
    async () => {
      const machine = machineWith(['test', 'true'])
      const first = await startElsewhere(machine)
      expect(first.folder.startsWith(`${open}/tmp/`)).toBe(true)
      await query(first.url, (sql) => sql`create table last_words as select 'kept' as words`)
      await ended(first.child, 'SIGKILL')
      const second = await startElsewhere(machine)
      expect(second.folder).toBe(first.folder)
      expect(await words(second.url)).toEqual([{ words: 'kept' }])
      await query(second.url, (sql) => sql`drop table last_words`)
    },
  )
})

describe('after the owner was killed', () => {
  test.each(['ends with it', 'outlives it'])('the next one takes over, when the server %s', async (fate) => {
    const first = await startElsewhere(
      fate === 'outlives it' ? machineWith(['test', 'true', 'unshare', 'ps']) : {},
    )
    await query(first.url, (sql) => sql`create table last_words as select 'kept' as words`)
    await ended(first.child, 'SIGKILL')
    if (fate === 'outlives it') expect(processStart(first.server)).not.toBeNull()

    const second = await startTrialServer(folder)
    expect(processStart(first.server)).toBeNull()
    expect(await words(second.ownerUrl)).toEqual([{ words: 'kept' }])
    await second.stop()
  })
})

describe('while another owner runs', () => {
  test('a second start is refused, and a command uses the running server', async () => {
    const { url, child, server } = await startElsewhere()
    await expect(startTrialServer(folder)).rejects.toThrow(
      `The trial is already running as process ${child.pid}: stop it first, or set DATABASE_URL to another database`,
    )
    const used = await useTrialServer(folder)
    expect(used.ownerUrl).toBe(url)
    await used.stop()
    expect(processStart(server)).not.toBeNull()
  })

  test('of five that find a dead owner at once, one gets the data', async () => {
    const first = await startElsewhere()
    await ended(first.child, 'SIGKILL')
    const all = await Promise.allSettled([1, 2, 3, 4, 5].map(() => startElsewhere()))
    expect(all.map(({ status }) => status).sort()).toEqual(['fulfilled', ...Array(4).fill('rejected')])
    for (const each of all) {
      if (each.status === 'rejected') expect(String(each.reason)).toContain('The trial is already running')
    }
  })
})

test('Ctrl-C reaches the process, which can still write before it stops the server', async () => {
  const { child, server } = await startElsewhere()
  const exit = once(child, 'exit')
  process.kill(-(child.pid ?? 0), 'SIGINT') // as a terminal does: to the whole process group
  expect(await exit).toEqual([0, null])
  expect(processStart(server)).toBeNull()

  const next = await startTrialServer(folder)
  expect(await words(next.ownerUrl)).toEqual([{ words: 'still here' }])
  await next.stop()
})

test("the trial's database is migrated, and its application login owns nothing", async () => {
  const server = await startTrialServer(folder)
  for (const start of [1, 2]) {
    const { appUrl } = await prepareTrialDatabase(server.ownerUrl)
    await query(appUrl, async (sql) => {
      expect(await databaseState(sql), `start ${start}`).toEqual({
        migration: SCHEMA_VERSION,
        state: 'current',
      })
      const [row] = await sql`
        select rolsuper as super, rolbypassrls as bypass,
               pg_has_role(current_user, 'service_role', 'member') as service,
               pg_has_role(current_user, 'authenticated', 'member') as authenticated,
               exists (select from pg_class where relowner = pg_roles.oid) as owns
        from pg_roles where rolname = current_user`
      expect(row).toEqual({ super: false, bypass: false, service: true, authenticated: true, owns: false })
    })
  }
  await server.stop()
  expect(readFileSync(join(folder, 'postgres', 'PG_VERSION'), 'utf8')).toMatch(/^\d+/)
})
