import { describe, expect, it } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import { type QuotaScope } from '../../src/ledger/types.ts'
import { callerNamed, requestBy, success } from '../support/ledger.ts'
import { type BudgetToPut, budgetsOf, putQuota, removeQuota } from '../support/quotas.ts'
import {
  answers,
  ask,
  asking,
  budget,
  close,
  database,
  estimate,
  HOUR,
  instance,
  MINUTE,
  now,
  open,
  pass,
  refusals,
  SECOND,
  somebody,
  sweep,
  used,
  useBudgets,
} from './budget-support.ts'

useBudgets()

describe('a budget is exact', () => {
  it.each([
    { metric: 'requests', limit: 50 },
    { metric: 'tokens', limit: 5049 }, // 100 for each call
    { metric: 'cost', limit: '0.0524999999' }, // 0.00105 for each call
  ] as const)('in $metric, however many instances are asked at once', async ({ metric, limit }) => {
    const id = await putQuota(database.sql, { metric, limit }, now)
    const caller = await somebody()
    const ledgers = Array.from({ length: 4 }, () => instance())
    const call = { ...estimate(100, metric === 'cost' ? '0.00105' : '0') }
    const admitted = (
      await Promise.all(Array.from({ length: 200 }, (_, at) => ledgers[at % 4]!.admit(asking(caller, call))))
    ).filter((verdict) => verdict.admitted)
    expect(admitted).toHaveLength(metric === 'cost' ? 49 : 50)
    const held = { requests: '50', tokens: '5000', cost: '0.05145' }[metric]
    expect(await budget(id)).toEqual({ used: '0', held })
    expect(await refusals()).toMatchObject([{ enforced: true, calls: 200 - admitted.length }])
  })

  it('while calls end at the same time, and leaves at most one estimate unused', async () => {
    const id = await putQuota(database.sql, { metric: 'cost', limit: '1' }, now)
    const callers = await Promise.all(Array.from({ length: 6 }, () => somebody()))
    const ledgers = Array.from({ length: 4 }, () => instance())
    let spent = 0
    await Promise.all(
      Array.from({ length: 200 }, async (_, at) => {
        const request = asking(callers[at % 6]!, estimate(0, '0.02'))
        const verdict = await ledgers[at % 4]!.admit(request)
        if (!verdict.admitted) return
        const thousandths = (at * 7) % 21
        spent += thousandths
        await ledgers[at % 4]!.close(
          success(request.calls[0]!.id, { usage: used(1, `${thousandths / 1000}`) }),
        )
      }),
    )
    expect(await budget(id)).toEqual({ used: String(spent / 1000), held: '0' })
    expect(spent).toBeLessThanOrEqual(1000)
    // What others held a moment ago may have refused a call that would fit now.
    while ((await ask(callers[0]!, estimate(0, '0.02'))).admitted) spent += 20
    expect(spent).toBeLessThanOrEqual(1000)
    expect(spent).toBeGreaterThan(980)
  })

  it('by the clock of the database too', async () => {
    const [each, hour] = [
      await putQuota(database.sql, { scope: 'each_user', window: 'total', limit: 3 }),
      await putQuota(database.sql, { scope: 'each_user', window: 'month', limit: 1000, hour: 3 }),
    ]
    const caller = await somebody()
    const ledgers = Array.from({ length: 4 }, () => createLedger(database.sql))
    const verdicts = await Promise.all(
      Array.from({ length: 20 }, (_, at) => ledgers[at % 4]!.admit(asking(caller))),
    )
    expect(verdicts.filter(({ admitted }) => admitted)).toHaveLength(3)
    expect([await budget(each), await budget(hour)]).toEqual([
      { used: '0', held: '3' },
      { used: '0', held: '3' },
    ])
  }, 5000)

  it('counts what a group ends before it judges what the group begins', async () => {
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 100 }, now)
    const caller = await somebody()
    const first = await open(caller, estimate(100))
    const ledger = instance()
    const closed = ledger.close(success(first, { usage: used(40) }))
    const verdict = await ledger.admit(asking(caller, estimate(60)))
    await closed
    expect(verdict.admitted).toBe(true)
    expect(await budget(id)).toEqual({ used: '40', held: '60' })
  })

  it('in its excess too, where the late ends of a group make up for one another', async () => {
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 100 }, now)
    const caller = await somebody()
    const lost = { holdSeconds: 60, ...estimate(20) }
    const [more, less] = [await open(caller, lost), await open(caller, lost)]
    pass(2 * MINUTE)
    await sweep()
    const ledger = instance()
    await Promise.all([
      ledger.close(success(more, { usage: used(27) })),
      ledger.close(success(less, { usage: used(13) })),
    ])
    expect(await budgetsOf(database.sql, id)).toMatchObject([
      { used: '40', held: '0', excess: '7', excess_calls: 1 },
    ])
  })
})

describe('several budgets', () => {
  it('admit a call only together: one that refuses keeps the others as they were', async () => {
    const caller = await somebody('Sales')
    const wide = await putQuota(database.sql, { limit: 100 }, now)
    const narrow = await putQuota(
      database.sql,
      { scope: 'department', subject: 'Sales', limit: 2, metric: 'requests' },
      now,
    )
    const tokens = await putQuota(database.sql, { scope: 'each_user', limit: 1000, metric: 'tokens' }, now)
    expect(await answers([caller, caller, caller, caller], estimate(10))).toEqual([true, true, false, false])
    expect([await budget(wide), await budget(narrow), await budget(tokens)]).toEqual([
      { used: '0', held: '2' },
      { used: '0', held: '2' },
      { used: '0', held: '20' },
    ])
  })

  it('refuse a batch whole, and count nothing of it', async () => {
    const id = await putQuota(database.sql, { limit: 10 }, now)
    const caller = await somebody()
    const batch = (size: number) => ask(caller, ...Array.from({ length: size }, () => ({})))
    expect((await batch(6)).admitted).toBe(true)
    expect((await batch(5)).admitted).toBe(false)
    expect(await budget(id)).toEqual({ used: '0', held: '6' })
    expect((await batch(4)).admitted).toBe(true)
    expect(await refusals()).toMatchObject([{ calls: 5 }])
  })

  it('let a refused call take nothing of a rate', async () => {
    await putQuota(database.sql, { metric: 'tokens', limit: 10 }, now)
    const caller = await somebody()
    const rate = { limit: 1, windowSeconds: 60, burst: 1, per: 'user' } as const
    const large = { ...asking(caller, estimate(11)), rate }
    const small = { ...asking(caller, estimate(10)), rate }
    expect(await instance().admit(large)).toMatchObject({ code: 'quota_exceeded' })
    expect(await instance().admit(small)).toMatchObject({ admitted: true })
  })

  it('name the one that refuses, when it comes back, and what is left of the others', async () => {
    const caller = await somebody('Sales')
    await putQuota(database.sql, { limit: 10, window: 'total', tools: ['echo', 'count'] }, now)
    const id = await putQuota(
      database.sql,
      { scope: 'department', subject: 'Sales', limit: 1, window: 'hour' },
      now,
    )
    await close(await open(caller))
    pass(10 * MINUTE)
    expect(await ask(caller)).toEqual({
      admitted: false,
      code: 'quota_exceeded',
      userId: caller.firstId,
      quotaId: id,
      retryAfterMs: 50 * MINUTE,
      budget: {
        scope: 'department',
        metric: 'requests',
        window: 'hour',
        limit: '1',
        remaining: '0',
        startsAt: new Date('2026-03-10T12:00:00Z'),
        resetsAt: new Date('2026-03-10T13:00:00Z'),
        warning: 0.95,
      },
      elsewhere: [
        {
          scope: 'everyone',
          metric: 'requests',
          window: 'total',
          tools: ['count', 'echo'],
          models: null,
          remaining: '9',
        },
      ],
      calls: 1,
    })
  })

  it('tell an admitted call of the one that is nearest to its end', async () => {
    const caller = await somebody()
    await putQuota(database.sql, { limit: 100 }, now)
    await putQuota(database.sql, { limit: '2.50', metric: 'cost', window: 'total' }, now)
    expect(await ask(caller, estimate(0, '0.10'))).toMatchObject({
      admitted: true,
      budget: {
        metric: 'cost',
        limit: '2.5',
        remaining: '2.4',
        startsAt: null,
        resetsAt: null,
        warning: null,
      },
    })
  })

  it.each([
    // What stands in the way, and when to come again.
    ['a window that ends', { window: 'day' }, 'used', 12 * HOUR],
    ['calls that run, and may use less', { window: 'day' }, 'held', SECOND],
    ['a window without an end', { window: 'total' }, 'used', undefined],
  ] as const)('say when to come again: %s', async (_what, quota, state, retryAfterMs) => {
    await putQuota(database.sql, { ...quota, limit: 1 }, now)
    const caller = await somebody()
    const id = await open(caller)
    if (state === 'used') await close(id)
    expect((await ask(caller)) as { retryAfterMs?: number }).toMatchObject(
      retryAfterMs === undefined ? { code: 'quota_exceeded' } : { retryAfterMs },
    )
    if (retryAfterMs === undefined) expect(await ask(caller)).not.toHaveProperty('retryAfterMs')
  })
})

describe('whom a budget holds', () => {
  const [yes, no] = [true, false]
  it.each<[QuotaScope, string | undefined, boolean[]]>([
    // Of one call each: ann, ann, ben (both of Sales), cid, cid (of Legal), dan, dan (of none), nobody, nobody
    ['user', 'ann', [yes, no, yes, yes, yes, yes, yes, yes, yes]],
    ['department', 'Sales', [yes, no, no, yes, yes, yes, yes, yes, yes]],
    ['everyone', undefined, [yes, no, no, no, no, no, no, no, no]],
    ['each_user', undefined, [yes, no, yes, yes, no, yes, no, yes, yes]],
    ['each_department', undefined, [yes, no, no, yes, no, yes, yes, yes, yes]],
  ])('%s %s', async (scope, subject, expected) => {
    const [ann, ben] = [
      await callerNamed('ann', { department: 'Sales' }),
      await callerNamed('ben', { department: 'Sales' }),
    ]
    const [cid, dan] = [await callerNamed('cid', { department: 'Legal' }), await callerNamed('dan')]
    const named = subject === 'ann' ? ann.firstId : subject
    await putQuota(database.sql, { scope, limit: 1, ...(named === undefined ? {} : { subject: named }) }, now)
    expect(await answers([ann, ann, ben, cid, cid, dan, dan, null, null])).toEqual(expected)
  })

  it('everyone alone, for a caller without a name', async () => {
    for (const scope of ['each_user', 'each_department'] as const)
      await putQuota(database.sql, { scope, limit: 0 }, now)
    expect((await ask(null)).admitted).toBe(true)
    await putQuota(database.sql, { scope: 'everyone', limit: 1 }, now)
    expect((await ask(null)).admitted).toBe(false)
    expect(await refusals()).toMatchObject([{ user: null, calls: 1 }])
  })

  it('a user at their very first call', async () => {
    const id = await putQuota(database.sql, { scope: 'each_user', metric: 'tokens', limit: 100 }, now)
    const unknown = await somebody()
    expect((await ask(unknown, estimate(101))).admitted).toBe(false)
    expect((await ask(unknown, estimate(100))).admitted).toBe(true)
    expect(await budget(id)).toEqual({ used: '0', held: '100' })
  })

  it('a user by a budget of their own, in place of the one for each', async () => {
    const [ann, ben] = [await somebody(), await somebody()]
    const each = await putQuota(database.sql, { scope: 'each_user', limit: 1 }, now)
    expect(await answers([ann, ann, ben, ben])).toEqual([true, false, true, false])
    const own = await putQuota(database.sql, { scope: 'user', subject: ann.firstId, limit: 3 }, now)
    expect(await answers([ann, ann, ann, ben])).toEqual([true, true, false, false])
    expect(await budgetsOf(database.sql, each)).toMatchObject([{ holder: `user ${ben.firstId}`, held: '1' }])
    expect(await budget(own)).toEqual({ used: '0', held: '3' })
    // Back under the one for each, with all that was used.
    await removeQuota(database.sql, own)
    expect(await answers([ann, ben])).toEqual([false, false])
    expect((await budgetsOf(database.sql, each)).map(({ held }) => held).toSorted()).toEqual(['1', '3'])
  })

  it.each([
    ['another metric', { metric: 'tokens' }],
    ['another window', { window: 'hour' }],
    ['other tools', { tools: ['echo'] }],
    ['other models', { models: ['large'] }],
  ] satisfies [string, Partial<BudgetToPut>][])('by both, where their own is of %s', async (_what, other) => {
    const ann = await somebody()
    await putQuota(database.sql, { scope: 'each_user', limit: 1 }, now)
    await putQuota(database.sql, { scope: 'user', subject: ann.firstId, limit: 100, ...other }, now)
    expect(await answers([ann, ann])).toEqual([true, false])
  })

  it('a department by one of its own, in place of the one for each', async () => {
    const [ann, cid] = [await somebody('Sales'), await somebody('Legal')]
    await putQuota(database.sql, { scope: 'each_department', limit: 1 }, now)
    await putQuota(database.sql, { scope: 'department', subject: 'Sales', limit: 2 }, now)
    expect(await answers([ann, ann, ann, cid, cid])).toEqual([true, true, false, true, false])
  })

  it('the department that a user belonged to at the time of the call', async () => {
    const ann = await somebody('Sales')
    const id = await putQuota(database.sql, { scope: 'each_department', metric: 'tokens', limit: 100 }, now)
    const call = await open(ann, estimate(10))
    const moved = { ...ann, department: 'Legal', issuedAt: new Date('2026-02-01T00:00:00Z') }
    await open(moved, estimate(20))
    await close(call, used(7))
    expect(await budgetsOf(database.sql, id)).toMatchObject([
      { holder: 'department Legal', used: '0', held: '20' },
      { holder: 'department Sales', used: '7', held: '0' },
    ])
  })

  it('calls of a piece that does not judge: they are charged, and never refused', async () => {
    const id = await putQuota(database.sql, { limit: 1 }, now)
    for (const each of [requestBy(null), requestBy(null)])
      expect((await instance().admit(each)).admitted).toBe(true)
    expect(await budget(id)).toEqual({ used: '0', held: '2' })
    expect((await ask(null)).admitted).toBe(false)
  })
})
