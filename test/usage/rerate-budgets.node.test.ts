import { describe, expect, it } from 'vitest'
import { CLI_ACTOR } from '../../src/audit.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import { rerate } from '../../src/usage/rerate.ts'
import { callerNamed, callOf, JUDGED, requestBy, success } from '../support/ledger.ts'
import { at, changed, line, NOON, usePricedCalls } from '../support/priced-calls.ts'
import { budgetsOf, type BudgetToPut, putQuota } from '../support/quotas.ts'

const calls = usePricedCalls()
const putBudget = (quota: Partial<BudgetToPut>, now: Date | null = null): Promise<string> =>
  putQuota(calls.database.sql, { metric: 'cost', limit: 1_000_000, ...quota }, now)

describe('budgets of cost', () => {
  it('move by the difference, each by what it counts', async () => {
    await calls.call([line('large', 1000)], { day: 1, department: 'sales', call: { tool: 'search' } })
    const quotas = {
      everyone: await putBudget({ window: 'month' }, NOON),
      user: await putBudget({ scope: 'each_user', window: 'month' }, NOON),
      sales: await putBudget({ scope: 'department', subject: 'sales', window: 'week' }, NOON),
      tool: await putBudget({ tools: ['search'], window: 'month' }, NOON),
      model: await putBudget({ models: ['large'], window: 'month' }, NOON),
      two: await putBudget({ models: ['large', 'small'], scope: 'each_department', window: 'total' }, NOON),
      tokens: await putBudget({ metric: 'tokens', window: 'month' }, NOON),
    }
    const estimate = { estimate: { tokens: 0, cost: '0.5' } }
    await calls.call([line('large', 1000), line('small', 2000)], { department: 'sales', call: estimate })
    await calls.call([line('small', 1000)], { who: 'bob', call: { tool: 'search' } })
    await calls.price('large', '1', '2026-03-01')
    await calls.price('small', '0.1', '2026-03-01')
    expect(changed(await calls.march())).toEqual([3, '0', '2.3'])
    const used = async (id: string) =>
      (await budgetsOf(calls.database.sql, id)).map((budget) => budget.used).toSorted()
    expect(await used(quotas.everyone)).toEqual(['2.3'])
    expect(await used(quotas.user)).toEqual(['0.1', '2.2'])
    expect(await used(quotas.sales)).toEqual(['1.2'])
    expect(await used(quotas.tool)).toEqual(['1.1'])
    expect(await used(quotas.model)).toEqual(['2'])
    expect(await used(quotas.two)).toEqual(['2.2'])
    expect(await used(quotas.tokens)).toEqual(['5000'])
    const [everyone] = await budgetsOf(calls.database.sql, quotas.everyone)
    expect(everyone).toMatchObject({ excess: '1.8', excess_calls: 3 })
    await calls.price('large', '0.01', '2026-03-01')
    expect(changed(await calls.march(['large']))).toEqual([2, '2.2', '0.22'])
    expect(await used(quotas.everyone)).toEqual(['0.32'])
    expect((await budgetsOf(calls.database.sql, quotas.everyone))[0]).toMatchObject({
      excess: '0.11',
      excess_calls: 2,
    })
  })

  it('refuse the next call when the correction used them up', async () => {
    await putBudget({ limit: 1, scope: 'each_user', window: 'total' })
    await calls.call([line('large', 1000)])
    await calls.price('large', '1', '2026-03-01')
    await calls.march()
    const verdict = await calls.ledger().admit(requestBy(await callerNamed('alice'), { quotas: JUDGED }))
    expect(verdict).toMatchObject({ admitted: false, code: 'quota_exceeded' })
  })

  it('that are missing are made from the calls as they are now', async () => {
    const id = await putBudget({ scope: 'each_user', window: 'total' })
    await calls.call([line('large', 1000)])
    await calls.database.owner`delete from archon_mcp_budgets`
    await calls.price('large', '1', '2026-03-01')
    await calls.march()
    expect(await budgetsOf(calls.database.sql, id)).toMatchObject([{ used: '1' }])
  })

  it('stay the sum of their calls while others are opened and closed, and prices change', async () => {
    for (const scope of ['everyone', 'each_user', 'each_department'] as const)
      for (const narrowed of [{}, { models: ['large'] }])
        for (const window of ['total', 'day'] as const) await putBudget({ scope, window, ...narrowed })
    await putBudget({ tools: ['search'], window: 'month' })
    for (const models of [undefined, ['small'], ['large', 'small']])
      await putBudget({ metric: 'unpriced', window: 'total', ...(models ? { models } : {}) })
    const today = new Date().toISOString().slice(0, 10)
    await calls.price('large', '1', today)
    const instances = Array.from({ length: 3 }, () => createLedger(calls.database.sql))
    // As who changes a quota does.
    const forgetBudgets = () =>
      calls.database.owner.begin(async (sql) => {
        await sql`lock table archon_mcp_quotas in exclusive mode`
        await sql`delete from archon_mcp_budgets where holder <> 'everyone'`
      })
    const work = instances.map(async (instance, number) => {
      for (let turn = 0; turn < 60; turn += 1) {
        const caller = await callerNamed(`user-${turn % 4}`, { department: turn % 2 ? 'sales' : 'research' })
        const wanted = callOf({ tool: turn % 3 ? 'echo' : 'search', estimate: { tokens: 0, cost: '0.5' } })
        const verdict = await instance.admit(requestBy(caller, { calls: [wanted], quotas: JUDGED }))
        expect(verdict).toMatchObject({ admitted: true })
        const usage = [line('large', 1000 + number), line('small', 500), line('told', 5, '0.125')]
        await instance.close(success(wanted.id, { usage }))
        if (turn % 20 === 10) await forgetBudgets()
      }
    })
    const corrections = [1, 2].map(async (who) => {
      for (let turn = 1; turn <= 12; turn += 1) {
        await calls.price('large', `${who}.${turn}`, today)
        await calls.price('small', `0.${turn}`, today)
        const models = turn % 3 === 0 ? ['small'] : null
        await rerate(calls.database.sql, { from: at(1), to: null, models }, CLI_ACTOR)
      }
    })
    await Promise.all([...work, ...corrections])
    await calls.price('large', '7', today)
    await rerate(calls.database.sql, { from: at(1), to: null, models: null }, CLI_ACTOR)
    const [row] = await calls.database.sql`
      select count(*)::integer as lines,
             count(*) filter (where model = 'large' and cost * 1000 <> prompt_tokens * 7)::integer as wrong
      from archon_mcp_usage`
    expect(row).toEqual({ lines: 540, wrong: 0 })
  })
})
