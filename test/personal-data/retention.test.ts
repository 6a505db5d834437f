import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { keepRetention, retentionState, setRetention } from '../../src/personal-data/retention.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, derived, requestBy } from '../support/ledger.ts'
import { putQuota, removeQuota } from '../support/quotas.ts'
import { beyondCalls, writeAnyCalls } from '../support/rollups.ts'

const BY = { kind: 'cli', id: null } as const
/** Calls lie in the first days of March. */
const NOW = new Date('2026-05-04T12:00:00Z')
const FOR_EVER = { calls_days: null, sessions_days: null, errors_days: null, audit_days: null }

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())
afterEach(async () => {
  await setRetention(database.sql, FOR_EVER, BY)
})

const count = async (what: string): Promise<number> =>
  (await database.sql.unsafe(`select count(*)::integer as count from ${what}`))[0]?.['count'] as number
const days = () => database.sql`
  select day::text, sum(calls)::integer as calls, sum(cost)::text as cost from archon_mcp_tool_days group by 1 order by 1`

describe('retention', () => {
  it('keeps everything for ever unless told otherwise', async () => {
    await writeAnyCalls(database.owner, 300, 0.1)
    await database.sql`select archon_mcp_rebuild_rollups()`
    expect(await retentionState(database.sql)).toEqual({
      ...FOR_EVER,
      stores_names: true,
      updated_at: null,
      calls_complete_from: null,
      calls_held_by_quotas: false,
    })
    expect(await keepRetention(database.sql, { now: NOW })).toEqual({
      calls: 0,
      sessions: 0,
      errors: 0,
      audit: 0,
    })
  })

  it('removes the texts of old errors, and nothing else of their calls', async () => {
    const { owner, sql } = database
    await owner`update archon_mcp_requests set error_message = 'it failed' where status = 'error'`
    const [all, texts] = [
      await count('archon_mcp_requests'),
      await count(`archon_mcp_requests where error_message <> ''`),
    ]
    const due = await count(
      `archon_mcp_requests where error_message <> '' and timestamp < '2026-03-03T12:00Z'`,
    )
    await setRetention(sql, { errors_days: 62 }, BY)
    expect(await keepRetention(sql, { now: NOW })).toMatchObject({ errors: due, calls: 0 })
    expect(due).toBeGreaterThan(10)
    expect(await count(`archon_mcp_requests where error_message <> ''`)).toBe(texts - due)
    expect(await count('archon_mcp_requests')).toBe(all)
    expect(await beyondCalls(sql)).toEqual([])
  })

  it('keeps every call while a budget of all time counts them, and says so', async () => {
    const quota = await putQuota(database.sql, { limit: 1000, window: 'total' })
    const state = await setRetention(database.sql, { calls_days: 62 }, BY)
    expect(state.calls_held_by_quotas).toBe(true)
    expect(await keepRetention(database.sql, { now: NOW })).toMatchObject({ calls: 0 })
    await removeQuota(database.sql, quota)
  })

  it('removes old calls by whole days, while their sums stay and later ones are still proven by theirs', async () => {
    const { sql } = database
    const before = [...(await days())]
    const due = await count(`archon_mcp_requests where status <> 'open' and timestamp < '2026-03-03Z'`)
    await setRetention(sql, { calls_days: 62 }, BY)
    expect(await keepRetention(sql, { now: NOW })).toMatchObject({ calls: due })
    expect(due).toBeGreaterThan(50)
    expect(await count(`archon_mcp_requests where status <> 'open' and timestamp < '2026-03-03Z'`)).toBe(0)
    expect([...(await days())]).toEqual(before)
    expect(await beyondCalls(sql)).toEqual([])
    expect(await retentionState(sql)).toMatchObject({ calls_complete_from: '2026-03-03' })
    await expect(sql`select archon_mcp_rebuild_rollups('2026-03-01')`).rejects.toThrow(/are not all there/)
    await sql`select archon_mcp_rebuild_rollups()`
    expect([...(await days())]).toEqual(before)
  })

  it('works in steps, and goes on where it stopped', async () => {
    const { owner, sql } = database
    await setRetention(sql, { audit_days: 30 }, BY)
    await owner`
      insert into archon_mcp_audit (at, actor_kind, action)
      select '2026-01-01Z', 'cli', 'quota.set' from generate_series(1, 2500)`
    expect(await keepRetention(sql, { now: NOW, steps: 1 })).toMatchObject({ audit: 1000 })
    expect(await keepRetention(sql, { now: NOW })).toMatchObject({ audit: 1500 })
  })

  it('waits for nobody: what another holds is for the next time', async () => {
    const { owner, sql } = database
    await setRetention(sql, { calls_days: 62 }, BY)
    const late = new Date('2026-05-06T12:00:00Z')
    await owner.begin(async (tx) => {
      const held = await tx`
        select 1 from archon_mcp_requests where timestamp < '2026-03-04Z' and status <> 'open' limit 3 for update`
      const rest =
        (await count(`archon_mcp_requests where status <> 'open' and timestamp < '2026-03-05Z'`)) -
        held.length
      expect(await keepRetention(sql, { now: late })).toMatchObject({ calls: rest })
    })
    expect(await keepRetention(sql, { now: late })).toMatchObject({ calls: 3 })
  })

  it('removes sessions that ended long ago, but for those of which a call is kept', async () => {
    const { owner, sql } = database
    await owner`
      update archon_mcp_sessions
      set status = 'disconnected', disconnected_at = '2026-03-06Z', disconnect_reason = 'timeout'`
    const kept = await count(
      'archon_mcp_sessions as s where exists (select from archon_mcp_requests as r where r.session_id = s.session_id)',
    )
    const all = await count('archon_mcp_sessions')
    await setRetention(sql, { sessions_days: 30 }, BY)
    expect(await keepRetention(sql, { now: NOW })).toMatchObject({ sessions: all - kept })
    expect(await count('archon_mcp_sessions')).toBe(kept)
  })

  it.each([{ calls_days: 61 }, { audit_days: 29 }, { errors_days: 0 }])(
    'does not take %j',
    async (change) => {
      await expect(setRetention(database.sql, change, BY)).rejects.toMatchObject({ code: '23514' })
    },
  )
})

const names = () => database.sql`
  select known.email, known.name, session.user_email, session.user_name
  from archon_mcp_users as known join archon_mcp_sessions as session using (user_id)
  where known.subject = 'nell'`
const call = async () => {
  const nell = await callerNamed('nell')
  await ledgerOf(database.sql).admit(requestBy(nell, { session: derived('Cursor') }))
  await database.sql`update archon_mcp_sessions set user_name = 'Nell' where user_id = ${nell.firstId}`
}

describe('names', () => {
  it('are stored', async () => {
    await call()
    expect([...(await names())]).toEqual([
      { email: 'nell@example.com', name: 'nell', user_email: 'nell@example.com', user_name: 'Nell' },
    ])
  })

  it('go when they are turned off, and come back from nobody, Archon included', async () => {
    const none = [{ email: null, name: null, user_email: null, user_name: null }]
    await setRetention(database.sql, { stores_names: false }, BY)
    expect([...(await names())]).toEqual(none)
    await call()
    expect([...(await names())]).toEqual(none)
  })

  it('are stored again when they are turned on', async () => {
    await setRetention(database.sql, { stores_names: true }, BY)
    await call()
    expect((await names())[0]).toMatchObject({ email: 'nell@example.com', user_name: 'Nell' })
  })
})
