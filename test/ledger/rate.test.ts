import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import { createRefusalMemory } from '../../src/ledger/refusal-memory.ts'
import type { RateDemand } from '../../src/ledger/types.ts'
import { decideRate } from '../../src/limits/gcra.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, callOf, requestBy } from '../support/ledger.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase({ max: 8 })
})
afterAll(() => database[Symbol.asyncDispose]())

const rule = (more: Partial<RateDemand> = {}): RateDemand => ({
  limit: 10,
  windowSeconds: 60,
  burst: 10,
  per: 'user',
  ...more,
})

describe('a rate in the ledger', () => {
  it('is exact, however many instances are asked at once', async () => {
    const now = new Date('2026-01-01T00:00:00Z')
    const ledgers = Array.from({ length: 4 }, () => createLedger(database.sql, { now: () => now }))
    const caller = await callerNamed('crowd')
    const verdicts = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        ledgers[index % 4]!.admit(requestBy(caller, { rate: rule({ limit: 50, burst: 50 }) })),
      ),
    )
    expect(verdicts.filter(({ admitted }) => admitted)).toHaveLength(50)
    const refused = verdicts.find(({ admitted }) => !admitted)
    expect(refused).toEqual({
      admitted: false,
      code: 'rate_limited',
      userId: caller.firstId,
      quotaId: null,
      calls: 1,
      rate: { limit: 50, windowSeconds: 60, remaining: 0, resetMs: 60_000 },
      retryAfterMs: 1200,
    })
    const [{ rows }] = await database.sql<[{ rows: number }]>`
      select count(*)::integer as rows from archon_mcp_requests join archon_mcp_users using (user_id)
      where subject = 'crowd'`
    expect(rows).toBe(50)
  })

  it('decides as the pure rule does, call after call', async () => {
    let run = 0
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          limit: fc.integer({ min: 1, max: 50 }),
          windowSeconds: fc.integer({ min: 1, max: 600 }),
          burst: fc.integer({ min: 1, max: 20 }),
        }),
        fc.array(fc.record({ waitMs: fc.nat(30_000), calls: fc.integer({ min: 1, max: 4 }) }), {
          maxLength: 12,
        }),
        async (rate, arrivals) => {
          let at = Date.parse('2026-01-01T00:00:00Z')
          // A refusal that is remembered tells what was left when it was made.
          const memory = { ...createRefusalMemory(), recall: () => null }
          const ledger = createLedger(database.sql, { now: () => new Date(at), memory })
          const caller = await callerNamed(`model-${(run += 1)}`)
          let emptyAt: number | undefined
          for (const { waitMs, calls } of arrivals) {
            at += waitMs
            const wanted = Array.from({ length: calls }, () => callOf())
            const verdict = await ledger.admit(
              requestBy(caller, { rate: { ...rate, per: 'user' }, calls: wanted }),
            )
            const expected = decideRate(rate, emptyAt, at, calls)
            expect(verdict.admitted).toBe(expected.allowed)
            expect(verdict.rate?.remaining).toBe(expected.remaining)
            expect(Math.abs(verdict.rate!.resetMs - expected.resetMs)).toBeLessThanOrEqual(1)
            if (expected.allowed) emptyAt = expected.emptyAtMs
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  it('belongs to the user, whatever session or token the calls come with', async () => {
    const ledger = createLedger(database.sql)
    const first = await callerNamed('one')
    const again = { ...first, issuedAt: new Date('2026-02-01T00:00:00Z') }
    const rate = rule({ limit: 1, burst: 1 })
    expect((await ledger.admit(requestBy(first, { rate }))).admitted).toBe(true)
    expect((await ledger.admit(requestBy(again, { rate }))).admitted).toBe(false)
    expect((await ledger.admit(requestBy(await callerNamed('two'), { rate }))).admitted).toBe(true)
  })

  it('can be one for each tool, or one for a department', async () => {
    const ledger = createLedger(database.sql)
    const caller = await callerNamed('tools')
    const ask = (tool: string) =>
      ledger.admit(
        requestBy(caller, {
          rate: rule({ limit: 1, burst: 1, per: 'user-and-tool' }),
          calls: [callOf({ tool })],
        }),
      )
    expect((await ask('a')).admitted).toBe(true)
    expect((await ask('a')).admitted).toBe(false)
    expect((await ask('b')).admitted).toBe(true)

    const shared = rule({ limit: 1, burst: 1, per: 'department' })
    const of = async (name: string, department: string | null) =>
      (await ledger.admit(requestBy(await callerNamed(name, { department }), { rate: shared }))).admitted
    expect(await of('ann', 'Sales')).toBe(true)
    expect(await of('ben', 'Sales')).toBe(false)
    expect(await of('cid', 'Legal')).toBe(true)
    expect([await of('dan', null), await of('eve', null)]).toEqual([true, true])
  })

  it('takes a batch whole or not at all, and counts nothing when it refuses', async () => {
    const ledger = createLedger(database.sql, { now: () => new Date('2026-01-01T00:00:00Z') })
    const caller = await callerNamed('batch')
    const ask = (size: number) =>
      ledger.admit(requestBy(caller, { rate: rule(), calls: Array.from({ length: size }, () => callOf()) }))
    expect((await ask(6)).admitted).toBe(true)
    expect((await ask(5)).admitted).toBe(false)
    expect((await ask(4)).admitted).toBe(true)
  })

  it('counts nothing for a request that is refused for another reason, nor what a client needs to connect', async () => {
    const ledger = createLedger(database.sql)
    const caller = await callerNamed('other')
    const rate = rule({ limit: 1, burst: 1 })
    const lost = { id: crypto.randomUUID() }
    expect(await ledger.admit(requestBy(caller, { rate, session: lost }))).toMatchObject({
      code: 'session_not_found',
    })
    for (const method of ['initialize', 'server/discover', 'ping', 'subscriptions/listen', 'tools/call']) {
      const request = requestBy(caller, { rate, calls: [callOf({ method, tool: null })] })
      expect((await ledger.admit(request)).admitted, method).toBe(true)
    }
    expect((await ledger.admit(requestBy(caller, { rate }))).admitted).toBe(false)
  })

  it('leaves no cell behind when it is empty again', async () => {
    await database.sql`select archon_mcp_sweep(now() + interval '1 day', 500)`
    expect(await database.sql`select from archon_mcp_rate_cells`).toHaveLength(0)
  })
})
