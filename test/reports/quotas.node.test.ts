import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { CLI_ACTOR } from '../../src/audit.ts'
import { QuotaBody } from '../../src/api/quota-schema.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { CallToOpen, UsageLine } from '../../src/ledger/types.ts'
import { putQuota } from '../../src/limits/quotas.ts'
import { previewQuota } from '../../src/reports/quota-preview.ts'
import type { McpQuota } from '../../src/reports/quota-rows.ts'
import { listQuotas, quotaById, quotasOfUser } from '../../src/reports/quotas.ts'
import type { ReportCaller } from '../../src/reports/visible-to.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, callOf, requestBy, success, JUDGED } from '../support/ledger.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())
beforeEach(async () => {
  await database.owner`truncate archon_mcp_quotas, archon_mcp_requests, archon_mcp_users, archon_mcp_refusals cascade`
})

const NOON = new Date('2026-03-15T12:00:00Z')
const later = (hours: number): Date => new Date(NOON.getTime() + hours * 3_600_000)
const admin: ReportCaller = { role: 'admin', userId: null, department: null }

async function put(quota: object, now = NOON): Promise<string> {
  const common = { scope: 'everyone', metric: 'requests', limit: 10, window: 'day' }
  const body = QuotaBody.parse('kind' in quota ? quota : { ...common, ...quota })
  return (await putQuota(database.sql, body, CLI_ACTOR, now)).quotaId
}

const ids = (quotas: McpQuota[]): string[] => quotas.map(({ quota_id }) => quota_id).toSorted()

interface Calls {
  calls?: number
  now?: Date
  department?: string | null
  /** What each uses; null for calls that go on. */
  usage?: UsageLine[] | null
  call?: Partial<CallToOpen>
}

/** Calls of a user, one after the other. @returns the user's id, and whether each was admitted. */
async function use(
  name: string,
  { calls = 1, now = NOON, department = null, usage = [], call = {} }: Calls = {},
) {
  const ledger = createLedger(database.sql, { now: () => now })
  const caller = await callerNamed(name, { department })
  const admitted: boolean[] = []
  for (let n = 0; n < calls; n++) {
    const wanted = callOf(call)
    const verdict = await ledger.admit(requestBy(caller, { calls: [wanted], quotas: JUDGED }))
    admitted.push(verdict.admitted)
    if (verdict.admitted && usage !== null) await ledger.close(success(wanted.id, { usage }))
  }
  return { id: caller.firstId, admitted }
}

const used = (tokens: number, cost: string): UsageLine[] => [
  { model: 'small', promptTokens: tokens, completionTokens: 0, cost },
]

describe('where a budget stands', () => {
  it('tells what ended calls used, what open ones hold, and what is left', async () => {
    const id = await put({ metric: 'tokens', limit: 1000, warn_at: [0.25, 0.5, 0.9] })
    await use('alice', { calls: 3, usage: used(100, '0'), call: { estimate: { tokens: 60, cost: '0' } } })
    await use('bob', { usage: null, call: { estimate: { tokens: 200, cost: '0' } } })
    expect(await quotaById(database.sql, admin, id, later(1))).toMatchObject({
      used: 300,
      held: 200,
      left: 500,
      excess: 120,
      excess_calls: 3,
      warning: 0.5,
      window_start: '2026-03-15T00:00:00.000Z',
      resets_at: '2026-03-16T00:00:00.000Z',
    })
  })

  it('tells amounts of money exactly', async () => {
    const id = await put({ metric: 'cost', limit: '0.3000000000', window: 'total' })
    await use('alice', { calls: 2, usage: used(1, '0.1000000001') })
    expect(await quotaById(database.sql, admin, id, NOON)).toMatchObject({
      limit: '0.3',
      used: '0.2000000002',
      held: '0',
      left: '0.0999999998',
      window_start: null,
      resets_at: null,
    })
  })

  it('reads a window that is over as empty, though nobody has called since', async () => {
    const id = await put({})
    await use('alice', { calls: 4 })
    const stands = async (hours: number) => await quotaById(database.sql, admin, id, later(hours))
    expect(await stands(11)).toMatchObject({ used: 4, resets_at: '2026-03-16T00:00:00.000Z' })
    expect(await stands(12)).toMatchObject({
      used: 0,
      held: 0,
      left: 10,
      excess: 0,
      warning: null,
      window_start: '2026-03-16T00:00:00.000Z',
      resets_at: '2026-03-17T00:00:00.000Z',
    })
  })

  it('keeps what was used when the limit changes, and never shows less than nothing left', async () => {
    const id = await put({ scope: 'each_user' })
    const { id: alice } = await use('alice', { calls: 4 })
    const left = async () => (await quotasOfUser(database.sql, alice, null, NOON))[0]
    expect(await left()).toMatchObject({ quota_id: id, limit: 10, used: 4, left: 6 })
    await put({ scope: 'each_user', limit: 3 })
    expect(await left()).toMatchObject({ quota_id: id, limit: 3, used: 4, left: 0, warning: 0.95 })
  })

  it('counts what the window held before the quota was there', async () => {
    const { id } = await use('alice', { calls: 3 })
    await put({ scope: 'each_user', tools: ['echo'] })
    await put({ scope: 'each_user', tools: ['other'] }, later(1))
    const stand = await quotasOfUser(database.sql, id, null, later(1))
    expect(stand).toMatchObject([
      { tools: ['other'], used: 0 },
      { tools: ['echo'], used: 3 },
    ])
  })

  it('tells how many calls were refused, or would have been', async () => {
    const capped = await put({ limit: 2 })
    const watched = await put({ metric: 'tokens', limit: 0, mode: 'observe' })
    const { admitted } = await use('alice', { calls: 4 })
    expect(admitted).toEqual([true, true, false, false])
    // The second of two refusals in a second is remembered, and counted with the next call.
    await use('alice', { now: later(11) })
    const refused = async (id: string, hours: number) =>
      (await quotaById(database.sql, admin, id, later(hours)))?.refused
    expect(await refused(capped, 11)).toEqual({ enforced: 2, observed: 0 })
    expect((await refused(watched, 11))?.observed).toBeGreaterThanOrEqual(2)
    expect(await refused(capped, 12)).toEqual({ enforced: 0, observed: 0 })
  })

  it('tells a rate by its limit and its refusals of 30 days', async () => {
    const id = await put({ kind: 'rate', scope: 'each_user', limit: 1, window_seconds: 60 })
    await use('alice', { calls: 2 })
    const shown = async (hours: number) => await quotaById(database.sql, admin, id, later(hours))
    expect(await shown(1)).toEqual({
      quota_id: id,
      kind: 'rate',
      scope: 'each_user',
      limit: 1,
      window_seconds: 60,
      burst: 1,
      mode: 'enforce',
      warn_at: [0.8, 0.95],
      created_at: NOON.toISOString(),
      updated_at: NOON.toISOString(),
      refused: { enforced: 1, observed: 0 },
    })
    expect(await shown(31 * 24)).toMatchObject({ refused: { enforced: 0 } })
  })
})

describe('a quota of each', () => {
  it('tells who is nearest to their cap, and each their own', async () => {
    const id = await put({ scope: 'each_user', metric: 'cost', limit: 1 })
    const { id: alice } = await use('alice', { department: 'sales', usage: used(1, '0.85') })
    const { id: bob } = await use('bob', { department: 'research', usage: used(1, '0.25') })
    await use('idle', { now: later(-24) })
    const readBy = async (caller: ReportCaller) => await quotaById(database.sql, caller, id, NOON)
    const shown = [
      { subject: alice, email: 'alice@example.com', used: '0.85', left: '0.15', warning: 0.8 },
      { subject: bob, name: 'bob', used: '0.25', held: '0', left: '0.75', warning: null },
    ]
    const all = await readBy(admin)
    expect(all).toMatchObject({ resets_at: '2026-03-16T00:00:00.000Z', holders: shown })
    expect(all).not.toHaveProperty('used')
    const manager = await readBy({ role: 'manager', userId: bob, department: 'sales' })
    expect(manager).toMatchObject({ used: '0.25', holders: shown })
    expect(await readBy({ role: 'manager', userId: alice, department: 'sales' })).toMatchObject({
      used: '0.85',
      holders: shown.slice(0, 1),
    })
    const member = await readBy({ role: 'member', userId: bob, department: 'research' })
    expect(member).toMatchObject({ used: '0.25', left: '0.75' })
    expect(member).not.toHaveProperty('holders')
  })

  it('names twenty at most, and those who have called before it was there', async () => {
    for (let n = 1; n <= 22; n++) await use(`user-${n}`, { calls: n === 7 ? 2 : 1 })
    const id = await put({ scope: 'each_user' })
    const quota = await quotaById(database.sql, admin, id, NOON)
    const holders = quota?.kind === 'budget' ? quota.holders : []
    expect(holders).toHaveLength(20)
    expect(holders?.[0]).toMatchObject({ name: 'user-7', used: 2 })
  })

  it('of departments counts the calls of all their users', async () => {
    const id = await put({ scope: 'each_department' })
    const { id: alice } = await use('alice', { department: 'sales', calls: 2 })
    await use('bob', { department: 'sales' })
    await use('eve', { department: 'research' })
    await use('loner')
    expect(await quotaById(database.sql, admin, id, NOON)).toMatchObject({
      holders: [
        { subject: 'sales', used: 3 },
        { subject: 'research', used: 1 },
      ],
    })
    expect(await quotasOfUser(database.sql, alice, 'sales', NOON)).toMatchObject([{ used: 3 }])
    expect(await quotasOfUser(database.sql, alice, null, NOON)).toEqual([])
  })

  it("gives way to a user's own with the same metric, window and narrowing", async () => {
    const each = await put({ scope: 'each_user' })
    const other = await put({ scope: 'each_user', metric: 'tokens' })
    const { id: alice } = await use('alice', { calls: 2 })
    const { id: bob } = await use('bob')
    const own = await put({ scope: 'user', subject: alice, limit: 50 })
    expect(ids(await quotasOfUser(database.sql, alice, null, NOON))).toEqual([own, other].toSorted())
    expect(ids(await quotasOfUser(database.sql, bob, null, NOON))).toEqual([each, other].toSorted())
    expect(await quotaById(database.sql, admin, each, NOON)).toMatchObject({ holders: [{ subject: bob }] })
  })
})

it('lists quotas by pages, newest first', async () => {
  const ids: string[] = []
  for (let n = 0; n < 5; n++) ids.push(await put({ limit: n, tools: [`tool-${n}`] }, later(n)))
  const first = await listQuotas(database.sql, admin, {}, { limit: 3, after: null }, NOON)
  const second = await listQuotas(database.sql, admin, {}, { limit: 3, after: first.next }, NOON)
  expect([...first.quotas, ...second.quotas].map(({ quota_id }) => quota_id)).toEqual(ids.toReversed())
  expect([first.total, second.total, second.next]).toEqual([5, 5, null])
})

describe('a preview', () => {
  const day = { scope: 'each_user', metric: 'requests', limit: 3, window: 'day' }
  const preview = async (quota: object, now = later(24)) =>
    await previewQuota(database.sql, QuotaBody.parse({ ...day, ...quota }), 30, now)

  it('says whom it would have refused, when, and in how many windows', async () => {
    const { id: alice } = await use('alice', { calls: 4, department: 'sales' })
    await use('alice', { calls: 5, now: later(12), department: 'sales' })
    await use('bob', { calls: 3 })
    expect(await preview({})).toEqual({
      period: { start: '2026-02-14T12:00:00.000Z', end: '2026-03-16T12:00:00.000Z', days: 30 },
      calls: 12,
      refused: 3,
      holders: [
        {
          subject: alice,
          user_id: alice,
          email: 'alice@example.com',
          name: 'alice',
          department: 'sales',
          calls_refused: 3,
          first_refused_at: NOON.toISOString(),
          last_refused_at: later(12).toISOString(),
          windows: 2,
        },
      ],
      total: 1,
    })
  })

  it('equals what the ledger refuses of the same calls', async () => {
    const names = [
      'alice',
      'bob',
      'alice',
      'alice',
      'eve',
      'bob',
      'alice',
      'bob',
      'alice',
      'bob',
      'alice',
      'eve',
    ]
    const moments = names.map((_, n) => later(n * 2.5))
    for (const [n, now] of moments.entries()) await use(names[n]!, { now })
    const foretold = (await preview({ limit: 2 }, later(48))).holders
    await database.owner`truncate archon_mcp_requests cascade`
    await put({ ...day, limit: 2 })
    const refused: Record<string, Date[]> = {}
    for (const [n, now] of moments.entries()) {
      const { id, admitted } = await use(names[n]!, { now })
      if (!admitted[0]) refused[id] = [...(refused[id] ?? []), now]
    }
    expect(foretold.map(({ user_id = '' }) => user_id).toSorted()).toEqual(Object.keys(refused).toSorted())
    for (const { user_id = '', calls_refused, first_refused_at, last_refused_at } of foretold) {
      expect(refused[user_id]).toHaveLength(calls_refused)
      const [first, last] = [refused[user_id]?.[0], refused[user_id]?.at(-1)]
      expect([first_refused_at, last_refused_at]).toEqual([first?.toISOString(), last?.toISOString()])
    }
    expect(foretold.length).toBeGreaterThan(1)
  })

  const narrowed: [quota: object, refused: number, calls: number][] = [
    [{ limit: 0 }, 3, 3],
    [{ limit: 0, tools: ['echo'] }, 2, 2],
    [{ scope: 'everyone', limit: 1 }, 2, 3],
    [{ scope: 'department', subject: 'sales', limit: 0 }, 2, 2],
    [{ scope: 'each_department', limit: 1 }, 1, 2],
    [{ metric: 'tokens', limit: 10 }, 1, 3],
    [{ metric: 'cost', limit: '0.05', models: ['small'] }, 1, 3],
    [{ metric: 'cost', limit: '0.05', models: ['large'] }, 0, 3],
  ]
  it.each(narrowed)('of %j refuses %j of %j calls', async (quota, refused, calls) => {
    await use('alice', { department: 'sales', calls: 2, usage: used(10, '0.05') })
    await use('bob', { call: { tool: 'other' } })
    expect(await preview(quota)).toMatchObject({ refused, calls })
  })

  it('of a rate judges the time between calls', async () => {
    for (const seconds of [0, 1, 61]) await use('alice', { now: later(seconds / 3600) })
    const rate = { kind: 'rate', scope: 'each_user', limit: 1, window_seconds: 60 }
    const { refused, holders } = await previewQuota(database.sql, QuotaBody.parse(rate), 1, later(1))
    expect(refused).toBe(1)
    expect(holders).toMatchObject([{ first_refused_at: later(1 / 3600).toISOString() }])
    expect(holders[0]).not.toHaveProperty('windows')
  })

  it('leaves out those who have a quota of their own', async () => {
    const { id: alice } = await use('alice')
    const { id: bob } = await use('bob')
    await put({ scope: 'user', subject: alice, tools: ['b', 'echo'] })
    const { holders } = await preview({ limit: 0, tools: ['echo', 'b', 'echo'] })
    expect(holders).toMatchObject([{ user_id: bob }])
  })
})
