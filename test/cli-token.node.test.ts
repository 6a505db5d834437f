import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { findAccessToken } from '../src/auth/access-tokens.ts'
import { UsageError } from '../src/cli-run.ts'
import { ACCESS_TOKEN_COMMANDS } from '../src/cli-token.ts'
import { createLedger } from '../src/ledger/ledger.ts'
import { createTestDatabase, type TestDatabase } from './support/database.ts'
import { callerNamed, requestBy } from './support/ledger.ts'

let database: TestDatabase
let alice: string
beforeAll(async () => {
  database = await createTestDatabase()
  const caller = await callerNamed('alice')
  await createLedger(database.sql).admit(requestBy(caller, { calls: [] }))
  alice = caller.firstId
})
afterAll(() => database[Symbol.asyncDispose]())
afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
})

/** What a command prints. In this process: one of its own costs seconds. */
async function said(command: string, ...args: string[]): Promise<string> {
  vi.stubEnv('DATABASE_URL', database.ownerUrl)
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  try {
    await ACCESS_TOKEN_COMMANDS[command]?.(args)
    return write.mock.calls
      .map(([text]) => String(text))
      .join('')
      .trim()
  } finally {
    write.mockRestore()
  }
}

test('makes, lists and revokes access tokens, on record', async () => {
  const token = await said('create', '--user', alice, '--name', 'laptop', '--scope', 'tools', '--days', '7')
  expect(token).toMatch(/^mcpuc_pat_[0-9A-Za-z]{49}$/)
  const found = await findAccessToken(database.sql, token)
  expect(found).toMatchObject({ user: { id: alice }, scopes: ['tools'] })
  const service = await said('create', '--service', 'export')
  expect(await findAccessToken(database.sql, service)).toMatchObject({ user: null })

  const listed = JSON.parse(await said('list', '--json')) as { token_id: string; name: string }[]
  expect(listed).toMatchObject([
    { service: 'export', name: 'command line' },
    { user_id: alice, name: 'laptop' },
  ])
  const id = listed[1]!.token_id
  expect(await said('list', '--user', alice)).toMatch(
    new RegExp(`^token .*\n${id} +${alice} +laptop +tools +live `),
  )

  expect(await said('revoke', id)).toBe(`revoked ${id}`)
  expect(await findAccessToken(database.sql, token)).toBeNull()
  await expect(said('revoke', id)).rejects.toThrow(`There is no live token ${id}`)
  expect(await said('list', '--user', alice, '--all')).toContain(' revoked ')
  const lines = await database.sql`
    select actor_kind, action, target_id = ${id} as laptops from archon_mcp_audit order by at`
  expect([...lines]).toEqual([
    { actor_kind: 'cli', action: 'token.created', laptops: true },
    { actor_kind: 'cli', action: 'token.created', laptops: false },
    { actor_kind: 'cli', action: 'token.revoked', laptops: true },
  ])
})

test.each<[string, string[], string]>([
  ['nobody', ['create'], 'Whose is it to be?'],
  ['two', ['create', '--user', crypto.randomUUID(), '--service', 's'], 'Whose is it to be?'],
  ['no id', ['create', '--user', 'alice'], '--user takes the id of a user'],
  ['too long', ['create', '--service', 's', '--days', '367'], '--days takes a whole number from 1 to 366'],
  ['no scope', ['create', '--service', 's', '--scope', 'a b'], '--scope takes one scope'],
  ['no token', ['revoke', 'x'], 'Which token?'],
])('says what is wrong: %s', async (_, [command = '', ...args], says) => {
  const run = said(command, ...args)
  await expect(run).rejects.toThrow(says)
  await expect(run).rejects.toBeInstanceOf(UsageError)
})

test('knows who has never been here', async () => {
  const run = said('create', '--user', crypto.randomUUID())
  await expect(run).rejects.toThrow('Nobody with this id has ever signed in here')
})
