import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { errorCode, type Sql } from '../../src/db/client.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { Ledger } from '../../src/ledger/types.ts'
import { createSessionManager } from '../../src/sessions/session-manager.ts'
import { connectHere, createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, callOf, derived, requestBy, success } from '../support/ledger.ts'

let database: TestDatabase
let clients: Sql[]
beforeAll(async () => {
  database = await createTestDatabase()
  clients = await Promise.all(Array.from({ length: 4 }, () => connectHere(database.url, { max: 2 })))
})
afterAll(async () => {
  await Promise.all(clients.map((sql) => sql.end({ timeout: 1 })))
  await database[Symbol.asyncDispose]()
})

/** The same client, and the errors of its statements. */
function watched(sql: Sql): { sql: Sql; codes: unknown[] } {
  const codes: unknown[] = []
  const watching = new Proxy(sql, {
    apply(target, self, args: unknown[]) {
      const answer = Reflect.apply(target as (...args: unknown[]) => Promise<unknown>, self, args)
      if (Array.isArray(args[0]) && 'raw' in args[0]) {
        answer.catch((error: unknown) => codes.push(errorCode(error)))
      }
      return answer
    },
  })
  return { sql: watching, codes }
}

/** Numbers that look random and are the same in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * below)
  }
}

async function randomRequests(ledger: Ledger, next: (below: number) => number, sessions: string[]) {
  const admitted: string[] = []
  await Promise.all(
    Array.from({ length: 150 }, async () => {
      const user = next(12)
      const wire = sessions[user % sessions.length]!
      const caller = await callerNamed(`user-${user}`, {
        department: `department-${next(3)}`,
        issuedAt: new Date(1_767_000_000_000 + 1000 * next(1000)),
      })
      const session = [null, { id: wire }, derived(`Client ${next(3)}`)][next(3)]!
      const calls = Array.from({ length: 1 + next(3) }, () => callOf())
      const verdict = await ledger.admit({ caller, session, calls })
      if (!verdict.admitted) return
      admitted.push(...calls.map(({ id }) => id))
      await Promise.all(calls.map(({ id }) => ledger.close(success(id))))
    }),
  )
  await ledger.drained()
  return admitted
}

/** Twenty times, one after another. */
async function repeatedly(act: () => Promise<void>): Promise<void> {
  for (let round = 0; round < 20; round += 1) await act()
}

describe('several instances on one database', () => {
  it('serve the same new users at once without deadlock or duplicates', async () => {
    const owners = await Promise.all(Array.from({ length: 6 }, (_, user) => callerNamed(`user-${user}`)))
    const sessions = await Promise.all(
      owners.map(({ firstId }) =>
        createSessionManager(database.sql).createSession({ userContext: { user_id: firstId } }),
      ),
    )
    // Old enough that each of them is touched by the first call.
    await database.owner`update archon_mcp_sessions set last_activity = now() - interval '1 hour'`
    const instances = clients.map(watched)
    const next = numbers(42)
    const admitted = await Promise.all(
      instances.map(({ sql }) => randomRequests(createLedger(sql, { maxGroupSize: 20 }), next, sessions)),
    )
    const ids = admitted.flat()
    expect(ids.length).toBeGreaterThan(300)
    expect(instances.flatMap(({ codes }) => codes)).toEqual([])

    const rows = await database.owner`select request_id, status from archon_mcp_requests`
    expect(rows.map((row) => String(row['request_id'])).toSorted()).toEqual(ids.toSorted())
    expect(rows.every((row) => row['status'] === 'success')).toBe(true)
    const [users] = await database.owner`
      select count(*)::integer as rows, count(distinct (issuer, subject))::integer as users,
             max(claims_at) as newest
      from archon_mcp_users`
    expect(users).toMatchObject({ rows: 12, users: 12 })
    const doubles = await database.owner`
      select derived_key from archon_mcp_sessions where derived_key is not null group by 1 having count(*) > 1`
    expect(doubles).toEqual([])
  })

  it('renew the same expired sessions at once without deadlock or duplicates', async () => {
    const instances = clients.map(watched)
    for (let round = 0; round < 5; round += 1) {
      const callers = await Promise.all(
        Array.from({ length: 10 }, (_, user) => callerNamed(`renewer-${user}`)),
      )
      await Promise.all(
        instances.flatMap(({ sql }, index) => {
          const ledger = createLedger(sql, { groupsInFlight: 1 })
          const order = index % 2 === 0 ? callers : callers.toReversed()
          return order.map((caller) => ledger.admit(requestBy(caller, { session: derived('Cursor') })))
        }),
      )
      await Promise.all([
        createSessionManager(database.sql).sweep(),
        database.owner`
          update archon_mcp_sessions
          set connected_at = connected_at - interval '2 hours', last_activity = last_activity - interval '2 hours'
          where disconnected_at is null and user_email like 'renewer-%'`,
      ])
    }
    expect(instances.flatMap(({ codes }) => codes)).toEqual([])
    const lives = await database.owner`
      select user_email, count(*)::integer as sessions, count(disconnected_at)::integer as ended
      from archon_mcp_sessions where user_email like 'renewer-%' group by 1`
    expect(lives).toHaveLength(10)
    for (const life of lives) expect(life).toMatchObject({ sessions: 5 })
  })

  it('lose nothing, and count nothing twice, when their connections are killed under load', async () => {
    const ledgers = clients.map((sql) => createLedger(sql, { maxGroupSize: 10 }))
    const caller = await callerNamed('survivor')
    const ids: string[] = []
    let killed = 0
    const one = async (ledger: Ledger): Promise<void> => {
      const request = requestBy(caller, { session: derived('Cursor') })
      const { id } = request.calls[0]!
      if (!(await ledger.admit(request)).admitted) throw new Error('refused')
      ids.push(id)
      await ledger.close(success(id))
    }
    const kill = async (): Promise<void> => {
      const [row] = await database.owner<{ killed: number }[]>`
        select count(pg_terminate_backend(pid))::integer as killed from pg_stat_activity
        where datname = current_database() and usename <> current_user and backend_type = 'client backend'`
      killed += row!.killed
    }
    const loads = ledgers.map(async (ledger) => {
      for (let round = 0; round < 8; round += 1)
        await Promise.all(Array.from({ length: 10 }, () => one(ledger)))
    })
    await Promise.all([...loads, repeatedly(kill)])
    await Promise.all(ledgers.map((ledger) => ledger.drained()))
    expect(killed).toBeGreaterThan(0)
    const rows = await database.owner`
      select request_id from archon_mcp_requests join archon_mcp_users using (user_id)
      where subject = 'survivor' and status = 'success' order by 1`
    expect(rows.map((row) => row['request_id'])).toEqual(ids.toSorted())
    expect(ids).toHaveLength(320)
  })
})
