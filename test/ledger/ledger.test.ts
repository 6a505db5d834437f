import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, callOf, counting, derived, requestBy, success } from '../support/ledger.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

const statusOf = async (id: string) =>
  (
    await database.owner<{ status: string }[]>`
    select status from archon_mcp_requests where request_id = ${id}`
  )[0]?.status

describe('a group of calls', () => {
  it('makes one user, one session and 200 rows of 200 calls at once, in far fewer statements', async () => {
    const { sql, statements } = counting(database.sql)
    const ledger = createLedger(sql)
    const caller = await callerNamed('crowd')
    const verdicts = await Promise.all(
      Array.from({ length: 200 }, () => ledger.admit(requestBy(caller, { session: derived('Crowd') }))),
    )
    expect(new Set(verdicts.map((verdict) => verdict.admitted))).toEqual(new Set([true]))
    expect(new Set(verdicts.map((verdict) => verdict.admitted && verdict.sessionId)).size).toBe(1)
    expect(statements()).toBeLessThanOrEqual(10)
    const [rows] = await database.owner`
      select (select count(*)::integer from archon_mcp_users where subject = 'crowd') as users,
             (select count(*)::integer from archon_mcp_sessions where user_email = 'crowd@example.com') as sessions,
             count(*)::integer as calls, count(distinct user_id)::integer as owners
      from archon_mcp_requests
      join archon_mcp_users using (user_id)
      where subject = 'crowd'`
    expect(rows).toEqual({ users: 1, sessions: 1, calls: 200, owners: 1 })
  })

  it('takes the calls of a batch together, even when they are more than a group holds', async () => {
    const ledger = createLedger(database.sql, { maxGroupSize: 3 })
    const caller = await callerNamed('batcher')
    const calls = Array.from({ length: 10 }, () => callOf({ tool: 'batched' }))
    await Promise.all([ledger.admit(requestBy(caller, { calls })), ledger.admit(requestBy(caller))])
    const [{ count } = { count: 0 }] = await database.owner<{ count: number }[]>`
      select count(*)::integer from archon_mcp_requests where tool_name = 'batched' and status = 'open'`
    expect(count).toBe(10)
  })

  it('answers each of many requests in its place', async () => {
    const ledger = createLedger(database.sql)
    const names = Array.from({ length: 50 }, (_, index) => `placed-${index}`)
    const verdicts = await Promise.all(
      names.map(async (name) => await ledger.admit(requestBy(await callerNamed(name)))),
    )
    expect(verdicts.map((verdict) => verdict.admitted && verdict.user?.name)).toEqual(names)
  })

  it('does not let a request that fails harm the others of its group', async () => {
    const errors: unknown[] = []
    const ledger = createLedger(database.sql, { onError: (error) => errors.push(error) })
    const good = await callerNamed('good')
    const broken = { ...(await callerNamed('broken')), firstId: 'no uuid' }
    const results = await Promise.allSettled([
      ledger.admit(requestBy(good)),
      ledger.admit(requestBy(broken)),
      ledger.admit(requestBy(good)),
      ledger.close(success('no uuid either')),
    ])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
    expect(errors).toHaveLength(2)
    const [row] = await database.owner`
      select count(*)::integer as calls from archon_mcp_requests join archon_mcp_users using (user_id)
      where subject in ('good', 'broken')`
    expect(row).toEqual({ calls: 2 })
  })
})

describe('the end of a call', () => {
  it('completes the open row', async () => {
    const ledger = createLedger(database.sql)
    const request = requestBy(await callerNamed('closer'))
    const { id } = request.calls[0]!
    await ledger.admit(request)
    expect(await statusOf(id)).toBe('open')
    await ledger.close({ id, status: 'error', durationMs: 12.6, error: 'x'.repeat(600) })
    const [row] = await database.owner`
      select status, duration_ms, length(error_message) as length, hold_expires_at, hold_expired
      from archon_mcp_requests where request_id = ${id}`
    expect(row).toEqual({
      status: 'error',
      duration_ms: 13,
      length: 500,
      hold_expires_at: null,
      hold_expired: false,
    })
  })

  it('counts once: the first end stays', async () => {
    const ledger = createLedger(database.sql)
    const request = requestBy(await callerNamed('closer'))
    const { id } = request.calls[0]!
    await ledger.admit(request)
    await ledger.close(success(id))
    await ledger.close({ id, status: 'error', durationMs: 1, error: 'again' })
    expect(await statusOf(id)).toBe('success')
  })

  it('corrects a call that the sweep closed meanwhile', async () => {
    const ledger = createLedger(database.sql)
    const request = requestBy(await callerNamed('closer'))
    const { id } = request.calls[0]!
    await ledger.admit(request)
    await database.sql`update archon_mcp_requests set hold_expires_at = now() - interval '1 s' where request_id = ${id}`
    await database.sql`select archon_mcp_sweep(null, 100)`
    expect(await statusOf(id)).toBe('timeout')
    await ledger.close(success(id))
    expect(await statusOf(id)).toBe('success')
  })

  it('of an unknown call is no error', async () => {
    await expect(createLedger(database.sql).close(success(crypto.randomUUID()))).resolves.toBeUndefined()
  })

  it('gives the call of initialize its session, and with it the client', async () => {
    const ledger = createLedger(database.sql)
    const caller = await callerNamed('opener')
    const opening = requestBy(caller, { calls: [callOf({ method: 'initialize', tool: null })] })
    await ledger.admit(opening)
    const verdict = await ledger.admit(requestBy(caller, { session: derived('Claude Code') }))
    const sessionId = verdict.admitted ? verdict.sessionId : null
    await ledger.close(success(opening.calls[0]!.id, { sessionId }))
    const [row] = await database.owner`
      select session_id, client_type from archon_mcp_requests where request_id = ${opening.calls[0]!.id}`
    expect(row).toEqual({ session_id: sessionId, client_type: 'Claude' })
  })

  it('goes with the next group, or alone when nothing else waits', async () => {
    const { sql, statements } = counting(database.sql)
    const ledger = createLedger(sql, { groupsInFlight: 1 })
    const request = requestBy(await callerNamed('closer'))
    await ledger.admit(request)
    const closed = ledger.close(success(request.calls[0]!.id))
    await Promise.all([ledger.admit(requestBy(await callerNamed('closer'))), closed])
    expect(statements()).toBe(2)
  })

  it('is awaited by drained()', async () => {
    const ledger = createLedger(database.sql, { closeDelayMs: 60_000 })
    const requests = [requestBy(await callerNamed('drain')), requestBy(await callerNamed('drain'))]
    await Promise.all(requests.map((request) => ledger.admit(request)))
    for (const { calls } of requests) void ledger.close(success(calls[0]!.id))
    await ledger.drained()
    expect(await Promise.all(requests.map(({ calls }) => statusOf(calls[0]!.id)))).toEqual([
      'success',
      'success',
    ])
    await ledger.drained()
  })
})

it('is settled when every call that it admitted has ended and is on record', async () => {
  const ledger = createLedger(database.sql)
  const calls = [callOf(), callOf()]
  await ledger.admit(requestBy(await callerNamed('settled'), { calls }))
  let settled = false
  const settling = ledger.settled().then(() => (settled = true))
  await ledger.close(success(calls[0]!.id))
  await ledger.drained()
  expect(settled).toBe(false)
  void ledger.close(success(calls[1]!.id))
  await settling
  const rows = await database.sql`
    select status from archon_mcp_requests where request_id in ${database.sql(calls.map(({ id }) => id))}`
  expect(rows.map(({ status }) => String(status))).toEqual(['success', 'success'])
})

it('holds a call that goes on for as long again, and one that has ended no more', async () => {
  let now = new Date('2026-01-01T00:00:00Z')
  const ledger = createLedger(database.sql, { now: () => now })
  const [open, ended] = [callOf({ holdSeconds: 60 }), callOf({ holdSeconds: 60 })]
  await ledger.admit(requestBy(await callerNamed('renewed'), { calls: [open, ended] }))
  await ledger.close(success(ended.id))
  now = new Date('2026-01-01T00:00:30Z')
  await ledger.renew([open, ended])
  const rows = await database.sql`
    select status, hold_expires_at from archon_mcp_requests
    where request_id in ${database.sql([open.id, ended.id])} order by status`
  expect([...rows]).toEqual([
    { status: 'open', hold_expires_at: new Date('2026-01-01T00:01:30Z') },
    { status: 'success', hold_expires_at: null },
  ])
})
