import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Actor, CLI_ACTOR, recordAudit } from '../src/audit.ts'
import { changeUser, revokeUser } from '../src/auth/users.ts'
import { inTransaction } from '../src/db/transaction.ts'
import { createLedger } from '../src/ledger/ledger.ts'
import { putQuota, type QuotaDefinition, removeQuota } from '../src/limits/quotas.ts'
import { syncPrices } from '../src/usage/price-sync.ts'
import { putModelPrice, putToolPrice } from '../src/usage/prices.ts'
import { rerate } from '../src/usage/rerate.ts'
import { createTestDatabase, type TestDatabase } from './support/database.ts'
import { callerNamed, requestBy } from './support/ledger.ts'

let database: TestDatabase
let alice: string
const ada: Actor = { kind: 'user', id: '00000000-0000-4000-8000-00000000ada0' }
const service: Actor = { kind: 'service', id: null }

beforeAll(async () => {
  database = await createTestDatabase()
  const caller = await callerNamed('alice')
  await createLedger(database.sql).admit(requestBy(caller, { calls: [] }))
  alice = caller.firstId
})
afterAll(() => database[Symbol.asyncDispose]())

const emptied = () =>
  database.owner.begin(async (tx) => {
    await tx`set local archon_mcp.audit_opened = 'yes'`
    await tx`delete from archon_mcp_audit`
  })
beforeEach(emptied)

interface Line {
  actor: string
  action: string
  target: string | null
  details: Record<string, unknown>
}
const lines = async (): Promise<Line[]> => [
  ...(await database.sql<Line[]>`
    select concat_ws(' ', actor_kind, actor_id) as actor, action, nullif(concat_ws(' ', target_kind, target_id), '')
             as target, details
    from archon_mcp_audit
    order by at`),
]

const QUOTA: QuotaDefinition = {
  quotaId: null,
  kind: 'budget',
  scope: 'each_user',
  subject: null,
  metric: 'cost',
  amount: '12.5',
  window: 'month',
  timezone: 'UTC',
  anchorDay: null,
  anchorHour: null,
  windowSeconds: null,
  burst: null,
  tools: ['search'],
  models: null,
  mode: 'enforce',
  warnAt: [0.8],
}
const PRICE = { provider: 'Test', model: 'large', input: '1', output: '2', cached: null }

describe('what an administrator does is on record', () => {
  it('a quota that is set and removed', async () => {
    const { quotaId } = await putQuota(database.sql, QUOTA, ada)
    await putQuota(database.sql, { ...QUOTA, amount: '20' }, CLI_ACTOR)
    await removeQuota(database.sql, quotaId, service)
    await removeQuota(database.sql, quotaId, service) // not there any more
    const set = {
      kind: 'budget',
      scope: 'each_user',
      metric: 'cost',
      window: 'month',
      tools: ['search'],
      mode: 'enforce',
    }
    const target = `quota ${quotaId}`
    expect(await lines()).toEqual([
      {
        actor: `user ${ada.id}`,
        action: 'quota.set',
        target,
        details: { ...set, created: true, amount: '12.5' },
      },
      { actor: 'cli', action: 'quota.set', target, details: { ...set, created: false, amount: '20' } },
      {
        actor: 'service',
        action: 'quota.removed',
        target,
        details: { kind: 'budget', scope: 'each_user', subject: null, metric: 'cost', amount: '20' },
      },
    ])
  })

  it('role, department and block, each on a line of its own, and what stays as it is on none', async () => {
    await changeUser(database.sql, alice, { role: 'manager', department: 'sales', blocked: true }, ada)
    await changeUser(database.sql, alice, { role: 'manager', department: null, blocked: false }, ada)
    await changeUser(database.sql, crypto.randomUUID(), { role: 'admin' }, ada)
    const target = `user ${alice}`
    const line = (action: string, details = {}) => ({ actor: `user ${ada.id}`, action, target, details })
    expect(await lines()).toEqual([
      line('user.department_set', { from: null, to: 'sales' }),
      line('user.role_set', { from: null, to: 'manager' }),
      line('user.blocked'),
      line('user.department_set', { from: 'sales', to: null }),
      line('user.unblocked'),
    ])
  })

  it('a user who is cut off', async () => {
    await revokeUser(database.sql, alice, ada)
    await revokeUser(database.sql, crypto.randomUUID(), ada)
    expect(await lines()).toEqual([
      { actor: `user ${ada.id}`, action: 'user.revoked', target: `user ${alice}`, details: {} },
    ])
  })

  it('prices, and what was priced anew', async () => {
    await putModelPrice(database.sql, { ...PRICE, effectiveDate: '2026-10-01', notes: 'told by Bob' }, ada)
    const effectiveAt = new Date('2026-10-02T03:04:05Z')
    await putToolPrice(
      database.sql,
      { tool: 'search', price: '0.5', effectiveAt, remark: 'told by Bob' },
      ada,
    )
    await syncPrices(database.sql, [{ ...PRICE, model: 'new', notes: 'book' }], true, CLI_ACTOR)
    await syncPrices(database.sql, [{ ...PRICE, model: 'new', notes: 'book' }], false, CLI_ACTOR)
    await syncPrices(database.sql, [{ ...PRICE, model: 'new', notes: 'book' }], false, CLI_ACTOR) // nothing to do
    const { rerate_id } = await rerate(
      database.sql,
      { from: effectiveAt, to: null, models: ['large'] },
      service,
    )
    expect(await lines()).toEqual([
      {
        actor: `user ${ada.id}`,
        action: 'price.set',
        target: 'model large',
        details: { provider: 'Test', input: '1', output: '2', cached: null, from: '2026-10-01' },
      },
      {
        actor: `user ${ada.id}`,
        action: 'price.set',
        target: 'tool search',
        details: { price: '0.5', from: '2026-10-02T03:04:05.000Z' },
      },
      { actor: 'cli', action: 'prices.synced', target: null, details: { added: 1, changed: 0 } },
      {
        actor: 'service',
        action: 'calls.rerated',
        target: `rerate ${rerate_id}`,
        details: { from: '2026-10-02T03:04:05.000Z', to: null, models: ['large'] },
      },
    ])
  })

  it('and nothing else: a change that fails leaves no line', async () => {
    const unknown = putQuota(database.sql, { ...QUOTA, timezone: 'Mars/Phobos' }, ada)
    await expect(unknown).rejects.toThrow('is not a time zone')
    expect(await lines()).toEqual([])
  })

  it('and the other way round: without its line a change does not happen', async () => {
    const nobody: Actor = { kind: 'user', id: null }
    await expect(changeUser(database.sql, alice, { role: 'admin' }, nobody)).rejects.toThrow(
      'archon_mcp_audit_user',
    )
    const [row] = await database.sql`select assigned_role from archon_mcp_users where user_id = ${alice}`
    expect(row).not.toEqual({ assigned_role: 'admin' })
  })
})

describe('the record stays as it is', () => {
  const entry = { action: 'user.revoked', target: { kind: 'user', id: 'x' } } as const
  beforeEach(() => recordAudit(database.sql, ada, entry))

  it.each([
    ['update', `update archon_mcp_audit set actor_kind = 'cli'`],
    ['delete', 'delete from archon_mcp_audit'],
    ['truncate', 'truncate archon_mcp_audit'],
  ])('the application has no right to %s it', async (_, statement) => {
    await expect(database.sql.unsafe(statement)).rejects.toThrow('permission denied')
    await expect(
      inTransaction(database.sql, (tx) => tx.unsafe(statement), { role: 'service_role' }),
    ).rejects.toThrow('permission denied')
    await expect(database.owner.unsafe(statement)).rejects.toThrow('archon_mcp_audit is append-only')
    expect(await lines()).toHaveLength(1)
  })

  it('nobody else may read or add', async () => {
    for (const statement of [
      'select * from archon_mcp_audit',
      `select archon_mcp_record_audit('cli', null, 'a.b', null, null, null)`,
    ]) {
      const run = database.owner.begin(async (tx) => {
        await tx`set local role anon`
        await tx.unsafe(statement)
      })
      await expect(run).rejects.toThrow('permission denied')
    }
  })
})
