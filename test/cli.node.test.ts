import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { jwtVerify } from 'jose'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CLEAN_ENV } from './support/clean-env.ts'
import { startTrialServer } from '../src/trial/database.ts'
import { loadIdentity } from '../src/trial/identity.ts'
import { createTestDatabase } from './support/database.ts'

const MIGRATIONS = readdirSync(fileURLToPath(new URL('../migrations', import.meta.url).href)).length
const CLI = fileURLToPath(new URL('../src/cli.ts', import.meta.url).href)

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cli-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

/** Runs the command in a folder of its own, with nothing configured but what is given. */
async function run(args: string[], environment: Record<string, string> = {}) {
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd: folder,
    env: { ...CLEAN_ENV, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { out, err, code: code as unknown }
}

describe('what is not a command ends with 2 and says why', () => {
  test.each([
    [[], 'Give a command'],
    [['launch'], 'Unknown command "launch"'],
    [['toString'], 'Unknown command "toString"'],
    [['migrate'], 'migrate what?'],
    [['migrate', 'sideways'], '"sideways" is not one of up, down, status, print'],
    [['migrate', 'up', 'now'], 'Unexpected argument "now"'],
    [['migrate', 'up', '--fast'], "Unknown option '--fast'"],
    [['migrate', 'up', '--all'], '--all belongs to "migrate down"'],
    [['migrate', 'down', '--to', '1', '--all'], 'not both'],
    [['migrate', 'down', '--to', 'one'], '--to takes the number of a migration'],
    [['migrate', 'status', '--to', '1'], '--to belongs to'],
    [['token'], 'Whose token?'],
    [['token', ' '], 'A name has 1 to 100 characters'],
    [['token', 'Alice', 'Admin'], 'Unexpected argument "Admin": put a name of several words in quotes'],
    [['token', 'alice', '--role', 'root'], '"root" is not one of member, manager, finance, admin, service'],
    [['token', 'alice', '--role'], 'argument missing'],
  ])('%j', async (args, reason) => {
    const { out, err, code } = await run(args)
    expect(err).toContain(reason)
    expect(err).toContain('Usage: mcp-user-context COMMAND')
    expect({ out, code }).toEqual({ out: '', code: 2 })
    expect(existsSync(join(folder, '.data'))).toBe(false)
  })

  test('a token for keys that are elsewhere', async () => {
    const { err, code } = await run(['token', 'alice'], { JWKS_URL: 'https://id.example.com/jwks' })
    expect(err).toContain('only it can sign tokens')
    expect(code).toBe(2)
  })

  test('a secret that no server would take', async () => {
    const identity = { JWT_ISSUER: 'https://id.example.com', JWT_AUDIENCE: 'here' }
    const { out, err, code } = await run(['token', 'alice'], {
      SUPABASE_JWT_SECRET: 'too short',
      ...identity,
    })
    expect(err).toContain('at least 32 bytes')
    expect(err).not.toContain('too short')
    expect({ out, code }).toEqual({ out: '', code: 2 })
  })

  test('a secret without an issuer', async () => {
    const { err, code } = await run(['token', 'alice'], { SUPABASE_JWT_SECRET: 's'.repeat(32) })
    expect(err).toContain('Beside SUPABASE_JWT_SECRET set JWT_ISSUER')
    expect(code).toBe(2)
  })
})

test('help is no mistake', async () => {
  const { out, err, code } = await run(['--help'])
  expect(out).toContain('Usage: mcp-user-context COMMAND')
  expect({ err, code }).toEqual({ err: '', code: 0 })
})

type Provider = Record<'secret' | 'issuer' | 'audience', string>

async function verified(token: string, { secret, issuer, audience }: Provider) {
  const key = new TextEncoder().encode(secret)
  return (await jwtVerify(token, key, { issuer, audience, algorithms: ['HS256'] })).payload
}

describe('token', () => {
  test('prints a token of the trial and nothing else, whether its server runs or not', async () => {
    const args = [
      'token',
      'Dora Doe',
      '--role',
      'manager',
      '--department',
      'Sales',
      '--email',
      'dora@example.org',
    ]
    const { out, err, code } = await run(args)
    expect({ err, code }).toEqual({ err: '', code: 0 })
    expect(out).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/)
    expect(await verified(out.trim(), loadIdentity(join(folder, '.data')))).toMatchObject({
      email: 'dora@example.org',
      user_metadata: { full_name: 'Dora Doe' },
      app_metadata: { role: 'manager', department: 'Sales' },
    })
  })

  test('is signed for the identity provider of the environment', async () => {
    const provider = {
      secret: 'a secret of at least 32 characters',
      issuer: 'https://id.example.com',
      audience: 'mcp',
    }
    const { out } = await run(['token', 'alice'], {
      SUPABASE_JWT_SECRET: provider.secret,
      JWT_ISSUER: provider.issuer,
      JWT_AUDIENCE: 'mcp, other',
    })
    expect(await verified(out.trim(), provider)).toMatchObject({ email: 'alice@example.com' })
    expect(existsSync(join(folder, '.data'))).toBe(false)
  })
})

const kept = (rows: string) => `${rows} set aside in archon_mcp_set_aside, until migrate up`

describe('migrate', () => {
  test('goes up, tells the status, and goes down, on the database it is given', async () => {
    await using database = await createTestDatabase({}, 'empty')
    const environment = { DATABASE_URL: database.ownerUrl }
    const migrate = async (...args: string[]) => {
      const { out, err, code } = await run(['migrate', ...args], environment)
      expect({ err, code }).toEqual({ err: '', code: 0 })
      return out.trim().split('\n')
    }
    expect(await migrate('status')).toHaveLength(MIGRATIONS)
    expect(await migrate('up', '--to', '1')).toEqual(['up 0001_roles.sql'])
    expect(await migrate('up')).toHaveLength(MIGRATIONS - 1)
    expect(await migrate('up')).toEqual(['Nothing to do'])
    expect((await migrate('status'))[0]).toMatch(/^applied {2}0001_roles\.sql \d{4}-\d\d-\d\dT/)
    expect(await migrate('print')).toEqual([''])
    expect(await migrate('down')).toHaveLength(1)
    expect(await migrate('down', '--all')).toHaveLength(MIGRATIONS - 1)
    expect(existsSync(join(folder, '.data'))).toBe(false)
  })

  test('tells how many rows it set aside and took back', async () => {
    await using database = await createTestDatabase()
    await database.owner`insert into archon_mcp_users (user_id, issuer, subject) values (gen_random_uuid(), 'i', 's')`
    await database.owner`insert into archon_mcp_sessions (era) values ('2025-11-25'), (null)`
    const environment = { DATABASE_URL: database.ownerUrl }
    const down = await run(['migrate', 'down', '--all'], environment)
    expect({ err: down.err, code: down.code }).toEqual({ err: '', code: 0 })
    expect(down.out.split('\n').filter((line) => line.includes('set_aside'))).toEqual([
      // That row-level security was on for Archon's tables.
      kept('3 rows of archon_mcp_adopted'),
      kept('1 row of archon_mcp_memberships'),
      kept('1 row of archon_mcp_users'),
      kept('1 row of archon_mcp_sessions'),
      kept('2 rows of archon_mcp_sessions'),
    ])
    const up = await run(['migrate', 'up'], environment)
    expect(up.out).toContain(
      '2 rows of archon_mcp_sessions taken back from archon_mcp_set_aside\nup 0002_archon',
    )
  })

  test('prints everything when there is no database to look at', async () => {
    const { out, code } = await run(['migrate', 'print'])
    expect(code).toBe(0)
    expect(out).toContain('create table if not exists archon_mcp_migrations')
    expect(out.match(/^insert into archon_mcp_migrations/gm)).toHaveLength(MIGRATIONS)
    expect(existsSync(join(folder, '.data'))).toBe(false)
  })

  test("works on the trial's database, running or not", async () => {
    const cold = await run(['migrate', 'up'])
    expect({ err: cold.err, code: cold.code }).toEqual({ err: '', code: 0 })
    const server = await startTrialServer(join(folder, '.data'))
    const warm = await run(['migrate', 'down'])
    expect({ ...warm, out: warm.out.trim().split('\n').length }).toEqual({ out: 1, err: '', code: 0 })
    expect(JSON.parse(readFileSync(join(folder, '.data', 'trial.json'), 'utf8'))).toMatchObject({
      pid: process.pid,
    })
    await server.stop()
  })

  test('that finds no database ends with 1 and one sentence', async () => {
    const { out, err, code } = await run(['migrate', 'up'], {
      DATABASE_URL: 'postgres://nobody:secret@127.0.0.1:1/none',
    })
    expect({ out, code }).toEqual({ out: '', code: 1 })
    expect(err).toContain('ECONNREFUSED')
    expect(err).not.toContain('secret')
  })
})
