import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { migrate } from '../../src/db/migrate.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import type { Transaction } from '../../src/db/client.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import { createSessionManager } from '../../src/sessions/session-manager.ts'
import { ALICE, archonSession, BOB, databaseOn } from '../support/archon.ts'
import type { TestDatabase } from '../support/database.ts'
import { callerNamed, callOf, requestBy, success } from '../support/ledger.ts'

describe.each(['archon', 'archon on supabase'] as const)('beside us, on %s, a writer of Archon', (ground) => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await databaseOn(ground)
    await migrate(database.owner, { direction: 'up' })
  })
  afterAll(() => database[Symbol.asyncDispose]())

  /** As Archon's server writes: in the role of its service key. */
  const asArchon = <T>(write: (tx: Transaction) => Promise<T>) =>
    inTransaction(database.sql, write, { role: 'service_role', claims: { role: 'service_role' } })
  const sessionRow = async (id: string) =>
    (await database.owner`select * from archon_mcp_sessions where session_id = ${id}`)[0]!
  const requestRow = async (id: string) =>
    (await database.owner`select * from archon_mcp_requests where request_id = ${id}`)[0]!

  /** Opens a session as Archon does, as long ago as is told. */
  async function openSession(agoSeconds: number, userId: string | null = null): Promise<string> {
    const [row] = await asArchon(
      (tx) => tx<{ session_id: string }[]>`
        insert into archon_mcp_sessions (client_type, user_id, connected_at, last_activity)
        values ('Claude Code', ${userId}, now() - make_interval(secs => ${agoSeconds}),
                now() - make_interval(secs => ${agoSeconds}))
        returning session_id`,
    )
    return row!.session_id
  }
  async function addRequest(session: string, agoSeconds = 0): Promise<string> {
    const [row] = await asArchon(
      (tx) => tx<{ request_id: string }[]>`
        insert into archon_mcp_requests (session_id, method, tool_name, prompt_tokens, estimated_cost, timestamp)
        values (${session}, 'tools/call', 'search', 7, 0.5, now() - make_interval(secs => ${agoSeconds}))
        returning request_id`,
    )
    return row!.request_id
  }

  test('opens a session of which it tells the client alone', async () => {
    const [row] = await asArchon(
      (tx) => tx`insert into archon_mcp_sessions (client_type) values ('Unknown') returning *`,
    )
    expect(row).toMatchObject({
      client_type: 'Unknown',
      status: 'active',
      metadata: {},
      user_id: null,
      disconnected_at: null,
      derived_key: null,
    })
  })

  test("records a request: it has its session's user, and keeps the session alive", async () => {
    const session = await openSession(3600, ALICE)
    const request = await requestRow(await addRequest(session))
    expect(request).toMatchObject({
      kind: null,
      status: 'success',
      user_id: ALICE,
      client_type: 'Claude Code',
      cost: '0.5000000000',
      total_tokens: 7,
    })
    const row = await sessionRow(session)
    expect(row).toMatchObject({ status: 'active' })
    expect(row['last_activity']).toEqual(request['timestamp'])
  })

  test('records a request of an hour ago: the session was idle since then, and its clock is never put back', async () => {
    const session = await openSession(7200)
    await addRequest(session, 3600)
    const idle = await sessionRow(session)
    expect(idle).toMatchObject({ status: 'idle' })
    await addRequest(session, 5000)
    expect((await sessionRow(session))['last_activity']).toEqual(idle['last_activity'])
    await addRequest(session)
    expect(await sessionRow(session)).toMatchObject({ status: 'active' })
  })

  test.each([
    ['by status alone', "status = 'disconnected'", 'client_disconnect'],
    [
      'with its moment',
      "status = 'disconnected', disconnected_at = now(), disconnect_reason = 'timeout'",
      'timeout',
    ],
    [
      'in its clean-up',
      "status = 'disconnected', disconnected_at = now(), disconnect_reason = 'timeout_no_activity'",
      'timeout_no_activity',
    ],
    [
      'with an error',
      "status = 'disconnected', disconnected_at = now(), disconnect_reason = 'error: ConnectionError'",
      'error: ConnectionError',
    ],
    ['by its moment alone', 'disconnected_at = now()', 'client_disconnect'],
  ])('ends a session %s: moment, reason and duration are there', async (_how, change, reason) => {
    const session = await openSession(90)
    await asArchon((tx) =>
      tx.unsafe(`update archon_mcp_sessions set ${change} where session_id = '${session}'`),
    )
    const row = await sessionRow(session)
    expect(row).toMatchObject({ status: 'disconnected', disconnect_reason: reason })
    expect(row['disconnected_at']).toBeInstanceOf(Date)
    expect([90, 91]).toContain(row['total_duration'])
  })

  test('closes a session whole: what it wrote stands', async () => {
    const session = await openSession(90)
    await asArchon(
      (tx) => tx`
        update archon_mcp_sessions
        set status = 'disconnected', disconnected_at = now(), disconnect_reason = 'server_shutdown', total_duration = 42
        where session_id = ${session}`,
    )
    expect(await sessionRow(session)).toMatchObject({
      disconnect_reason: 'server_shutdown',
      total_duration: 42,
    })
  })

  test('cannot revive a session that has ended, by whatever it writes', async () => {
    const session = await openSession(90)
    await asArchon(
      (tx) => tx`update archon_mcp_sessions set status = 'disconnected' where session_id = ${session}`,
    )
    const ended = await sessionRow(session)
    await addRequest(session)
    expect(await sessionRow(session)).toEqual(ended)
    for (const change of [
      "status = 'active'",
      "status = 'idle', disconnected_at = null",
      'disconnected_at = now()',
    ]) {
      await asArchon((tx) =>
        tx.unsafe(`update archon_mcp_sessions set ${change} where session_id = '${session}'`),
      )
      expect(await sessionRow(session)).toEqual(ended)
    }
  })

  test('cannot revive one that was called ended and no more: it ended with its last call', async () => {
    const session = await openSession(90)
    await database.owner`alter table archon_mcp_sessions disable trigger archon_mcp_session_end`
    await database.owner`update archon_mcp_sessions set status = 'disconnected' where session_id = ${session}`
    await database.owner`alter table archon_mcp_sessions enable trigger archon_mcp_session_end`
    const before = await sessionRow(session)
    expect(before).toMatchObject({ disconnected_at: null })
    await addRequest(session)
    expect(await sessionRow(session)).toEqual(before)
    await asArchon((tx) => tx`update archon_mcp_sessions set status = 'active' where session_id = ${session}`)
    expect(await sessionRow(session)).toMatchObject({
      status: 'disconnected',
      disconnected_at: before['last_activity'] as Date,
      total_duration: 0,
    })
  })

  test('cannot keep a session alive that it revived before us: the next write ends it for good', async () => {
    const session = archonSession(5)
    expect(await sessionRow(session)).toMatchObject({ status: 'active', user_id: BOB })
    await asArchon(
      (tx) => tx`update archon_mcp_sessions set last_activity = now() where session_id = ${session}`,
    )
    expect(await sessionRow(session)).toMatchObject({
      status: 'disconnected',
      disconnect_reason: 'server_shutdown',
      total_duration: 600,
    })
  })

  test('cannot record a request of a session that is not there', async () => {
    const missing = addRequest(crypto.randomUUID())
    await expect(missing).rejects.toMatchObject({ code: '23503' })
  })

  test('is not mistaken for the ledger, whose calls fire no trigger of this kind', async () => {
    const { sql, owner } = database
    const ledger = createLedger(sql)
    const caller = await callerNamed(`fay of ${ground}`)
    await ledger.admit(requestBy(caller))
    const session = await createSessionManager(sql).createSession({
      userContext: { user_id: caller.firstId },
    })
    await owner.unsafe(`
      create function tell() returns trigger language plpgsql as $$
      begin
        raise exception 'a session was written';
      end
      $$;
      create trigger tell before update on archon_mcp_sessions for each row execute function tell();
    `)
    const call = callOf()
    await ledger.admit(requestBy(caller, { session: { id: session }, calls: [call] }))
    await ledger.close(success(call.id))
    expect(await requestRow(call.id)).toMatchObject({ kind: 'mcp', status: 'success' })
    await expect(addRequest(session)).rejects.toThrow('a session was written')
    await owner`drop trigger tell on archon_mcp_sessions`
  })
})
