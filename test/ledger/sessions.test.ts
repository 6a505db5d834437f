import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { Ledger, LedgerCaller, SessionDemand } from '../../src/ledger/types.ts'
import { createSessionManager } from '../../src/sessions/session-manager.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, derived, requestBy } from '../support/ledger.ts'

let database: TestDatabase
let ledger: Ledger
beforeAll(async () => {
  database = await createTestDatabase()
  ledger = createLedger(database.sql)
})
afterAll(() => database[Symbol.asyncDispose]())

/** The session that a request gets, or the code of its refusal. */
async function sessionFor(caller: LedgerCaller | null, session: SessionDemand): Promise<string | null> {
  const verdict = await ledger.admit(requestBy(caller, { session }))
  return verdict.admitted ? verdict.sessionId : verdict.code
}

/** A session on the wire of a new user. */
async function openedBy(subject: string): Promise<{ caller: LedgerCaller; id: string }> {
  const caller = await callerNamed(subject)
  await ledger.admit(requestBy(caller))
  const userContext = { user_id: caller.firstId }
  return { caller, id: await createSessionManager(database.sql).createSession({ userContext }) }
}

const rowOf = async (id: string | null) =>
  (await database.owner`select * from archon_mcp_sessions where session_id = ${id}`)[0]

/** As if `seconds` had passed since the last call. */
const age = (id: string | null, seconds: number) => database.owner`
  update archon_mcp_sessions
  set connected_at = connected_at - make_interval(secs => ${seconds}),
      last_activity = last_activity - make_interval(secs => ${seconds})
  where session_id = ${id}`

describe('a session on the wire', () => {
  it('is good for its own user, and remembers the call', async () => {
    const { caller, id } = await openedBy('owner')
    await age(id, 60)
    const before = await rowOf(id)
    expect(await sessionFor(caller, { id })).toBe(id)
    const after = await rowOf(id)
    expect(after!['last_activity'].getTime()).toBeGreaterThan(before!['last_activity'].getTime())
  })

  it('that was idle is active again', async () => {
    const { caller, id } = await openedBy('idler')
    await database.owner`update archon_mcp_sessions set status = 'idle' where session_id = ${id}`
    await sessionFor(caller, { id })
    expect(await rowOf(id)).toMatchObject({ status: 'active' })
  })

  const cases: { name: string; make: () => Promise<{ caller: LedgerCaller | null; id: string }> }[] = [
    {
      name: 'is unknown',
      make: async () => ({ caller: await callerNamed('u1'), id: crypto.randomUUID() }),
    },
    {
      name: "is another user's",
      make: async () => ({ caller: await callerNamed('mallory'), id: (await openedBy('u2')).id }),
    },
    {
      name: "is a user's, and nobody asks",
      make: async () => ({ caller: null, id: (await openedBy('u3')).id }),
    },
    {
      name: "is nobody's, and a user asks",
      make: async () => ({
        caller: await callerNamed('u4'),
        id: await createSessionManager(database.sql).createSession(),
      }),
    },
    {
      name: 'has ended',
      make: async () => {
        const opened = await openedBy('u5')
        await createSessionManager(database.sql).endSession(opened.id, 'client_disconnect')
        return opened
      },
    },
    {
      name: 'has expired',
      make: async () => {
        const opened = await openedBy('u6')
        await age(opened.id, 24 * 60 * 60 + 1)
        return opened
      },
    },
    {
      name: 'is the id of a derived session, which is never on the wire',
      make: async () => {
        const caller = await callerNamed('u7')
        return { caller, id: (await sessionFor(caller, derived('Cursor')))! }
      },
    },
  ]
  for (const { name, make } of cases) {
    it(`is not found when it ${name}, and the call leaves no row`, async () => {
      const { caller, id } = await make()
      const request = requestBy(caller, { session: { id } })
      expect(await ledger.admit(request)).toMatchObject({ admitted: false, code: 'session_not_found' })
      const rows = await database.owner`
        select from archon_mcp_requests where request_id = ${request.calls[0]!.id}`
      expect(rows).toHaveLength(0)
    })
  }

  it('that has expired ends as of the moment at which its time was over', async () => {
    const { caller, id } = await openedBy('late')
    await age(id, 24 * 60 * 60 + 100)
    await sessionFor(caller, { id })
    const row = await rowOf(id)
    expect(row).toMatchObject({
      status: 'disconnected',
      disconnect_reason: 'timeout',
      total_duration: 86_400,
    })
    expect(row!['disconnected_at'].getTime() - row!['last_activity'].getTime()).toBe(86_400_000)
  })

  it('does not bring down the rest of its group', async () => {
    const good = await openedBy('group-good')
    const bad = await openedBy('group-bad')
    await age(bad.id, 90_000)
    const sessions = await Promise.all([
      sessionFor(good.caller, { id: good.id }),
      sessionFor(bad.caller, { id: bad.id }),
      sessionFor(good.caller, { id: bad.id }),
      sessionFor(good.caller, { id: good.id }),
    ])
    expect(sessions).toEqual([good.id, 'session_not_found', 'session_not_found', good.id])
  })
})

describe('a derived session', () => {
  it('is shared by the calls of one client of one user', async () => {
    const caller = await callerNamed('sharer')
    const first = await sessionFor(caller, derived('Cursor'))
    expect(await sessionFor(caller, derived('Cursor'))).toBe(first)
    expect(await rowOf(first)).toMatchObject({
      era: '2026-07-28',
      client_type: 'Cursor',
      client_name: 'Cursor',
      client_version: '1.0',
      user_id: caller.firstId,
      user_email: 'sharer@example.com',
      user_name: 'sharer',
      status: 'active',
      timeout_seconds: 3600,
    })
  })

  it('is one for each user, client name and client version', async () => {
    const [one, two] = [await callerNamed('d1'), await callerNamed('d2')]
    const demands: [LedgerCaller | null, SessionDemand][] = [
      [one, derived('Cursor')],
      [two, derived('Cursor')],
      [null, derived('Cursor')],
      [one, derived('Cursor', '2.0')],
      [one, derived('Cursor', null)],
      [one, derived('Cursor 1.0', null)],
      [one, derived('Cursor 1.0', 'x')],
      [one, derived('Cursor', '1.0 x')],
      [one, derived('')],
    ]
    const first = await Promise.all(demands.map(([caller, demand]) => sessionFor(caller, demand)))
    expect(new Set(first).size).toBe(demands.length)
    const again = await Promise.all(demands.map(([caller, demand]) => sessionFor(caller, demand)))
    expect(again).toEqual(first)
  })

  it('of nobody is shared by everybody who says the same, and has no user', async () => {
    const first = await sessionFor(null, derived('Anonymous'))
    expect(await sessionFor(null, derived('Anonymous'))).toBe(first)
    expect(await rowOf(first)).toMatchObject({ user_id: null, user_email: null })
  })

  it('is renewed after its time without a call; the old one ends by itself', async () => {
    const caller = await callerNamed('renewer')
    const old = await sessionFor(caller, derived('Cursor'))
    await age(old, 3601)
    const renewed = await Promise.all(Array.from({ length: 5 }, () => sessionFor(caller, derived('Cursor'))))
    expect(new Set(renewed).size).toBe(1)
    expect(renewed[0]).not.toBe(old)
    expect(await rowOf(old)).toMatchObject({
      status: 'disconnected',
      disconnect_reason: 'timeout',
      total_duration: 3600,
    })
    expect(await rowOf(renewed[0]!)).toMatchObject({ status: 'active', disconnect_reason: null })
  })

  it('that ended is followed by another', async () => {
    const caller = await callerNamed('ender')
    const old = await sessionFor(caller, derived('Cursor'))
    await createSessionManager(database.sql).endSession(old!, 'admin')
    expect(await sessionFor(caller, derived('Cursor'))).not.toBe(old)
  })
})
