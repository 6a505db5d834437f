import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { beyondCalls } from '../support/rollups.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

const ANN = '11111111-1111-4111-8111-111111111111'
const BOB = '22222222-2222-4222-8222-222222222222'
const session = (digit: number): string => `${digit}0000000-0000-4000-8000-000000000000`

/** Two live sessions of Ann's and one of Bob's, of the first of March, and one of Ann's that lasted a minute. */
beforeEach(async () => {
  await database.owner`truncate archon_mcp_requests, archon_mcp_sessions cascade`
  await database.owner`
    insert into archon_mcp_sessions
      (session_id, user_id, user_email, client_type, connected_at, last_activity, status, disconnected_at)
    values
      (${session(1)}, ${ANN}, 'ann@example.com', 'Cursor', '2026-03-01T10:00Z', '2026-03-01T10:10Z', 'active', null),
      (${session(2)}, ${ANN}, 'ann@example.com', 'Claude', '2026-03-01T11:00Z', '2026-03-01T11:20Z', 'active', null),
      (${session(3)}, ${BOB}, 'bob@example.com', 'Claude', '2026-03-01T11:00Z', '2026-03-01T11:20Z', 'active', null),
      (${session(4)}, ${ANN}, 'ann@example.com', 'Cursor', '2026-03-01T09:00Z', '2026-03-01T09:00Z', 'disconnected',
       '2026-03-01T09:01Z')`
})

/** A user's ended sessions: how many, and how many seconds together and at most. */
const endedOf = async (user: string): Promise<string> => {
  const [row] = await database.sql<[{ said: string }]>`
    select concat_ws(' ', sum(sessions), sum(seconds), max(longest_seconds)) as said
    from archon_mcp_ended_sessions where user_id = ${user}`
  return row.said
}

const changes: [what: string, sql: string, ann: string, bob: string][] = [
  ['an ended session that was written', 'select', '1 60 60', ''],
  [
    'one that its client ends',
    `select archon_mcp_end_session('2026-03-01T10:11Z', '${session(1)}', 'client_disconnect')`,
    '2 720 660',
    '',
  ],
  // 24 hours without a call.
  [
    'those that the sweep ends',
    `select archon_mcp_sweep('2026-03-03Z', 100)`,
    '3 174660 87600',
    '1 87600 87600',
  ],
  [
    'one in whose place a newer one came',
    `select archon_mcp_open_session('2026-03-01T11:30Z', '${session(5)}', '${ANN}', null, null, 'Cursor', null, null,
       null, '{}', '2025-11-25', 86400, 300, 2)`,
    '2 5460 5400',
    '',
  ],
  [
    'one that Archon ends without saying how long it lasted',
    `update archon_mcp_sessions set disconnected_at = '2026-03-01T12:00Z', status = 'disconnected'
     where session_id = '${session(2)}'`,
    '2 3660 3600',
    '',
  ],
  [
    'one whose duration is corrected',
    `update archon_mcp_sessions set total_duration = 7 where session_id = '${session(4)}'`,
    '1 7 7',
    '',
  ],
  [
    'sessions that become another user’s, one of them at its end',
    `update archon_mcp_sessions set user_id = '${BOB}', disconnected_at = coalesce(disconnected_at, '2026-03-01T12:00Z')
     where session_id in ('${session(1)}', '${session(4)}')`,
    '',
    '2 7260 7200',
  ],
  ['one that is deleted', `delete from archon_mcp_sessions where session_id = '${session(4)}'`, '', ''],
]

describe('what the ended sessions of a user come to', () => {
  it.each(changes)('counts %s', async (_, sql, ann, bob) => {
    await database.owner.unsafe(sql)
    expect([await endedOf(ANN), await endedOf(BOB)]).toEqual([ann, bob])
    expect(await beyondCalls(database.sql)).toEqual([])
  })

  it('loses none and counts none twice while many are ended, corrected and deleted at once', async () => {
    const { owner } = database
    await owner`
      insert into archon_mcp_sessions (session_id, user_id, client_type, connected_at, last_activity)
      select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
             case when n % 2 = 0 then ${ANN}::uuid else ${BOB}::uuid end, 'Cursor', '2026-03-01T10:00Z', '2026-03-01T10:10Z'
      from generate_series(1, 60) as n`
    const change = async (n: number): Promise<void> => {
      const id = `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
      await owner`select archon_mcp_end_session('2026-03-01T10:11Z', ${id}, 'client_disconnect')`
      if (n % 3 === 0) await owner`update archon_mcp_sessions set total_duration = 7 where session_id = ${id}`
      if (n % 5 === 0) await owner`delete from archon_mcp_sessions where session_id = ${id}`
    }
    // Four connections.
    await Promise.all(Array.from({ length: 60 }, (_, place) => change(place + 1)))
    expect(await beyondCalls(database.sql)).toEqual([])
    const [ann] = (await endedOf(ANN)).split(' ')
    // With the one that was there: 30, less those of every tenth.
    expect(ann).toBe('25')
  })

  it('is found to be wrong by the check, and made anew by a rebuild', async () => {
    await database.owner`update archon_mcp_ended_sessions set sessions = 5, seconds = 100`
    expect(await beyondCalls(database.sql)).toEqual([
      { rollup: 'ended_sessions', key: { user_id: ANN }, beyond: { sessions: 4, seconds: 40 } },
    ])
    await database.owner`select archon_mcp_rebuild_rollups()`
    expect(await endedOf(ANN)).toBe('1 60 60')
    expect(await beyondCalls(database.sql)).toEqual([])
  })

  it('adds up with the live ones in archon_mcp_user_stats, under the name of the latest session', async () => {
    const [row] = await database.owner`
      select user_email, total_sessions, active_sessions, disconnected_sessions, avg_session_duration_seconds::integer,
             max_session_duration_seconds, first_session_at, last_activity_at
      from archon_mcp_user_stats where user_id = ${ANN}`
    expect(row).toEqual({
      user_email: 'ann@example.com',
      total_sessions: '3',
      active_sessions: '2',
      disconnected_sessions: '1',
      avg_session_duration_seconds: 60,
      max_session_duration_seconds: 60,
      first_session_at: new Date('2026-03-01T09:00Z'),
      last_activity_at: new Date('2026-03-01T11:20Z'),
    })
  })
})
