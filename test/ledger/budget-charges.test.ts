import { describe, expect, it } from 'vitest'
import { success } from '../support/ledger.ts'
import { budgetsOf, putQuota } from '../support/quotas.ts'
import {
  answers,
  ask,
  budget,
  close,
  database,
  estimate,
  instance,
  MINUTE,
  now,
  open,
  pass,
  SECOND,
  somebody,
  sweep,
  used,
  useBudgets,
} from './budget-support.ts'

useBudgets()

describe('what a budget counts', () => {
  it('the calls of its tools alone', async () => {
    const caller = await somebody()
    const id = await putQuota(database.sql, { limit: 2, tools: ['search', 'fetch'] }, now)
    const tools = ['search', 'echo', 'fetch', 'search', null, 'echo']
    const admitted: boolean[] = []
    for (const tool of tools) admitted.push((await ask(caller, { tool })).admitted)
    expect(admitted).toEqual([true, true, true, false, true, true])
    expect(await budget(id)).toEqual({ used: '0', held: '2' })
  })

  it.each([
    ['requests', 1, '1'],
    ['tokens', 30, '30'],
    ['cost', '0.30', '0.3'],
  ] as const)(
    '%s of its models: known when a call has ended, so that the next call is stopped',
    async (metric, limit, spent) => {
      const caller = await somebody()
      const id = await putQuota(database.sql, { metric, limit, models: ['large', 'huge'] }, now)
      const [first, second, third] = [
        await open(caller, estimate(1000, '1000')),
        await open(caller),
        await open(caller),
      ]
      expect(await budget(id)).toEqual({ used: '0', held: '0' })
      await close(first, used(500, '5', 'small'))
      await close(second, [
        ...used(10, '0.10', 'large'),
        ...used(20, '0.20', 'huge'),
        ...used(99, '9', 'small'),
      ])
      expect(await budget(id)).toEqual({ used: spent, held: '0' })
      expect(await ask(caller)).toMatchObject({ code: 'quota_exceeded', budget: { metric, remaining: '0' } })
      // One that was running counts in full.
      await close(third, used(1000, '10'))
      expect(await budget(id)).toEqual({
        used: { requests: '2', tokens: '1030', cost: '10.3' }[metric],
        held: '0',
      })
    },
  )

  it.each(['initialize', 'server/discover', 'ping', 'subscriptions/listen'])(
    'nothing of %s',
    async (method) => {
      const id = await putQuota(database.sql, { limit: 0 }, now)
      const caller = await somebody()
      for (const scope of ['each_user', 'each_department'] as const)
        await putQuota(database.sql, { scope, metric: 'tokens', limit: 0 }, now)
      expect((await ask(caller, { method, tool: null, ...estimate(10) })).admitted).toBe(true)
      expect((await ask(caller)).admitted).toBe(false)
      expect(await budget(id)).toEqual({ used: '0', held: '0' })
    },
  )

  it('no request for a round that asks the client for input', async () => {
    const id = await putQuota(database.sql, { limit: 1 }, now)
    const caller = await somebody()
    const round = await open(caller)
    await instance().close(success(round, { round: true }))
    expect(await budget(id)).toEqual({ used: '0', held: '0' })
    expect((await ask(caller)).admitted).toBe(true)
  })

  it('prices of models, where the tool says no cost', async () => {
    await database.owner`
      insert into archon_llm_pricing (model_name, provider, input_price_per_1k, output_price_per_1k, effective_date)
      values ('priced', 'test', 0.001, 0.01, '2026-01-01')`
    const id = await putQuota(database.sql, { metric: 'cost', limit: 1 }, now)
    const call = await open(await somebody(), estimate(0, '0.5'))
    await close(call, [{ model: 'priced', promptTokens: 1, completionTokens: 1 }])
    expect(await budget(id)).toEqual({ used: '0.000011', held: '0' })
  })
})

describe('an estimate', () => {
  it.each([
    // limit, estimate, how many fit
    [100, 40, 2],
    [100, 50, 2],
    [100, 100, 1],
    [100, 101, 0],
  ])('must fit: of %i tokens, calls of %i fit %i times', async (limit, tokens, fits) => {
    await putQuota(database.sql, { metric: 'tokens', limit }, now)
    const caller = await somebody()
    const all = await answers([caller, caller, caller], estimate(tokens))
    expect(all.filter(Boolean)).toHaveLength(fits)
  })

  it('of nothing is refused when all is used, and not before', async () => {
    await putQuota(database.sql, { metric: 'tokens', limit: 100 }, now)
    const caller = await somebody()
    const [first, second] = [await open(caller), await open(caller)]
    await close(first, used(99))
    const third = await open(caller)
    await close(second, used(1))
    expect((await ask(caller)).admitted).toBe(false)
    await close(third)
    expect((await ask(caller)).admitted).toBe(false)
  })

  it('gives back what was not used', async () => {
    const id = await putQuota(database.sql, { metric: 'cost', limit: '1.00' }, now)
    const caller = await somebody()
    const first = await open(caller, estimate(0, '1'))
    expect((await ask(caller, estimate(0, '0.9'))).admitted).toBe(false)
    await close(first, used(10, '0.0999999999'))
    expect(await budget(id)).toEqual({ used: '0.0999999999', held: '0' })
    expect((await ask(caller, estimate(0, '0.9'))).admitted).toBe(true)
  })

  it('that is exceeded is charged in full, and the excess is counted', async () => {
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 100 }, now)
    const caller = await somebody()
    const [first, second] = [await open(caller, estimate(50)), await open(caller, estimate(50))]
    await close(first, used(130))
    await close(second, used(50))
    expect(await budgetsOf(database.sql, id)).toMatchObject([
      { used: '180', held: '0', excess: '80', excess_calls: 1 },
    ])
    expect(await ask(caller)).toMatchObject({
      code: 'quota_exceeded',
      budget: { limit: '100', remaining: '0' },
    })
  })
})

describe('a call that nobody closes', () => {
  it('is charged at its estimate when its hold is over, and flagged', async () => {
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 100 }, now)
    const requests = await putQuota(database.sql, { metric: 'requests', limit: 100 }, now)
    const call = await open(await somebody(), { holdSeconds: 60, ...estimate(40) })
    pass(MINUTE)
    await sweep()
    expect(await budget(id)).toEqual({ used: '0', held: '40' })
    pass(1)
    await sweep()
    expect([await budget(id), await budget(requests)]).toEqual([
      { used: '40', held: '0' },
      { used: '1', held: '0' },
    ])
    const [row] = await database.sql`
      select status, hold_expired, total_tokens from archon_mcp_requests where request_id = ${call}`
    expect(row).toEqual({ status: 'timeout', hold_expired: true, total_tokens: 40 })
    await sweep()
    expect(await budget(id)).toEqual({ used: '40', held: '0' })
  })

  it.each([
    // used in truth, then: used, excess, calls in excess
    [0, '0', '0', 0],
    [15, '15', '0', 0],
    [40, '40', '0', 0],
    [100, '100', '60', 1],
  ])('and then ends late, with %i tokens, is corrected', async (tokens, expected, excess, excessCalls) => {
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 1000 }, now)
    const call = await open(await somebody(), { holdSeconds: 60, ...estimate(40) })
    pass(2 * MINUTE)
    await sweep()
    await close(call, used(tokens))
    expect(await budgetsOf(database.sql, id)).toMatchObject([
      { used: expected, held: '0', excess, excess_calls: excessCalls },
    ])
    await close(call, used(999))
    expect(await budget(id)).toEqual({ used: expected, held: '0' })
  })

  it('and then ends late as a round costs no request after all', async () => {
    const id = await putQuota(database.sql, { limit: 1 }, now)
    const call = await open(await somebody(), { holdSeconds: 60 })
    pass(2 * MINUTE)
    await sweep()
    await instance().close(success(call, { round: true }))
    expect(await budget(id)).toEqual({ used: '0', held: '0' })
  })

  it('keeps what it holds while its stream is open', async () => {
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 100 }, now)
    const call = await open(await somebody(), { holdSeconds: 60, ...estimate(40) })
    pass(50 * SECOND)
    await instance().renew([{ id: call, holdSeconds: 60 }])
    pass(50 * SECOND)
    await sweep()
    expect(await budget(id)).toEqual({ used: '0', held: '40' })
  })
})
