import { describe, expect, it } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import { runLedger } from '../../src/ledger/statement.ts'
import {
  type AdmissionRequest,
  type CallToOpen,
  type Ledger,
  type LedgerCaller,
  type Verdict,
} from '../../src/ledger/types.ts'
import { callOf, counting, requestBy, success } from '../support/ledger.ts'
import { type BudgetToPut, budgetsOf, differences, putQuota, removeQuota } from '../support/quotas.ts'
import {
  answers,
  ask,
  asking,
  budget,
  database,
  estimate,
  HOUR,
  instance,
  MINUTE,
  NOON,
  now,
  open,
  pass,
  refusals,
  SECOND,
  somebody,
  used,
  useBudgets,
} from './budget-support.ts'

useBudgets()

describe('a quota that does not enforce', () => {
  it.each(['observe', 'warn'] as const)(
    '(%s) admits, and counts what it would have refused',
    async (mode) => {
      const caller = await somebody()
      const id = await putQuota(database.sql, { limit: 2, mode }, now)
      expect(await answers([caller, caller, caller, caller, caller])).toEqual(Array(5).fill(true))
      expect(await budget(id)).toEqual({ used: '0', held: '5' })
      expect(await refusals()).toEqual([
        {
          quarter: NOON,
          user: caller.subject,
          code: 'quota_exceeded',
          quota_id: id,
          enforced: false,
          calls: 3,
        },
      ])
    },
  )

  it('stands beside one that does', async () => {
    const caller = await somebody()
    await putQuota(database.sql, { limit: 1, mode: 'observe', window: 'hour' }, now)
    const id = await putQuota(database.sql, { limit: 2 }, now)
    expect(await answers([caller, caller])).toEqual([true, true])
    expect(await ask(caller)).toMatchObject({ code: 'quota_exceeded', quotaId: id })
  })

  it('of a rate admits and counts too', async () => {
    const caller = await somebody()
    const id = await putQuota(
      database.sql,
      { scope: 'each_user', limit: 1, windowSeconds: 60, mode: 'observe' },
      now,
    )
    expect(await answers([caller, caller, caller])).toEqual([true, true, true])
    expect(await refusals()).toEqual([
      { quarter: NOON, user: caller.subject, code: 'rate_limited', quota_id: id, enforced: false, calls: 2 },
    ])
  })

  it('is shown to the caller where it warns, and hidden where it observes', async () => {
    const caller = await somebody()
    const id = await putQuota(database.sql, { limit: 1, mode: 'observe' }, now)
    expect(await ask(caller)).not.toHaveProperty('budget')
    await putQuota(database.sql, { id, limit: 1, mode: 'warn' }, now)
    expect(await ask(caller)).toMatchObject({ admitted: true, budget: { remaining: '0', warning: 0.95 } })
  })
})

it('warns at each of its thresholds', async () => {
  const caller = await somebody()
  await putQuota(database.sql, { limit: 10, warnAt: [0.5, 0.8, 0.95] }, now)
  const warnings: unknown[] = []
  for (let call = 0; call < 10; call += 1)
    warnings.push(((await ask(caller)) as { budget?: { warning: unknown } }).budget?.warning)
  expect(warnings).toEqual([null, null, null, null, 0.5, 0.5, 0.5, 0.8, 0.8, 0.95])
})

const send = (group: Partial<Parameters<typeof runLedger>[1]>, again: boolean) =>
  runLedger(database.sql, { requests: [], closes: [], refusals: [], ...group }, { again, now })

describe('a group that is sent again after its answer was lost', () => {
  it('holds what it opens once', async () => {
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 100 }, now)
    const requests = [asking(await somebody(), estimate(60))]
    for (const again of [false, true, true])
      expect(await send({ requests }, again)).toMatchObject([{ admitted: true }])
    expect(await budget(id)).toEqual({ used: '0', held: '60' })
  })

  it('charges what it closes once', async () => {
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 100 }, now)
    const closes = [success(await open(await somebody(), estimate(60)), { usage: used(70) })]
    const requests = [asking(await somebody(), estimate(5))]
    for (const again of [false, true]) await send({ requests, closes }, again)
    expect(await budgetsOf(database.sql, id)).toMatchObject([
      { used: '70', held: '5', excess: '10', excess_calls: 1 },
    ])
  })

  it('counts remembered refusals once', async () => {
    const caller = await somebody()
    const counted = {
      at: now,
      userId: caller.firstId,
      code: 'quota_exceeded',
      quotaId: null,
      calls: 7,
    } as const
    const requests = [asking(caller)]
    for (const again of [false, true]) await send({ requests, refusals: [counted] }, again)
    expect(await refusals()).toMatchObject([{ calls: 7 }])
  })
})

describe('refusals', () => {
  it('are counted for each user, limit and quarter of an hour', async () => {
    const [ann, ben] = [await somebody(), await somebody()]
    const id = await putQuota(database.sql, { scope: 'each_user', limit: 0 }, now)
    pass(14 * MINUTE + 59 * SECOND)
    await answers([ann, ann, ben])
    pass(SECOND)
    await answers([ann])
    const refused = { code: 'quota_exceeded', quota_id: id, enforced: true }
    expect(await refusals()).toEqual([
      { ...refused, quarter: NOON, user: ann.subject, calls: 2 },
      { ...refused, quarter: NOON, user: ben.subject, calls: 1 },
      { ...refused, quarter: new Date('2026-03-10T12:15:00Z'), user: ann.subject, calls: 1 },
    ])
  })

  it('make no row of a call', async () => {
    await putQuota(database.sql, { limit: 0 }, now)
    await ask(await somebody())
    expect(await database.sql`select from archon_mcp_requests`).toHaveLength(0)
  })

  it('of several limits at once: the configured ones are counted without a quota', async () => {
    const caller = await somebody()
    const rate = { limit: 1, windowSeconds: 60, burst: 1, per: 'user' } as const
    for (let call = 0; call < 3; call += 1) await instance().admit({ ...asking(caller), rate })
    for (let call = 0; call < 2; call += 1) await instance().admit({ ...asking(caller), maxCallsInFlight: 1 })
    const counted = { quarter: NOON, user: caller.subject, quota_id: null, enforced: true, calls: 2 }
    expect(await refusals()).toEqual(
      expect.arrayContaining([
        { ...counted, code: 'rate_limited' },
        { ...counted, code: 'too_many_calls' },
      ]),
    )
  })
})

describe('rates in the database', () => {
  const configured = { limit: 2, windowSeconds: 60, burst: 2, per: 'user' } as const
  const fast = async (
    caller: LedgerCaller | null,
    times: number,
    call: Partial<CallToOpen> = {},
  ): Promise<number> => {
    const verdicts: Verdict[] = []
    for (let time = 0; time < times; time += 1)
      verdicts.push(await instance().admit({ ...asking(caller, call), rate: configured }))
    return verdicts.filter(({ admitted }) => admitted).length
  }

  it('take the place of the configured one, for a user or for each', async () => {
    const [ann, ben] = [await somebody(), await somebody()]
    expect([await fast(ann, 3), await fast(ben, 3)]).toEqual([2, 2])
    const own = await putQuota(
      database.sql,
      { scope: 'user', subject: ann.firstId, limit: 5, windowSeconds: 60 },
      now,
    )
    expect([await fast(ann, 7), await fast(ben, 1)]).toEqual([5, 0])
    await putQuota(database.sql, { scope: 'each_user', limit: 1, windowSeconds: 60 }, now)
    expect([await fast(ann, 1), await fast(ben, 3)]).toEqual([0, 1])
    expect(await instance().admit({ ...asking(ann), rate: configured })).toMatchObject({
      code: 'rate_limited',
      quotaId: own,
      retryAfterMs: 12 * SECOND,
      rate: { limit: 5, windowSeconds: 60, remaining: 0 },
    })
  })

  it('of a department are shared by its users, beside each one’s own', async () => {
    const [ann, ben, cid] = [await somebody('Sales'), await somebody('Sales'), await somebody('Legal')]
    await putQuota(database.sql, { scope: 'department', subject: 'Sales', limit: 3, windowSeconds: 60 }, now)
    expect([await fast(ann, 3), await fast(ben, 3), await fast(cid, 3)]).toEqual([2, 1, 2])
  })

  it('of tools hold those, beside the configured one', async () => {
    const [ann, ben] = [await somebody(), await somebody()]
    await putQuota(database.sql, { scope: 'each_user', limit: 1, windowSeconds: 60, tools: ['slow'] }, now)
    expect([await fast(ann, 3, { tool: 'slow' }), await fast(ann, 3)]).toEqual([1, 1])
    expect(await fast(ben, 3)).toBe(2)
  })

  it('let as many come at once as their burst', async () => {
    const caller = await somebody()
    await putQuota(database.sql, { scope: 'each_user', limit: 60, windowSeconds: 60, burst: 3 }, now)
    expect(await fast(caller, 5)).toBe(3)
    pass(2 * SECOND)
    expect(await fast(caller, 5)).toBe(2)
  })

  it('are judged only where quotas are', async () => {
    const caller = await somebody()
    await putQuota(database.sql, { scope: 'each_user', limit: 1, windowSeconds: 60 }, now)
    const request = () => requestBy(caller, { rate: configured })
    const verdicts = [await instance().admit(request()), await instance().admit(request())]
    expect(verdicts.map(({ admitted }) => admitted)).toEqual([true, true])
  })

  it('are exact over several instances', async () => {
    const ledgers = Array.from({ length: 4 }, () => instance())
    await putQuota(database.sql, { limit: 50, windowSeconds: 60 }, now)
    const callers = await Promise.all(Array.from({ length: 5 }, () => somebody()))
    const verdicts = await Promise.all(
      Array.from({ length: 200 }, (_, at) => ledgers[at % 4]!.admit(asking(callers[at % 5]!))),
    )
    expect(verdicts.filter(({ admitted }) => admitted)).toHaveLength(50)
  })
})

/** Statements that a request costs. */
async function cost(ledger: Ledger, statements: () => number, request: AdmissionRequest) {
  const before = statements()
  const verdict = await ledger.admit(request)
  return { verdict, statements: statements() - before }
}
/** A request as that one, with calls of its own. */
const again = (request: AdmissionRequest): AdmissionRequest => ({
  ...request,
  calls: request.calls.map((call) => callOf({ ...call, id: callOf().id })),
})

/** The state of a rate, some time later. */
const rateLater = (verdict: Verdict, ms: number): object =>
  verdict.rate === undefined ? {} : { rate: { ...verdict.rate, resetMs: verdict.rate.resetMs - ms } }

describe('a refusal is remembered by the instance that gave it', () => {
  it.each([
    // What refuses, when it would admit again, and how long it is remembered.
    ['a budget', { limit: 1 }, 12 * HOUR, SECOND],
    ['a slow rate', { limit: 1, windowSeconds: 3600 }, HOUR, 5 * SECOND],
    ['a fast rate', { limit: 1, windowSeconds: 2 }, 2 * SECOND, 2 * SECOND],
  ] as const)('%s', async (_what, quota, retryAfterMs, remembered) => {
    await putQuota(database.sql, { scope: 'each_user', ...quota }, now)
    const { sql, statements } = counting(database.sql)
    const ledger = instance(sql)
    const request = asking(await somebody())
    await ledger.admit(request)
    await ledger.close(success(request.calls[0]!.id))
    const first = await cost(ledger, statements, again(request))
    expect(first).toMatchObject({ statements: 1, verdict: { admitted: false, retryAfterMs } })
    pass(remembered - 1)
    expect(await cost(ledger, statements, again(request))).toEqual({
      statements: 0,
      verdict: {
        ...first.verdict,
        retryAfterMs: retryAfterMs - remembered + 1,
        ...rateLater(first.verdict, remembered - 1),
      },
    })
    pass(1)
    expect((await cost(ledger, statements, again(request))).statements).toBe(1)
  })

  it('and counted, with the next group', async () => {
    const id = await putQuota(database.sql, { scope: 'each_user', limit: 0 }, now)
    const ledger = instance()
    const request = asking(await somebody(), {}, {})
    for (let time = 0; time < 6; time += 1) await ledger.admit(again(request))
    expect(await refusals()).toMatchObject([{ quota_id: id, calls: 2 }])
    await ledger.admit(asking(null))
    expect(await refusals()).toMatchObject([{ quota_id: id, enforced: true, calls: 12 }])
  })

  it('and counted as the database counts: what a client needs to connect is no call', async () => {
    await putQuota(database.sql, { scope: 'each_user', limit: 0 }, now)
    const ledger = instance()
    const request = asking(await somebody(), { method: 'ping', tool: null }, {})
    for (let time = 0; time < 3; time += 1) await ledger.admit(again(request))
    await ledger.admit(asking(null))
    expect(await refusals()).toMatchObject([{ calls: 3 }])
  })

  it.each([
    ['another caller', async (request: AdmissionRequest) => ({ ...request, caller: await somebody() })],
    ['another tool', (request: AdmissionRequest) => ({ ...request, calls: [callOf({ tool: 'other' })] })],
    ['a smaller estimate', (request: AdmissionRequest) => ({ ...request, calls: [callOf(estimate(1))] })],
    ['fewer calls', (request: AdmissionRequest) => ({ ...request, calls: request.calls.slice(1) })],
    [
      'a user who moved',
      (request: AdmissionRequest) => ({ ...request, caller: { ...request.caller!, department: 'Legal' } }),
    ],
  ])('which says nothing of %s', async (_what, other) => {
    await putQuota(database.sql, { metric: 'tokens', limit: 5 }, now)
    const { sql, statements } = counting(database.sql)
    const ledger = instance(sql)
    const request = asking(await somebody(), estimate(10), estimate(10))
    expect((await ledger.admit(request)).admitted).toBe(false)
    expect(await cost(ledger, statements, again(request))).toMatchObject({ statements: 0 })
    expect(await cost(ledger, statements, await other(again(request)))).toMatchObject({ statements: 1 })
  })

  it('for a second at most, when the limit is raised or what others held comes free', async () => {
    const caller = await somebody()
    const id = await putQuota(database.sql, { limit: 1 }, now)
    const ledger = instance()
    await open(caller)
    expect((await ledger.admit(asking(caller))).admitted).toBe(false)
    await putQuota(database.sql, { id, limit: 2 }, now)
    pass(999)
    expect((await ledger.admit(asking(caller))).admitted).toBe(false)
    pass(1)
    expect((await ledger.admit(asking(caller))).admitted).toBe(true)
  })
})

it('nothing is lost and nobody waits for ever when quotas are changed and checked under load', async () => {
  const errors: unknown[] = []
  const callers = await Promise.all(
    Array.from({ length: 8 }, (_, user) => somebody(['Sales', 'Legal', null][user % 3])),
  )
  const quotas = [
    { scope: 'everyone', metric: 'tokens', limit: 100_000 },
    { scope: 'each_user', metric: 'requests', limit: 1000, window: 'total' },
    { scope: 'each_department', metric: 'cost', limit: 1000, window: 'month' },
    { scope: 'user', subject: callers[0]!.firstId, metric: 'requests', limit: 1000, window: 'total' },
    { scope: 'everyone', metric: 'cost', limit: 1000, tools: ['echo'] },
  ] satisfies BudgetToPut[]
  const put = (at: number) => putQuota(database.sql, quotas[at % quotas.length]!)
  const ids = [await put(0), await put(1), await put(2), await put(3), await put(4)]
  const load = { running: true }
  const ledgers = Array.from({ length: 3 }, () =>
    createLedger(database.sql, { closeDelayMs: 0, maxGroupSize: 10, onError: (error) => errors.push(error) }),
  )
  const calls = ledgers.map(async (ledger, which) => {
    for (let round = 0; round < 15; round += 1) {
      await Promise.all(
        Array.from({ length: 12 }, async (_, at) => {
          const caller = callers[(at * 5 + round + which) % callers.length]!
          const request = asking(caller, { ...estimate(5, '0.01'), holdSeconds: at === 0 ? 0 : 300 })
          const verdict = await ledger.admit(request)
          if (verdict.admitted && at > 1)
            await ledger.close(success(request.calls[0]!.id, { usage: used(at, `0.00${at % 10}`) }))
        }),
      )
    }
  })
  const administrator = (async () => {
    for (let round = 0; load.running; round += 1) {
      if (round % 3 === 2) await removeQuota(database.sql, ids[round % ids.length]!)
      ids[round % ids.length] = await put(round)
      await database.sql`select archon_mcp_sweep(null, 100)`
    }
  })()
  const found: unknown[] = []
  const checker = (async () => {
    while (load.running) found.push(...(await differences(database.sql)))
  })()
  await Promise.all(calls).finally(() => {
    load.running = false
  })
  await Promise.all([administrator, checker])
  expect(found.slice(0, 3)).toEqual([])
  expect(errors).toEqual([])
})
