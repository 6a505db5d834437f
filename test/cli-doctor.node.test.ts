import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CLEAN_ENV } from './support/clean-env.ts'
import { databaseFindings, keyFindings } from '../src/checkup.ts'
import type { DatabaseFacts } from '../src/db/facts.ts'
import { SCHEMA_VERSION } from '../src/db/schema-version.ts'
import { createTestDatabase, type TestDatabase } from './support/database.ts'
import { configured } from './support/entry.ts'

const CLI = fileURLToPath(new URL('../src/cli.ts', import.meta.url).href)

async function doctor(environment: Record<string, string>) {
  const child = spawn(process.execPath, [CLI, 'doctor'], {
    env: { ...CLEAN_ENV, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { out, err, code: code as unknown }
}

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

describe('doctor', () => {
  it('finds nothing where nothing will bite', async () => {
    const { out, code } = await doctor(configured(database.url))
    expect(out).toMatch(
      /^database +Postgres \d+, as mcp_test_\w+, direct, clock -?\d+ ms ahead\nAll is well\n$/,
    )
    expect(code).toBe(0)
  })

  it('tells everything that will bite, with its remedy, and ends with 1', async () => {
    const keys = createServer((_request, response) => response.writeHead(500).end()).listen(0, '127.0.0.1')
    await once(keys, 'listening')
    const { port } = keys.address() as AddressInfo
    const { out, code } = await doctor({
      ...configured(database.ownerUrl),
      JWKS_URL: `http://127.0.0.1:${port}/jwks`,
    })
    keys.close()
    expect(out).toMatch(/^database +! \S+ (owns the tables|is above every policy)/m)
    expect(out).toContain(`The keys at 127.0.0.1:${port} (JWKS_URL) cannot be fetched: it answers 500`)
    expect(code).toBe(1)
  })

  it('says that a database is not migrated', async () => {
    await using empty = await createTestDatabase({}, 'empty')
    const { out, code } = await doctor(configured(empty.url))
    expect(out).toContain(`Database is at migration 0 of ${SCHEMA_VERSION}: run npm run migrate -- up`)
    expect(code).toBe(1)
  })

  it('says that a database is out of reach, without its password', async () => {
    const { out, code } = await doctor(configured('postgres://app:hunter22@127.0.0.1:1/none'))
    expect(out).toContain('is DATABASE_URL right, and the server up?')
    expect(out).not.toContain('hunter22')
    expect(code).toBe(1)
  })

  it('wants the environment of the server', async () => {
    const { err, code } = await doctor({})
    expect(err).toContain('There is nothing to look at: set the variables of the server')
    expect(code).toBe(2)
  })

  it('tells every fault of the configuration, and looks at the database all the same', async () => {
    const { out, code } = await doctor({ DATABASE_URL: database.url, SUPABASE_JWT_SECRET: 'short' })
    expect(out).toContain('configuration  ! SUPABASE_JWT_SECRET has 5 bytes')
    expect(out).toContain('configuration  ! JWT_ISSUER is not set')
    expect(out).toMatch(/^database +Postgres/m)
    expect(code).toBe(1)
  })
})

describe('what the doctor finds in a database', () => {
  const well: DatabaseFacts = {
    name: 'mcp_app',
    mighty: false,
    owns: false,
    missingRoles: [],
    schema: { migration: SCHEMA_VERSION, state: 'current' },
    openTables: [],
    serverVersion: 180_004,
    clockAheadMs: 20,
    pooled: false,
    cached: false,
  }
  const DIRECT = 'postgres://mcp_app:x@db.example.com/app'
  const POOLED = `${DIRECT}?profile=transaction-pooler`
  const found = (facts: Partial<DatabaseFacts>, { url = DIRECT, production = true } = {}): string[] =>
    databaseFindings({ production }, url, { ...well, ...facts }).map(({ sentence }) => sentence)

  it.each<[string, Partial<DatabaseFacts>, string]>([
    ['an old server', { serverVersion: 140_011 }, 'older than Postgres 15'],
    ['a newer schema', { schema: { migration: 9999, state: 'ahead' } }, 'at migration 9999'],
    ['a login that may not look', { schema: { migration: null, state: 'unreadable' } }, 'may not read'],
    ['a superuser', { mighty: true, owns: true }, 'mcp_app is above every policy'],
    ['the owner', { owns: true }, 'mcp_app owns the tables'],
    ['a login without rights', { missingRoles: ['authenticated'] }, 'run grant authenticated to mcp_app'],
    ['open tables', { openTables: ['archon_mcp_sessions'] }, 'select archon_mcp_enable_rls()'],
    ['a pooler', { pooled: true }, 'add ?profile=transaction-pooler'],
    ['a cache', { cached: true }, '--caching-disabled'],
    ['a fast clock', { clockAheadMs: 9000 }, '9 s ahead of this one'],
    ['a slow clock', { clockAheadMs: -61_000 }, '61 s behind this one'],
  ])('%s', (_name, facts, sentence) => {
    expect(found(facts)).toEqual([expect.stringContaining(sentence)])
  })

  it('is nothing where all is well, behind a pooler that is known too, and open tables outside production', () => {
    expect(found({})).toEqual([])
    expect(found({ pooled: true }, { url: POOLED })).toEqual([])
    expect(found({ openTables: ['archon_mcp_sessions'] }, { production: false })).toEqual([])
  })
})

describe('what the doctor finds in keys', () => {
  const URL_OF_KEYS = 'https://id.example.com/jwks?key=secret'

  it.each([
    [
      'keys that cannot be fetched',
      { failure: 'it answers 404' },
      'id.example.com (JWKS_URL) cannot be fetched',
    ],
    ['no key at all', { keys: 0 }, 'There is no key to verify with at id.example.com'],
  ])('%s', (_name, fetched, sentence) => {
    const findings = keyFindings(URL_OF_KEYS, fetched)
    expect(findings).toEqual([{ about: 'keys', sentence: expect.stringContaining(sentence) as string }])
    expect(JSON.stringify(findings)).not.toContain('secret')
  })

  it('is nothing where there is a key', () => {
    expect(keyFindings(URL_OF_KEYS, { keys: 1 })).toEqual([])
  })
})
