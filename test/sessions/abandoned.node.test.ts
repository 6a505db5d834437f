import { afterAll, beforeAll, expect, it } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { LedgerCaller } from '../../src/ledger/types.ts'
import { createSessionManager } from '../../src/sessions/session-manager.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, derived, requestBy } from '../support/ledger.ts'

const USERS = 1000
const CLIENTS = 10

let database: TestDatabase
const callers: LedgerCaller[] = []
beforeAll(async () => {
  database = await createTestDatabase({ max: 10 })
  for (let user = 0; user < USERS; user += 1) callers.push(await callerNamed(`user-${user}`))
})
afterAll(() => database[Symbol.asyncDispose]())

it('ends ten thousand abandoned sessions in bounded steps, while calls go on, and keeps nothing of them', async () => {
  let now = new Date('2026-01-01T00:00:00Z')
  const ledger = createLedger(database.sql, { now: () => now })
  const clients = Array.from({ length: CLIENTS }, (_, client) => derived(`client ${client}`))
  const requestOf = (user: number, client: number) =>
    requestBy(callers[user]!, { session: clients[client]!, calls: [] })

  for (const client of clients.keys()) {
    await Promise.all(callers.map((_, user) => ledger.admit(requestOf(user, client))))
  }
  const [{ sessions }] = await database.sql<[{ sessions: number }]>`
    select count(*)::integer as sessions from archon_mcp_sessions where disconnected_at is null`
  expect(sessions).toBe(USERS * CLIENTS)

  // Two hours later nobody has said DELETE. Two instances sweep; the first hundred users come back meanwhile.
  now = new Date('2026-01-01T02:00:00Z')
  const [{ largest: before }] = await largestStep()
  const sweeps = [0, 1].map(() => createSessionManager(database.sql, { now: () => now }).sweep())
  const comeBack = callers.slice(0, 100).map((_, user) => ledger.admit(requestOf(user, 0)))
  const verdicts = await Promise.all(comeBack)
  const swept = await Promise.all(sweeps)

  expect(verdicts.every(({ admitted }) => admitted)).toBe(true)
  expect(before).toBe(0)
  const [{ largest }] = await largestStep()
  expect(largest).toBeLessThanOrEqual(500)
  // Those who came back ended their old session themselves where they were faster than the sweep.
  const ended = swept.reduce((sum, { sessions_ended: count }) => sum + count, 0)
  expect(ended).toBeGreaterThanOrEqual(USERS * CLIENTS - 100)
  const states = await database.sql`
    select status, disconnect_reason as reason, count(*)::integer as sessions, min(total_duration) as duration
    from archon_mcp_sessions group by 1, 2 order by 1`
  expect([...states]).toEqual([
    { status: 'active', reason: null, sessions: 100, duration: null },
    { status: 'disconnected', reason: 'timeout', sessions: USERS * CLIENTS, duration: 3600 },
  ])
}, 60_000)

/** The most sessions that one statement has ended: rows with the same writing transaction. */
const largestStep = () => database.owner<[{ largest: number }]>`
  select coalesce(max(rows), 0)::integer as largest
  from (
    select count(*) as rows from archon_mcp_sessions where disconnected_at is not null group by xmin::text
  ) as step`
