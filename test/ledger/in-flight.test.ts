import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, callOf, derived, requestBy, success } from '../support/ledger.ts'
import { callTool, initialize, mcpApp, modern, post, tokenFor } from '../support/mcp.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

describe('at most so many calls of a user run at once', () => {
  it('admits exactly as many, however many instances are asked at once', async () => {
    const ledgers = Array.from({ length: 4 }, () => createLedger(database.sql))
    const caller = await callerNamed('crowd')
    const asked = Array.from({ length: 60 }, (_, index) =>
      ledgers[index % ledgers.length]!.admit(requestBy(caller, { maxCallsInFlight: 7 })),
    )
    const verdicts = await Promise.all(asked)
    expect(verdicts.filter(({ admitted }) => admitted)).toHaveLength(7)
    expect(verdicts).toContainEqual(expect.objectContaining({ admitted: false, code: 'too_many_calls' }))
  })

  it('makes room when a call ends, and when it was lost', async () => {
    let now = new Date('2026-01-01T00:00:00Z')
    const ledger = createLedger(database.sql, { now: () => now })
    const caller = await callerNamed('one-at-a-time')
    const ask = (id = callOf().id) => {
      const calls = [callOf({ id, holdSeconds: 60 })]
      return ledger.admit(requestBy(caller, { calls, maxCallsInFlight: 1 }))
    }
    const first = callOf().id
    expect((await ask(first)).admitted).toBe(true)
    expect((await ask()).admitted).toBe(false)
    await ledger.close(success(first))
    expect((await ask()).admitted).toBe(true)
    now = new Date(now.getTime() + 61_000)
    expect((await ask()).admitted).toBe(true)
  })

  it('takes a batch whole or not at all', async () => {
    const ledger = createLedger(database.sql)
    const caller = await callerNamed('batch')
    const ask = (size: number) => {
      const calls = Array.from({ length: size }, () => callOf())
      return ledger.admit(requestBy(caller, { calls, maxCallsInFlight: 5 }))
    }
    expect((await ask(3)).admitted).toBe(true)
    expect((await ask(3)).admitted).toBe(false)
    expect((await ask(2)).admitted).toBe(true)
  })

  it('is the limit of one user, and leaves others alone', async () => {
    const ledger = createLedger(database.sql)
    const [left, right] = [await callerNamed('left'), await callerNamed('right')]
    const verdicts = await Promise.all(
      [left, right, left].map((caller) => ledger.admit(requestBy(caller, { maxCallsInFlight: 1 }))),
    )
    expect(verdicts[1]!.admitted).toBe(true)
    expect(verdicts.filter(({ admitted }) => admitted)).toHaveLength(2)
  })

  it('does not count what a client needs to connect', async () => {
    const ledger = createLedger(database.sql)
    const caller = await callerNamed('connecting')
    for (const method of ['initialize', 'server/discover', 'ping', 'subscriptions/listen', 'tools/call']) {
      const request = requestBy(caller, { calls: [callOf({ method, tool: null })], maxCallsInFlight: 1 })
      expect(await ledger.admit(request), method).toMatchObject({ admitted: true })
    }
  })

  it('answers 429 with Retry-After, the id and a sentence for the model', async () => {
    const app = mcpApp(database.sql, { maxCallsInFlight: 1 })
    const token = await tokenFor('Hasty')
    const { body, headers } = modern(callTool('echo', { text: 'x' }, 'first'))
    await (await app.request('/mcp', post(body, { token, headers }))).text()
    await database.owner`
      insert into archon_mcp_requests (method, kind, status, user_id, hold_expires_at)
      select 'tools/call', 'mcp', 'open', user_id, now() + interval '1 minute'
      from archon_mcp_users where name = 'Hasty'`
    const refused = await app.request('/mcp', post({ ...body, id: 'second' }, { token, headers }))
    expect(refused.status).toBe(429)
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(await refused.json()).toEqual({
      jsonrpc: '2.0',
      id: 'second',
      error: {
        code: 42900,
        message: 'At most 1 call of a user may run at once; try again when one of them has ended.',
        data: {
          code: 'too_many_calls',
          kind: 'in_flight',
          limit: 1,
          remaining: 0,
          reset_at: expect.any(String),
          retry_after_ms: 1000,
        },
      },
    })
  })
})

const liveOf = (user: string) => database.sql<
  { client_name: string; status: string; reason: string | null }[]
>`
  select client_name, status, disconnect_reason as reason
  from archon_mcp_sessions where user_name = ${user} order by connected_at, client_name`

describe('at most so many live sessions of a user', () => {
  it('ends the one without a call for longest, in both eras', async () => {
    const app = mcpApp(database.sql, { session: { maxPerUser: 2 } })
    const token = await tokenFor('Many')
    const first = await app.request('/mcp', post(initialize('first'), { token }))
    await app.request('/mcp', post(initialize('second'), { token }))
    const { body, headers } = modern(callTool('echo', { text: 'x' }), { name: 'third', version: '1' })
    await app.request('/mcp', post(body, { token, headers }))
    expect([...(await liveOf('Many'))]).toEqual([
      { client_name: 'first', status: 'disconnected', reason: 'replaced' },
      { client_name: 'second', status: 'active', reason: null },
      { client_name: 'third', status: 'active', reason: null },
    ])
    const session = first.headers.get('mcp-session-id')!
    expect((await app.request('/mcp', post(callTool('echo'), { token, session }))).status).toBe(404)
  })

  it('holds when many are opened at once', async () => {
    const ledgers = Array.from({ length: 4 }, () => createLedger(database.sql))
    const caller = await callerNamed('opener')
    await Promise.all(
      Array.from({ length: 40 }, (_, index) => {
        const session = { ...derived(`client ${index}`), maxPerUser: 3 }
        return ledgers[index % ledgers.length]!.admit(requestBy(caller, { session }))
      }),
    )
    const sessions = await liveOf('opener')
    expect(sessions.filter(({ status }) => status === 'active')).toHaveLength(3)
    expect(sessions.filter(({ reason }) => reason === 'replaced')).toHaveLength(37)
  })
})
