import { describe, expect, it } from 'vitest'
import { previewQuota } from '../../src/reports/quota-preview.ts'
import { callerNamed, requestBy, JUDGED } from '../support/ledger.ts'
import { at, line, NOON, usePricedCalls } from '../support/priced-calls.ts'
import { budgetsOf, type BudgetToPut, putQuota } from '../support/quotas.ts'

const calls = usePricedCalls()
const refuseUnpriced = (quota: Partial<BudgetToPut> = {}): Promise<string> =>
  putQuota(
    calls.database.sql,
    { metric: 'unpriced', limit: 1, scope: 'each_user', window: 'total', ...quota },
    NOON,
  )
/** How the next call of somebody is answered; it ends without a word. */
async function next(who = 'alice', tool = 'echo'): Promise<unknown> {
  const [call] = requestBy(null).calls
  const request = requestBy(await callerNamed(who), { calls: [{ ...call!, tool }], quotas: JUDGED })
  const verdict = await calls.ledger().admit(request)
  if (verdict.admitted) return 'admitted'
  return [verdict.code, verdict.budget?.metric, verdict.budget?.remaining]
}
const REFUSED = ['quota_exceeded', 'unpriced', '0']
const used = async (id: string) =>
  (await budgetsOf(calls.database.sql, id)).map((budget) => [budget.used, budget.held, budget.excess])

describe('a budget of unpriced calls', () => {
  it('stops the call after the one that used a model without a price, of that user alone', async () => {
    const id = await refuseUnpriced()
    await calls.price('known', '1', '2026-03-01')
    await calls.call([line('known', 1000), line('told', 1000, '0.5')])
    await calls.call([])
    expect(await next()).toBe('admitted')
    await calls.call([line('known', 1000), line('new', 1)])
    expect(await next()).toEqual(REFUSED)
    expect(await next('bob')).toBe('admitted')
    expect(await used(id)).toEqual([
      ['1', '0', '0'],
      ['0', '0', '0'],
    ])
  })

  it('lets in again when the model has a price and its calls are priced anew', async () => {
    const id = await refuseUnpriced({ scope: 'everyone' })
    await calls.call([line('new', 1000), line('newer', 1000)])
    await calls.price('new', '1', '2026-03-01')
    await calls.march()
    // One of its models has none yet.
    expect(await next('bob')).toEqual(REFUSED)
    await calls.price('newer', '1', '2026-03-01')
    await calls.march()
    expect(await next('bob')).toBe('admitted')
    expect(await used(id)).toEqual([['0', '0', '0']])
  })

  it('counts calls, and not models; as many as it says', async () => {
    await refuseUnpriced({ limit: 2 })
    await calls.call([line('new', 1), line('newer', 1)])
    expect(await next()).toBe('admitted')
    await calls.call([line('newer', 1)])
    expect(await next()).toEqual(REFUSED)
  })

  it('may be narrowed to tools, and to models', async () => {
    await refuseUnpriced({ tools: ['search'] })
    const models = await refuseUnpriced({ models: ['new', 'newer'], limit: 3, window: 'month' })
    await calls.call([line('other', 1)], { call: { tool: 'search' } })
    expect(await next('alice', 'search')).toEqual(REFUSED)
    expect(await next()).toBe('admitted')
    await calls.call([line('new', 1), line('newer', 1), line('other', 1)])
    expect(await used(models)).toEqual([['1', '0', '0']])
    await calls.price('new', '1', '2026-03-01')
    await calls.march()
    expect(await used(models)).toEqual([['1', '0', '0']])
    await calls.price('newer', '1', '2026-03-01')
    await calls.march()
    expect(await used(models)).toEqual([['0', '0', '0']])
  })

  it('of a call that was taken for lost counts when it ends after all', async () => {
    const id = await refuseUnpriced()
    const call = await callerNamed('alice').then((caller) => requestBy(caller, { quotas: JUDGED }))
    await calls.ledger().admit(call)
    await calls.database.sql`select archon_mcp_sweep(${at(11)}, 10)`
    expect(await used(id)).toEqual([['0', '0', '0']])
    await calls.ledger().close({
      id: call.calls[0]!.id,
      status: 'success',
      durationMs: 5,
      error: null,
      usage: [line('new', 1)],
    })
    expect(await used(id)).toEqual([['1', '0', '0']])
  })

  it('says beforehand whom it would have refused', async () => {
    for (const day of [1, 2, 3]) await calls.call([line('new', 1)], { day })
    await calls.call([line('new', 1)], { day: 2, who: 'bob' })
    const proposed = {
      kind: 'budget' as const,
      scope: 'each_user',
      subject: null,
      metric: 'unpriced',
      amount: '1',
      window: 'month',
      timezone: 'UTC',
      anchorDay: null,
      anchorHour: null,
      windowSeconds: null,
      burst: null,
      tools: null,
      models: null,
    }
    const { calls: all, refused } = await previewQuota(calls.database.sql, proposed, 30, at(20))
    expect([all, refused]).toEqual([4, 2])
  })

  it('cannot allow none, which would refuse every call', async () => {
    await expect(refuseUnpriced({ limit: 0 })).rejects.toMatchObject({ code: '23514' })
  })
})
