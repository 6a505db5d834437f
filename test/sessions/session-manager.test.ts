import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSessionManager, type SessionManager } from '../../src/sessions/session-manager.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callTool, initialize, mcpApp, modern, post, tokenFor } from '../support/mcp.ts'

let database: TestDatabase
let sessions: SessionManager
beforeAll(async () => {
  database = await createTestDatabase()
  sessions = createSessionManager(database.sql)
})
afterAll(() => database[Symbol.asyncDispose]())

const rowOf = async (id: string) =>
  (await database.owner`select * from archon_mcp_sessions where session_id = ${id}`)[0]

const clear = async () => {
  await database.owner`delete from archon_mcp_requests`
  await database.owner`delete from archon_mcp_sessions`
}

describe('createSession', () => {
  it('opens a session without a user, as before', async () => {
    const id = await sessions.createSession({ clientInfo: { name: 'Claude Code', version: '1.0.0' } })
    expect(await rowOf(id)).toMatchObject({
      client_type: 'Claude',
      client_version: '1.0.0',
      client_name: 'Claude Code',
      metadata: { name: 'Claude Code', version: '1.0.0' },
      user_id: null,
      user_email: null,
      user_name: null,
      status: 'active',
      timeout_seconds: 86_400,
    })
  })

  it('opens a session with a user context', async () => {
    const userContext = {
      user_id: '550e8400-e29b-41d4-a716-446655440000',
      user_email: 'john.doe@example.com',
      user_name: 'John Doe',
    }
    const id = await sessions.createSession({
      clientInfo: { name: 'Claude Code', version: '1.0.0' },
      userContext,
    })
    expect(await rowOf(id)).toMatchObject(userContext)
  })

  it('opens a session of an unknown client of nobody', async () => {
    expect(await rowOf(await sessions.createSession())).toMatchObject({
      client_type: 'Unknown',
      metadata: {},
    })
  })

  it('opens another each time', async () => {
    expect(await sessions.createSession()).not.toBe(await sessions.createSession())
  })

  it('keeps what a user or client is called as far as it can be kept', async () => {
    const userContext = {
      user_id: crypto.randomUUID(),
      user_email: 'x'.repeat(300),
      user_name: 'N\0ame\ud800',
    }
    const id = await sessions.createSession({
      clientInfo: { name: 'Bad\0', note: 'a\0b\ud83d' },
      userContext,
    })
    expect(await rowOf(id)).toMatchObject({
      user_email: 'x'.repeat(255),
      user_name: 'Name\ufffd',
      client_name: 'Bad',
      metadata: { name: 'Bad', note: 'ab\ufffd' },
    })
  })

  for (const user_id of ['', 'john', '550e8400e29b41d4a716446655440000']) {
    it(`says so when the user's id is ${JSON.stringify(user_id)}`, async () => {
      await expect(sessions.createSession({ userContext: { user_id } })).rejects.toThrow(
        `createSession: userContext.user_id must be a UUID, got ${JSON.stringify(user_id)}`,
      )
    })
  }
})

describe('endSession', () => {
  it('ends a session once, and writes how long it was', async () => {
    const id = await sessions.createSession()
    await database.owner`update archon_mcp_sessions set connected_at = now() - interval '90 seconds' where session_id = ${id}`
    expect(await sessions.endSession(id, 'admin')).toBe(true)
    const row = await rowOf(id)
    expect(row).toMatchObject({ status: 'disconnected', disconnect_reason: 'admin' })
    expect(row!['total_duration']).toBeGreaterThanOrEqual(90)
    expect(await sessions.endSession(id, 'error')).toBe(false)
    expect(await rowOf(id)).toEqual(row)
  })

  it('of an unknown session ends nothing', async () => {
    expect(await sessions.endSession(crypto.randomUUID(), 'admin')).toBe(false)
  })

  it('by several at once is the end by one of them', async () => {
    const id = await sessions.createSession()
    const ended = await Promise.all(Array.from({ length: 4 }, () => sessions.endSession(id, 'admin')))
    expect(ended.filter(Boolean)).toHaveLength(1)
  })
})

describe('sweep', () => {
  const NOW = new Date('2027-01-01T12:00:00Z')
  const NOTHING = { sessions_ended: 0, sessions_idled: 0, calls_expired: 0 }

  /** Sessions whose last call was so long before `NOW`. */
  const make = async (count: number, ago: string, timeoutSeconds = 3600) => {
    const rows = await database.owner<{ session_id: string }[]>`
      insert into archon_mcp_sessions (connected_at, last_activity, timeout_seconds)
      select ${NOW}::timestamptz - ${ago}::interval - interval '1 hour', ${NOW}::timestamptz - ${ago}::interval,
             ${timeoutSeconds}
      from generate_series(1, ${count}) returning session_id`
    return rows.map((row) => row.session_id)
  }
  const makeCalls = (count: number, heldFor: string, status = 'open') => database.owner`
    insert into archon_mcp_requests (method, kind, status, timestamp, hold_expires_at)
    select 'tools/call', 'mcp', ${status}, ${NOW}::timestamptz - interval '10 minutes',
           ${NOW}::timestamptz + ${heldFor}::interval
    from generate_series(1, ${count})`
  const cases: { name: string; ago: string; status: string; reason: string | null }[] = [
    { name: 'just active', ago: '0 seconds', status: 'active', reason: null },
    { name: 'active for five minutes', ago: '5 minutes', status: 'active', reason: null },
    { name: 'idle after that', ago: '5 minutes 1 second', status: 'idle', reason: null },
    { name: 'idle until its time is over', ago: '1 hour', status: 'idle', reason: null },
    { name: 'ended after that', ago: '1 hour 1 second', status: 'disconnected', reason: 'timeout' },
  ]
  for (const { name, ago, status, reason } of cases) {
    it(`leaves a session ${name}`, async () => {
      await clear()
      const [id] = await make(1, ago)
      await sessions.sweep(NOW)
      expect(await rowOf(id!)).toMatchObject({ status, disconnect_reason: reason })
      expect(await sessions.sweep(NOW)).toEqual(NOTHING)
    })
  }

  it('calls a session idle when it has been, by its own measure', async () => {
    await clear()
    const app = mcpApp(database.sql, { session: { idleAfterSeconds: 60 } })
    const token = await tokenFor('Idler')
    await app.request('/mcp', post(initialize(), { token }))
    const { body, headers } = modern(callTool('echo', { text: 'x' }))
    await app.request('/mcp', post(body, { token, headers }))
    await database.owner`update archon_mcp_sessions set last_activity = ${NOW}::timestamptz - interval '61 seconds'`
    expect(await sessions.sweep(NOW)).toMatchObject({ sessions_idled: 2 })
  })

  it('ends a session as of the moment at which its time was over', async () => {
    await clear()
    const [id] = await make(1, '3 hours')
    await sessions.sweep(NOW)
    expect(await rowOf(id!)).toMatchObject({
      disconnected_at: new Date(NOW.getTime() - 2 * 60 * 60 * 1000),
      total_duration: 2 * 60 * 60,
    })
  })

  it('closes calls whose hold is over, and no others', async () => {
    await clear()
    await makeCalls(1, '-1 second')
    await makeCalls(1, '1 second')
    await makeCalls(1, '-1 second', 'success')
    expect(await sessions.sweep(NOW)).toEqual({ ...NOTHING, calls_expired: 1 })
    const rows = await database.owner`
      select status, hold_expired, duration_ms from archon_mcp_requests where hold_expired or status = 'open'
      order by status desc`
    expect(rows).toEqual([
      { status: 'timeout', hold_expired: true, duration_ms: 599_000 },
      { status: 'open', hold_expired: false, duration_ms: null },
    ])
  })

  it('goes on in steps until nothing is left', async () => {
    await clear()
    await Promise.all([make(1201, '2 hours'), make(700, '10 minutes'), makeCalls(501, '-1 minute')])
    expect(await sessions.sweep(NOW)).toEqual({
      sessions_ended: 1201,
      sessions_idled: 700,
      calls_expired: 501,
    })
    expect(await sessions.sweep(NOW)).toEqual(NOTHING)
  })

  it('by several at once does each thing once', async () => {
    await clear()
    await Promise.all([make(800, '2 hours'), make(800, '10 minutes'), makeCalls(800, '-1 minute')])
    const others = [createSessionManager(database.sql), createSessionManager(database.owner)]
    const done = await Promise.all([sessions, ...others].map((manager) => manager.sweep(NOW)))
    for (const name of ['sessions_ended', 'sessions_idled', 'calls_expired'] as const) {
      expect([name, done.reduce((sum, counts) => sum + counts[name], 0)]).toEqual([name, 800])
    }
  })

  it('works at the clock of the database unless told otherwise', async () => {
    await clear()
    const id = await sessions.createSession()
    await database.owner`update archon_mcp_sessions set last_activity = now() - interval '6 minutes' where session_id = ${id}`
    expect(await sessions.sweep()).toEqual({ ...NOTHING, sessions_idled: 1 })
  })

  it('does not wait for a session that somebody else is writing', async () => {
    await clear()
    const [locked] = await make(2, '2 hours')
    await database.owner.begin(async (tx) => {
      await tx`select from archon_mcp_sessions where session_id = ${locked!} for update`
      expect(await sessions.sweep(NOW)).toEqual({ ...NOTHING, sessions_ended: 1 })
    })
    expect(await sessions.sweep(NOW)).toEqual({ ...NOTHING, sessions_ended: 1 })
  })
})

describe('what makes no sense is refused at once', () => {
  it.each([
    [{ maxPerUser: 0 }, 'maxPerUser must be a positive integer, got 0'],
    [{ timeoutSeconds: 1.5 }, 'timeoutSeconds must be a positive integer, got 1.5'],
    [{ userContext: { user_id: 'me' } }, 'userContext.user_id must be a UUID, got "me"'],
  ])('createSession(%j)', async (options, fault) => {
    await expect(sessions.createSession(options)).rejects.toThrow(`createSession: ${fault}`)
  })

  it('a session may end for a known reason only, and one that cannot be does not', async () => {
    const id = await sessions.createSession()
    await expect(sessions.endSession(id, 'boredom' as 'admin')).rejects.toThrow(
      'endSession: reason must be one of',
    )
    expect(await sessions.endSession('no id', 'admin')).toBe(false)
  })
})
