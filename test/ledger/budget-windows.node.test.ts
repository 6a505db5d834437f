import { describe, expect, it } from 'vitest'
import { type Sql } from '../../src/db/client.ts'
import { runLedger } from '../../src/ledger/statement.ts'
import { success } from '../support/ledger.ts'
import { budgetsOf, differences, putQuota } from '../support/quotas.ts'
import {
  answers,
  ask,
  asking,
  budget,
  close,
  database,
  estimate,
  MINUTE,
  NOON,
  now,
  open,
  pass,
  setTime,
  SECOND,
  somebody,
  sweep,
  used,
  useBudgets,
} from './budget-support.ts'

useBudgets()

describe('a window', () => {
  const MIDNIGHT = new Date('2026-03-11T00:00:00Z')

  it('begins with nothing used', async () => {
    const id = await putQuota(database.sql, { limit: 1 }, now)
    const caller = await somebody()
    expect(await answers([caller, caller])).toEqual([true, false])
    setTime(new Date(MIDNIGHT.getTime() - 1))
    expect(await answers([caller])).toEqual([false])
    setTime(MIDNIGHT)
    expect(await answers([caller, caller])).toEqual([true, false])
    expect(await budgetsOf(database.sql, id)).toMatchObject([{ starts_at: MIDNIGHT, held: '1' }])
  })

  it('is the one in which a call was admitted, whenever it ends', async () => {
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 100 }, now)
    const caller = await somebody()
    const [before, lost] = [
      await open(caller, estimate(30)),
      await open(caller, { holdSeconds: 60, ...estimate(50) }),
    ]
    setTime(MIDNIGHT)
    await open(caller, estimate(70))
    await close(before, used(99))
    await sweep()
    expect(await budgetsOf(database.sql, id)).toMatchObject([
      { starts_at: MIDNIGHT, used: '0', held: '70', excess: '0', excess_calls: 0 },
    ])
    await close(lost, used(1000))
    expect(await budget(id)).toEqual({ used: '0', held: '70' })
    expect((await ask(caller, estimate(30))).admitted).toBe(true)
  })

  it('that nobody has begun yet takes nothing of what ends in it either', async () => {
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 100 }, now)
    const caller = await somebody()
    const before = await open(caller, estimate(30))
    setTime(MIDNIGHT)
    await close(before, used(99))
    await open(caller, estimate(100))
    expect(await budgetsOf(database.sql, id)).toMatchObject([{ starts_at: MIDNIGHT, used: '0', held: '100' }])
  })

  it('holds in its own zone, from its own hour', async () => {
    // 06:00 in New York is 10:00 UTC in March.
    await putQuota(database.sql, { limit: 1, timezone: 'America/New_York', hour: 6 }, now)
    const caller = await somebody()
    setTime(new Date('2026-03-11T09:59:59Z'))
    expect((await ask(caller)).admitted).toBe(true)
    expect(await ask(caller)).toMatchObject({ budget: { resetsAt: new Date('2026-03-11T10:00:00Z') } })
    setTime(new Date('2026-03-11T10:00:00Z'))
    expect((await ask(caller)).admitted).toBe(true)
  })

  it('does not go back when one clock is behind the other', async () => {
    const id = await putQuota(database.sql, { limit: 2 }, now)
    const caller = await somebody()
    setTime(MIDNIGHT)
    await open(caller)
    setTime(new Date(MIDNIGHT.getTime() - SECOND))
    expect(await answers([caller, caller])).toEqual([true, false])
    expect(await budgetsOf(database.sql, id)).toMatchObject([{ starts_at: MIDNIGHT, held: '2' }])
  })

  it('counts the tokens of a call that costs no request as part of the window in which it began', async () => {
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 100 }, now)
    const caller = await somebody()
    await close(await open(caller), used(10))
    setTime(MIDNIGHT)
    const connecting = await open(caller, { method: 'initialize', tool: null })
    await close(connecting, used(5))
    await close(await open(caller), used(20))
    // 25, or 20 where such calls count nothing at all; but one and the same for the budget and for its calls.
    expect(await differences(database.sql)).toEqual([])
    expect((await budgetsOf(database.sql, id))[0]!.starts_at).toEqual(MIDNIGHT)
  })
})

describe('a budget that is made in the middle of a window', () => {
  it.each(['everyone', 'user', 'department', 'each_user', 'each_department'] as const)(
    'for %s starts from what the window holds already: ended calls as used, open ones as held',
    async (scope) => {
      const caller = await somebody('Sales')
      setTime(new Date('2026-03-10T11:59:59Z'))
      await close(await open(caller), used(1000)) // an hour ago
      setTime(NOON)
      await close(await open(caller, estimate(20)), used(30))
      await open(caller, estimate(25))
      const lost = await open(caller, { holdSeconds: 60, ...estimate(5) })
      pass(2 * MINUTE)
      await sweep()
      const subject = { user: caller.firstId, department: 'Sales' }[scope as string]
      const quota = {
        scope,
        metric: 'tokens',
        limit: 100,
        window: 'hour',
        ...(subject === undefined ? {} : { subject }),
      } as const
      const id = await putQuota(database.sql, quota, now)
      expect((await ask(caller, estimate(41))).admitted).toBe(false)
      expect(await budgetsOf(database.sql, id)).toMatchObject([
        { used: '35', held: '25', excess: '10', excess_calls: 1 },
      ])
      expect((await ask(caller, estimate(40))).admitted).toBe(true)
      await close(lost, used(0))
      expect(await budget(id)).toEqual({ used: '30', held: '65' })
    },
  )

  it('for models starts from what they used', async () => {
    const caller = await somebody()
    await close(await open(caller), [...used(10, '0', 'large'), ...used(20, '0', 'small')])
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 10, models: ['large'] }, now)
    expect(await budget(id)).toEqual({ used: '10', held: '0' })
    expect((await ask(caller)).admitted).toBe(false)
  })

  it('waits for the calls that are on their way, and counts them', async () => {
    const caller = await somebody()
    let made: Promise<string> | undefined
    await database.sql.begin(async (transaction) => {
      const group = { requests: [asking(caller)], closes: [], refusals: [] }
      await runLedger(transaction as unknown as Sql, group, { again: false, now })
      made = putQuota(database.owner, { limit: 1 }, now)
      await Promise.race([made, database.sql`select pg_sleep(0.05)`])
    })
    expect(await budget(await made!)).toEqual({ used: '0', held: '1' })
  })

  it('counts a call that ends at the very moment at which another makes the budget', async () => {
    const caller = await somebody()
    const first = await open(caller, estimate(10))
    const id = await putQuota(database.sql, { scope: 'each_user', metric: 'tokens', limit: 100 }, now)
    await database.sql.begin(async (transaction) => {
      const group = { requests: [], closes: [success(first, { usage: used(3) })], refusals: [] }
      await runLedger(transaction as unknown as Sql, group, { again: false, now })
      // The end is written, and not committed. (Where this waits for it, all is well too.)
      await Promise.race([ask(caller, estimate(20)), database.owner`select pg_sleep(0.3)`])
    })
    await expect.poll(() => budget(id)).toEqual({ used: '3', held: '20' })
  })
})

describe('a change of a quota', () => {
  it('takes effect at once, and keeps what was used', async () => {
    const caller = await somebody()
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 100 }, now)
    await close(await open(caller, estimate(50)), used(60))
    await open(caller, estimate(30))
    expect((await ask(caller, estimate(11))).admitted).toBe(false)
    expect(await putQuota(database.sql, { metric: 'tokens', limit: 101 }, now)).toBe(id)
    expect((await ask(caller, estimate(11))).admitted).toBe(true)
    expect(await putQuota(database.sql, { id, metric: 'tokens', limit: 5 }, now)).toBe(id)
    expect(await ask(caller)).toMatchObject({
      code: 'quota_exceeded',
      budget: { limit: '5', remaining: '0' },
    })
    expect(await budgetsOf(database.sql, id)).toMatchObject([
      { used: '60', held: '41', excess: '10', excess_calls: 1 },
    ])
  })

  it('to another window counts that window', async () => {
    const caller = await somebody()
    setTime(new Date('2026-03-09T12:00:00Z'))
    await close(await open(caller), used(7))
    setTime(NOON)
    await close(await open(caller), used(1))
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 100 }, now)
    expect(await budget(id)).toEqual({ used: '1', held: '0' })
    await putQuota(database.sql, { id, metric: 'tokens', limit: 100, window: 'week' }, now)
    expect(await budget(id)).toEqual({ used: '8', held: '0' })
    await putQuota(database.sql, { id, metric: 'requests', limit: 100, window: 'week' }, now)
    expect(await budget(id)).toEqual({ used: '2', held: '0' })
  })

  it('to another holder leaves the one before', async () => {
    const [ann, ben] = [await somebody(), await somebody()]
    await putQuota(database.sql, { scope: 'each_user', limit: 1 }, now)
    const own = await putQuota(database.sql, { scope: 'user', subject: ann.firstId, limit: 3 }, now)
    expect(await answers([ann, ann, ben, ben])).toEqual([true, true, true, false])
    await putQuota(database.sql, { id: own, scope: 'user', subject: ben.firstId, limit: 3 }, now)
    expect(await answers([ann, ben, ben, ben])).toEqual([false, true, true, false])
  })

  it.each(['observe', 'warn'] as const)('to %s admits again, and back to enforce refuses', async (mode) => {
    const caller = await somebody()
    const id = await putQuota(database.sql, { limit: 1 }, now)
    expect(await answers([caller, caller])).toEqual([true, false])
    await putQuota(database.sql, { id, limit: 1, mode }, now)
    expect(await answers([caller, caller])).toEqual([true, true])
    await putQuota(database.sql, { id, limit: 1 }, now)
    expect(await answers([caller])).toEqual([false])
  })
})
