import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { CLEAN_ENV } from './support/clean-env.ts'
import { createLedger } from '../src/ledger/ledger.ts'
import { insertSampleData } from '../src/trial/sample-data.ts'
import { createTestDatabase, type TestDatabase } from './support/database.ts'
import { callerNamed, callOf, requestBy, success } from './support/ledger.ts'

const CLI = fileURLToPath(new URL('../src/cli.ts', import.meta.url).href)

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())
beforeEach(() => database.owner`delete from archon_mcp_quotas`)

async function run(...args: string[]) {
  const env = { ...CLEAN_ENV, DATABASE_URL: database.ownerUrl }
  const child = spawn(process.execPath, [CLI, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { out, err, code: code as unknown }
}

/** Runs what must succeed. @returns what it printed. */
async function said(...args: string[]): Promise<string> {
  const { out, err, code } = await run(...args)
  expect({ err, code }).toEqual({ err: '', code: 0 })
  return out.trim()
}

async function call(name: string, cost = '0.25'): Promise<void> {
  const ledger = createLedger(database.sql)
  const wanted = callOf()
  await ledger.admit(requestBy(await callerNamed(name), { calls: [wanted] }))
  const usage = [{ model: 'small', promptTokens: 1, completionTokens: 0, cost }]
  await ledger.close(success(wanted.id, { usage }))
}

const typed = (...options: string[]) => options.map((option) => `--${option}`)
const budget = typed('scope=each_user', 'metric=requests', 'limit=1', 'window=total')

describe('quota', () => {
  test('sets, lists, changes and removes', async () => {
    expect(await said('quota', 'list')).toBe('There are no quotas')
    const narrowed = typed('tool=search', 'tool=echo', 'warn-at=0.5', 'warn-at=0.9', 'mode=warn')
    const month = typed('scope=department', 'subject=sales', 'metric=cost', 'limit=100.50', 'window=month')
    const anchored = typed('timezone=Asia/Kolkata', 'day-of-month=31', 'hour=0')
    const [did, id = ''] = (await said('quota', 'set', ...month, ...anchored, ...narrowed)).split(' ')
    expect(did).toBe('created')
    const [quota] = JSON.parse(await said('quota', 'list', '--json')) as unknown[]
    expect(quota).toMatchObject({
      quota_id: id,
      scope: 'department',
      subject: 'sales',
      limit: '100.5',
      timezone: 'Asia/Kolkata',
      anchor: { day_of_month: 31, hour: 0 },
      tools: ['echo', 'search'],
      mode: 'warn',
      warn_at: [0.5, 0.9],
      used: '0',
    })
    expect(await said('quota', 'set', ...month, ...typed(`id=${id}`, 'day-of-month=1'))).toBe(`changed ${id}`)
    const table = (await said('quota', 'list')).split('\n')
    expect(table.map((line) => line.split(/\s{2,}/).slice(0, 6))).toEqual([
      ['quota', 'whose', 'what', 'limit', 'used', 'held'],
      [id, 'department sales', 'cost per month', '100.5', '0', '0'],
    ])
    expect(await said('quota', 'remove', id)).toBe(`removed ${id}`)
    const again = await run('quota', 'remove', id)
    expect(again).toEqual({ out: '', err: `There is no quota ${id}\n`, code: 1 })
  })

  test('sets rates', async () => {
    await said(
      'quota',
      'set',
      ...typed('kind=rate', 'scope=everyone', 'limit=60', 'window-seconds=60', 'burst=5'),
    )
    expect(await said('quota', 'list')).toMatch(/everyone +calls per 60s +60 +enforce$/)
  })

  test('previews', async () => {
    await call('alice')
    await call('alice')
    const [head, columns, alice] = (await said('quota', 'preview', ...budget, '--days', '7')).split('\n')
    expect(head).toBe('In the last 7 days it would have refused 1 of 2 calls')
    expect(columns).toMatch(/^refused {2}whom +department +first +last$/)
    expect(alice).toMatch(/^ {6}1 {2}alice@example\.com +\d{4}-/)
    expect(await said('quota', 'preview', ...budget, '--limit', '2')).toBe(
      'In the last 30 days it would have refused 0 of 2 calls',
    )
  })

  const wrong: [args: string[], ...reasons: string[]][] = [
    [[], 'quota what?'],
    [['toString'], '"toString" is not one of list, set, remove, preview'],
    [['list', 'all'], 'Unexpected argument "all"'],
    [['remove', 'mine'], 'Which quota?'],
    [['set'], '--scope: ', '--limit: ', '--metric: ', '--window: '],
    [['set', ...budget, ...typed('subject=x', 'hour=x', 'limit=-')], '--subject: ', '--hour: ', '--limit: '],
    [['set', ...budget, ...typed('window-seconds=60')], 'Unrecognized key: "window_seconds"'],
    [['set', ...budget, ...typed('timezone=Mars/Olympus')], '--timezone: is not a time zone'],
    [['set', ...budget, ...typed('colour=red')], "Unknown option '--colour'"],
    [['preview', ...budget, ...typed('days=0', 'mode=block')], '--days: ', '--mode: '],
  ]
  test.each(wrong)('%j ends with 2 and says why', async (args, ...reasons) => {
    const { out, err, code } = await run('quota', ...args)
    for (const reason of reasons) expect(err).toContain(reason)
    expect({ out, code }).toEqual({ out: '', code: 2 })
  })
})

describe('doctor', () => {
  test('finds a budget that does not say what its calls do, and sets it right on the record', async () => {
    const [, id] = (await said('quota', 'set', ...budget, '--tool', 'echo', '--limit', '10')).split(' ')
    await call('carol')
    const { firstId } = await callerNamed('carol')
    const rolledUp = 'roll-ups checked: all agree with their calls'
    const agrees = `1 budget checked: all agree with their calls\n${rolledUp}`
    expect(await said('doctor', '--ledger')).toBe(agrees)

    await database.owner`update archon_mcp_budgets set used = 7, held = 2`
    const difference = `${id} of user ${firstId}: used 7, held 2; its calls used 1, hold 0`
    const found = '1 budget checked: 1 differed from the calls'
    const { out, code } = await run('doctor', '--ledger')
    expect({ out, code }).toEqual({
      out: `${difference}\n${found}; --fix sets that right\n${rolledUp}\n`,
      code: 1,
    })
    expect(await said('doctor', '--ledger', '--fix')).toContain(`${difference}\n${found}, and say now`)
    expect(await said('doctor', '--ledger')).toBe(agrees)
    const repairs = await database.owner`
      select quota_id, holder, used_before::integer, held_before::integer, used_after::integer, held_after::integer
      from archon_mcp_repairs`
    expect([...repairs]).toEqual([
      {
        quota_id: id,
        holder: `user ${firstId}`,
        used_before: 7,
        held_before: 2,
        used_after: 1,
        held_after: 0,
      },
    ])
  })

  test('finds a roll-up that does not say what its calls do, and makes it anew on the record', async () => {
    const { firstId } = await callerNamed('dora')
    await call('dora')
    await database.owner`update archon_mcp_user_days set calls = calls + 2, cost = cost + 0.5 where user_id = ${firstId}`
    const { out, code } = await run('doctor', '--ledger')
    const today = new Date().toISOString().slice(0, 10)
    expect(out).toContain(`user_days of ${today}, ${firstId}: cost +0.5, calls +2\n`)
    expect(out).toMatch(/^user_totals of .*: cost -0.5, calls -2$/m)
    expect(out).toContain('roll-ups checked: 2 rows differed from the calls; --fix sets that right\n')
    expect(code).toBe(1)
    expect(await said('doctor', '--ledger', '--fix')).toContain(
      '2 rows differed from the calls, and were made anew',
    )
    expect(await said('doctor', '--ledger')).toContain('roll-ups checked: all agree with their calls')
    const records = await database.owner`
      select rollup, from_day::text, differed::integer, calls_beyond::integer, cost_beyond::float8
      from archon_mcp_rebuilds order by rollup`
    expect([...records]).toEqual([
      { rollup: 'user_days', from_day: today, differed: 1, calls_beyond: 2, cost_beyond: 0.5 },
      { rollup: 'user_totals', from_day: today, differed: 1, calls_beyond: -2, cost_beyond: -0.5 },
    ])
  })

  test.each([
    [['--fix'], '--fix belongs to --ledger'],
    [['--ledger', 'now'], 'Unexpected argument "now"'],
  ])('%j ends with 2 and says why', async (args, reason) => {
    const { err, code } = await run('doctor', ...args)
    expect(err).toContain(reason)
    expect(code).toBe(2)
  })
})

test('takes the sample data away by one command', async () => {
  await insertSampleData(database.owner)
  expect(await said('sample', 'remove')).toBe('Removed 30 sample users')
  expect(await said('sample', 'remove')).toBe('Removed 0 sample users')
  expect((await run('sample')).code).toBe(2)
})
