import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CLEAN_ENV } from './support/clean-env.ts'
import { ledgerOf } from '../src/ledger/ledger.ts'
import { createTestDatabase, type TestDatabase } from './support/database.ts'
import { callerNamed, requestBy } from './support/ledger.ts'

const CLI = fileURLToPath(new URL('../src/cli.ts', import.meta.url).href)

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

async function run(...args: string[]) {
  const env = { ...CLEAN_ENV, DATABASE_URL: database.ownerUrl }
  const child = spawn(process.execPath, [CLI, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { out, err, code: code as unknown }
}

test('erase tells what would go, then does it, then knows nobody', async () => {
  const uma = await callerNamed('uma')
  await ledgerOf(database.sql).admit(requestBy(uma, { calls: [] }))
  const trial = await run('erase', uma.firstId, '--dry-run')
  expect(trial.out).toMatch(/archon_mcp_users +1\n(.*\n)*Nothing was changed\n$/)
  expect((await run('erase', uma.firstId)).out).toMatch(/archon_mcp_users +1\n(.*\n)*Erased at 2/)
  expect(await run('erase', uma.firstId)).toMatchObject({
    err: 'Nothing is kept of a user with this id\n',
    code: 1,
  })
  const lines = await database.sql`select actor_kind, action from archon_mcp_audit`
  expect([...lines]).toEqual([{ actor_kind: 'cli', action: 'user.erased' }])
})

test('retention shows and sets for how long data is kept', async () => {
  expect((await run('retention')).out).toContain('calls     are kept for ever\n')
  const { out } = await run('retention', '--calls', '400', '--audit', 'forever', '--names', 'off')
  expect(out).toMatch(
    /^calls     are kept for 400 days\n(.*\n)*audit     are kept for ever\nnames     are not stored\n$/,
  )
})

test.each([
  [['erase'], 'Who is to be erased?'],
  [['erase', 'uma'], 'Who is to be erased?'],
  [['retention', '--calls', '61'], '--calls takes days from 62 to 36500, or "forever"'],
  [['retention', '--names', 'no'], '--names takes on or off'],
])('%j ends with 2 and says why', async (args, reason) => {
  const { err, code } = await run(...args)
  expect(err).toContain(reason)
  expect(code).toBe(2)
})
