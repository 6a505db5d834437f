import { describe, expect, it, vi } from 'vitest'
import { CLI_ACTOR } from '../../src/audit.ts'
import { pgArray } from '../../src/db/client.ts'
import { putToolPrice } from '../../src/usage/prices.ts'
import { rerate } from '../../src/usage/rerate.ts'
import { callerNamed, callOf, JUDGED, requestBy } from '../support/ledger.ts'
import { at, changed, line, NOON, usePricedCalls } from '../support/priced-calls.ts'
import { budgetsOf, putQuota } from '../support/quotas.ts'

const calls = usePricedCalls()

describe('a call that is priced anew', () => {
  it('gets the price that was in force when it was made', async () => {
    await calls.price('large', '1', '2026-03-01')
    const ids = [
      await calls.call([line('large', 1000)], { day: 9 }),
      await calls.call([line('large', 1000)], { day: 11 }),
    ]
    await calls.price('large', '2', '2026-03-01')
    await calls.price('large', '5', '2026-03-11')
    expect(changed(await calls.march())).toEqual([2, '2', '7'])
    expect(await Promise.all(ids.map(calls.costOf))).toMatchObject([{ cost: '2' }, { cost: '5' }])
  })

  it.each(['Asia/Tokyo', 'America/Los_Angeles'])(
    'reads the day in UTC, whoever asks: also in %s',
    async (zone) => {
      const early = await calls.call([line('large', 1000)], { day: 9 })
      const late = await calls.call([line('large', 1000)], { day: 10 })
      await calls.database
        .owner`update archon_mcp_requests set timestamp = '2026-03-10T00:00:00Z' where request_id = ${early}`
      await calls.database
        .owner`update archon_mcp_requests set timestamp = '2026-03-10T23:59:59Z' where request_id = ${late}`
      await calls.price('large', '1', '2026-03-10')
      await calls.price('large', '9', '2026-03-11')
      const rated = await calls.database.sql.begin(async (sql) => {
        await sql`select set_config('timezone', ${zone}, true)`
        return await sql`
        select trim_scale(cost) as cost
        from archon_mcp_rated_calls(${pgArray([early, late])}::uuid[], null)`
      })
      expect([...rated]).toEqual([{ cost: '1' }, { cost: '1' }])
    },
  )

  it('keeps what its tool said it cost, and adds the rest up anew', async () => {
    await calls.price('large', '1', '2026-03-01')
    await putToolPrice(
      calls.database.sql,
      { tool: 'echo', price: '0.5', effectiveAt: at(1), remark: null },
      CLI_ACTOR,
    )
    const id = await calls.call([line('large', 1000), line('small', 1000, '0.25'), line('new', 10)])
    expect(await calls.costOf(id)).toEqual({
      cost: '1.75',
      tool: '0.5',
      unpriced: true,
      lines: { large: '1', small: '0.25', new: '0' },
    })
    await calls.price('large', '3', '2026-03-01')
    await calls.price('small', '100', '2026-03-01')
    await calls.price('new', '0.0000001', '2026-03-01')
    await putToolPrice(
      calls.database.sql,
      { tool: 'echo', price: '0.75', effectiveAt: at(2), remark: null },
      CLI_ACTOR,
    )
    expect(changed(await calls.march())).toEqual([1, '1.75', '4.000000001'])
    expect(await calls.costOf(id)).toEqual({
      cost: '4.000000001',
      tool: '0.75',
      unpriced: false,
      lines: { large: '3', small: '0.25', new: '0.000000001' },
    })
  })

  it('is told even where its cost stays: it was unpriced, or parts of it make up for one another', async () => {
    await calls.price('one', '1', '2026-03-01')
    await calls.price('two', '2', '2026-03-01')
    const free = await calls.call([line('free', 10)])
    const both = await calls.call([line('one', 1000), line('two', 1000)])
    await calls.price('free', '0', '2026-03-01')
    await calls.price('one', '2', '2026-03-01')
    await calls.price('two', '1', '2026-03-01')
    expect(changed(await calls.march())).toEqual([2, '3', '3'])
    expect(await calls.costOf(free)).toMatchObject({ unpriced: false, cost: '0' })
    expect(await calls.costOf(both)).toMatchObject({ lines: { one: '2', two: '1' } })
  })

  it('is unpriced where its price is gone', async () => {
    await calls.price('large', '1', '2026-03-01')
    const id = await calls.call([line('large', 1000)])
    await calls.database.owner`delete from archon_llm_pricing where model_name = 'large'`
    expect(changed(await calls.march())).toEqual([1, '1', '0'])
    expect(await calls.costOf(id)).toMatchObject({ cost: '0', unpriced: true })
  })

  it('costs no more than the columns hold', async () => {
    const id = await calls.call([line('large', 1_000_000_000)], { call: { tool: 'echo' } })
    await calls.price('large', '9999999999', '2026-03-01')
    await calls.march()
    expect(await calls.costOf(id)).toMatchObject({ cost: '9999999999' })
  })

  const without: [name: string, prepare: () => Promise<string>][] = [
    [
      'is still open',
      async () => {
        const wanted = callOf()
        await calls.ledger().admit(requestBy(await callerNamed('alice'), { calls: [wanted], quotas: JUDGED }))
        return wanted.id
      },
    ],
    [
      'nobody closed, which was charged its estimate',
      async () => {
        const wanted = callOf({ holdSeconds: 1, estimate: { tokens: 10, cost: '0.3' } })
        await calls.ledger().admit(requestBy(await callerNamed('alice'), { calls: [wanted], quotas: JUDGED }))
        await calls.database.sql`select archon_mcp_sweep(${at(11)}, 100)`
        return wanted.id
      },
    ],
    ['asked for input, which costs no call of the tool', () => calls.call([], { close: { round: true } })],
    [
      'Archon wrote',
      async () => {
        const [row] = await calls.database.sql<[{ id: string }]>`
        with session as (insert into archon_mcp_sessions default values returning session_id)
        insert into archon_mcp_requests (session_id, method, tool_name, estimated_cost, timestamp)
        select session_id, 'tools/call', 'echo', 0.1, ${NOON} from session
        returning request_id as id`
        return row.id
      },
    ],
  ]
  it.each(without)('is none that %s', async (_, prepare) => {
    const id = await prepare()
    const before = await calls.costOf(id)
    await putToolPrice(
      calls.database.sql,
      { tool: 'echo', price: '0.5', effectiveAt: at(1), remark: null },
      CLI_ACTOR,
    )
    expect(changed(await calls.march())).toEqual([0, '0', '0'])
    expect(await calls.costOf(id)).toEqual(before)
  })
})

describe('what is priced anew', () => {
  it('lies in the period: from its first moment up to, and not with, its last', async () => {
    const ids = [await calls.call([line('large', 1000)], { day: 9 })]
    ids.push(
      await calls.call([line('large', 1000)], { day: 10 }),
      await calls.call([line('large', 1000)], { day: 11 }),
    )
    await calls.price('large', '1', '2026-03-01')
    expect(changed(await calls.march(null, 10, 11))).toEqual([1, '0', '1'])
    expect(await Promise.all(ids.map(calls.costOf))).toMatchObject([
      { cost: '0' },
      { cost: '1' },
      { cost: '0' },
    ])
  })

  it('are the lines of some models alone, where they are named: no other, and no price of a tool', async () => {
    const id = await calls.call([line('large', 1000), line('small', 1000)])
    await calls.price('large', '1', '2026-03-01')
    await calls.price('small', '1', '2026-03-01')
    await putToolPrice(
      calls.database.sql,
      { tool: 'echo', price: '0.5', effectiveAt: at(1), remark: null },
      CLI_ACTOR,
    )
    expect(changed(await calls.march(['small', 'none']))).toEqual([1, '0', '1'])
    expect(await calls.costOf(id)).toEqual({
      cost: '1',
      tool: '0',
      unpriced: true,
      lines: { large: '0', small: '1' },
    })
  })

  it('changes nothing when it is done again', async () => {
    await calls.call([line('large', 1000)])
    await calls.price('large', '1', '2026-03-01')
    expect(changed(await calls.march())).toEqual([1, '0', '1'])
    expect(changed(await calls.march())).toEqual([0, '0', '0'])
  })

  it('is on record: when, of what, by whom and how much', async () => {
    await calls.call([line('large', 1000)])
    await calls.price('large', '0.5', '2026-03-01')
    const told = await calls.march(['large', 'large'])
    const [row] = await calls.database.sql`
      select rerate_id, from_at, to_at, to_json(models) as models, calls::integer, cost_before::float, cost_after::float, by,
             finished_at >= rerated_at as finished
      from archon_mcp_rerates`
    expect(row).toEqual({
      rerate_id: told.rerate_id,
      from_at: at(1),
      to_at: at(31),
      models: ['large'],
      calls: 1,
      cost_before: 0,
      cost_after: 0.5,
      by: 'command line',
      finished: true,
    })
    expect(told).toMatchObject({
      from: at(1).toISOString(),
      to: at(31).toISOString(),
      models: ['large'],
      by: 'command line',
    })
  })

  it('ends at this moment: whatever comes later has the prices of its time', async () => {
    const told = await rerate(
      calls.database.sql,
      { from: at(1), to: new Date('2126-01-01'), models: null },
      CLI_ACTOR,
    )
    expect(Date.parse(told.to)).toBeLessThanOrEqual(Date.now() + 1000)
    const open = await rerate(calls.database.sql, { from: at(1), to: null, models: null }, CLI_ACTOR)
    expect(Date.parse(open.to)).toBeGreaterThanOrEqual(Date.parse(told.to))
  })

  it('goes through many calls of one moment, each once', async () => {
    const id = await putQuota(calls.database.sql, { metric: 'cost', limit: 5000, window: 'total' })
    await calls.database.sql`
      with call as (
        insert into archon_mcp_requests (method, kind, status, counted, timestamp)
        select 'tools/call', 'mcp', 'success', true, ${NOON}::timestamptz + number / 600 * interval '1 day'
        from generate_series(1, 1300) as number
        returning request_id
      )
      insert into archon_mcp_usage (request_id, model, prompt_tokens, completion_tokens, cost, unpriced)
      select request_id, 'large', 1000, 0, 0, true from call`
    await calls.price('large', '2', '2026-03-01')
    expect(changed(await calls.march())).toEqual([1300, '0', '2600'])
    expect(await budgetsOf(calls.database.sql, id)).toMatchObject([{ used: '2600' }])
  })

  it('waits for calls that are ending: they may have read the price as it was', async () => {
    const finished = vi.fn()
    let all: Promise<unknown> = Promise.resolve()
    await calls.database.sql.begin(async (sql) => {
      await sql`lock table archon_mcp_quotas in row share mode`
      all = calls.march().then(finished)
      await new Promise((resolve) => setTimeout(resolve, 200))
      expect(finished).not.toHaveBeenCalled()
    })
    await all
    expect(finished).toHaveBeenCalled()
  })
})
