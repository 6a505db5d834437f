import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Sql } from '../../src/db/client.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { Ledger, LedgerCaller, SessionDemand } from '../../src/ledger/types.ts'
import type { DisconnectReason } from '../../src/sessions/life-cycle.ts'
import { createSessionManager, type SessionManager } from '../../src/sessions/session-manager.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, derived, requestBy } from '../support/ledger.ts'

// A slow, obvious picture of the life of sessions, held against two instances on one database.

const TIMEOUT = 600
const DERIVED_TIMEOUT = 120
const MAX_PER_USER = 3
const IDLE_AFTER = 300

interface ModelSession {
  id: string
  user: string
  /** The client name of a derived session; null where the id is on the wire. */
  client: string | null
  connected: number
  last: number
  timeout: number
  ended: { at: number; reason: string } | null
}

/** What should be true. Times are seconds since the start. */
class Model {
  now = 0
  sessions: ModelSession[] = []

  live = (session: ModelSession): boolean => session.ended === null

  /** Ends what ran out, as of the moment at which it did. */
  expire(which: (session: ModelSession) => boolean): void {
    for (const session of this.sessions.filter((each) => this.live(each) && which(each))) {
      if (session.last + session.timeout >= this.now) continue
      session.ended = { at: session.last + session.timeout, reason: 'timeout' }
    }
  }

  open(id: string, user: string, client: string | null): void {
    this.expire((session) => session.user === user)
    const timeout = client === null ? TIMEOUT : DERIVED_TIMEOUT
    this.sessions.push({ id, user, client, connected: this.now, last: this.now, timeout, ended: null })
    const newestFirst = this.sessions
      .filter((session) => session.user === user && this.live(session))
      .toSorted(
        (a, b) =>
          Number(b.id === id) - Number(a.id === id) ||
          b.last - a.last ||
          b.connected - a.connected ||
          (a.id < b.id ? -1 : 1),
      )
    for (const session of newestFirst.slice(MAX_PER_USER))
      session.ended = { at: this.now, reason: 'replaced' }
  }

  /** @returns whether a call in the session is admitted. */
  call(session: ModelSession, user: string): boolean {
    if (session.user !== user) return false
    this.expire((each) => each === session)
    if (!this.live(session)) return false
    session.last = this.now
    return true
  }
}

/** The two instances; a restart forgets all they hold in memory. */
class Real {
  time = new Date('2026-03-01T00:00:00Z')
  instances: { ledger: Ledger; sessions: SessionManager }[] = []
  readonly sql: Sql
  readonly callers: Map<string, LedgerCaller>

  constructor(sql: Sql, callers: Map<string, LedgerCaller>) {
    this.sql = sql
    this.callers = callers
    this.restart(0)
    this.restart(1)
  }

  restart(instance: number): void {
    const now = (): Date => this.time
    this.instances[instance] = {
      ledger: createLedger(this.sql, { now, closeDelayMs: 0 }),
      sessions: createSessionManager(this.sql, { now }),
    }
  }

  async call(instance: number, user: string, session: SessionDemand): Promise<string | null> {
    const verdict = await this.instances[instance]!.ledger.admit(
      requestBy(this.callers.get(user)!, { session }),
    )
    if (!verdict.admitted) return null
    return verdict.sessionId
  }
}

type Command = fc.AsyncCommand<Model, Real>

/** Every session of the database is as the model has it: in one state, whole, and none came back. */
async function compare(model: Model, real: Real): Promise<void> {
  const rows = await real.sql<
    {
      id: string
      status: string
      ended: Date | null
      reason: string | null
      duration: number | null
      last: Date
    }[]
  >`
    select session_id as id, status, disconnected_at as ended, disconnect_reason as reason,
           total_duration as duration, last_activity as last
    from archon_mcp_sessions`
  const start = new Date('2026-03-01T00:00:00Z').getTime()
  const seconds = (date: Date | null): number | null =>
    date === null ? null : (date.getTime() - start) / 1000
  const byId = new Map(rows.map((row) => [row.id, row]))
  expect(byId.size).toBe(model.sessions.length)
  for (const { id, ended, connected, last } of model.sessions) {
    const row = byId.get(id)!
    expect({ ended: seconds(row.ended), reason: row.reason, duration: row.duration }).toEqual({
      ended: ended?.at ?? null,
      reason: ended?.reason ?? null,
      duration: ended === null ? null : ended.at - connected,
    })
    expect(row.status === 'disconnected').toBe(ended !== null)
    expect(seconds(row.last)).toBe(last)
  }
}

const USERS = ['ann', 'ben'] as const
const CLIENTS = ['Claude', 'Cursor', 'Windsurf', 'Cline'] as const
const user = fc.constantFrom(...USERS)
const instance = fc.nat(1)
const command = <T extends unknown[]>(
  name: string,
  parts: { [K in keyof T]: fc.Arbitrary<T[K]> },
  run: (model: Model, real: Real, ...values: T) => Promise<void>,
): fc.Arbitrary<Command> =>
  fc.tuple<T>(...parts).map((values) => ({
    check: () => true,
    async run(model, real) {
      await run(model, real, ...values)
      await compare(model, real)
    },
    toString: () => `${name}(${values.map(String).join(', ')})`,
  }))

const commands = [
  command('open', [instance, user], async (model, real, at, name) => {
    const id = await real.instances[at]!.sessions.createSession({
      clientInfo: { name: 'Claude' },
      userContext: { user_id: real.callers.get(name)!.firstId },
      timeoutSeconds: TIMEOUT,
      maxPerUser: MAX_PER_USER,
    })
    model.open(id, name, null)
  }),
  command('call', [instance, user, fc.nat(20)], async (model, real, at, name, which) => {
    const onWire = model.sessions.filter(({ client }) => client === null)
    const session = onWire[which % Math.max(onWire.length, 1)]
    if (session === undefined) return
    const answer = await real.call(at, name, { id: session.id })
    expect(answer).toBe(model.call(session, name) ? session.id : null)
  }),
  command('derive', [instance, user, fc.constantFrom(...CLIENTS)], async (model, real, at, name, client) => {
    const demand = { ...derived(client, '1', DERIVED_TIMEOUT), maxPerUser: MAX_PER_USER }
    const answer = await real.call(at, name, demand)
    const known = model.sessions.find(
      (session) => session.user === name && session.client === client && model.live(session),
    )
    if (known !== undefined && model.call(known, name)) expect(answer).toBe(known.id)
    else model.open(answer!, name, client)
  }),
  command(
    'end',
    [instance, fc.nat(20), fc.constantFrom<DisconnectReason>('client_disconnect', 'admin', 'error')],
    async (model, real, at, which, reason) => {
      const session = model.sessions[which % Math.max(model.sessions.length, 1)]
      if (session === undefined) return
      model.expire((each) => each === session)
      expect(await real.instances[at]!.sessions.endSession(session.id, reason)).toBe(model.live(session))
      session.ended ??= { at: model.now, reason }
    },
  ),
  command('wait', [fc.integer({ min: 2, max: 400 })], (model, real, seconds) => {
    model.now += seconds
    real.time = new Date(real.time.getTime() + seconds * 1000)
    return Promise.resolve()
  }),
  command('sweep', [instance], async (model, real, at) => {
    await real.instances[at]!.sessions.sweep()
    model.expire(() => true)
    const idle = await real.sql<{ id: string }[]>`
      select session_id as id from archon_mcp_sessions where status = 'idle' order by session_id`
    const expected = model.sessions.filter((each) => model.live(each) && each.last < model.now - IDLE_AFTER)
    expect(idle.map(({ id }) => id)).toEqual(expected.map(({ id }) => id).toSorted())
  }),
  command('restart', [instance], (_model, real, at) => {
    real.restart(at)
    return Promise.resolve()
  }),
]

let database: TestDatabase
const callers = new Map<string, LedgerCaller>()
beforeAll(async () => {
  database = await createTestDatabase()
  for (const name of USERS) {
    // The id at first sight is theirs for ever, so that sessions can be opened before the first call.
    const caller = await callerNamed(name)
    callers.set(name, caller)
    await createLedger(database.sql).admit(requestBy(caller, { calls: [] }))
  }
})
afterAll(() => database[Symbol.asyncDispose]())

it('two instances live through any sequence of events as one simple model does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.commands(commands, { maxCommands: 40 }), async (sequence) => {
      await database.owner`delete from archon_mcp_sessions`
      await fc.asyncModelRun(() => ({ model: new Model(), real: new Real(database.sql, callers) }), sequence)
    }),
    { numRuns: 300, ...(process.env['SEED'] === undefined ? {} : { seed: Number(process.env['SEED']) }) },
  )
}, 120_000)
