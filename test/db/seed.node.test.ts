// Every query of the founding document, on a database that Archon had and that was brought up. What is asserted was
// added up by hand from support/archon.sql.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { migrate } from '../../src/db/migrate.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import { ALICE, archonSession, BOB, CAROL, databaseOn } from '../support/archon.ts'
import { contentsOf } from '../support/catalog.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, callOf, requestBy, success } from '../support/ledger.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await databaseOn('archon on supabase')
  await migrate(database.owner, { direction: 'up' })
})
afterAll(() => database[Symbol.asyncDispose]())

/** Runs a query as the application does. */
const ask = async (query: string): Promise<Record<string, unknown>[]> => [
  ...(await inTransaction(database.sql, (tx) => tx.unsafe(query), { role: 'service_role' })),
]
const daysAgo = (days: number) => Date.now() - days * 86_400_000
/** The test began a while after the fixture was made. */
const about = (moment: number) => ({
  asymmetricMatch: (value: unknown) => value instanceof Date && Math.abs(value.getTime() - moment) < 120_000,
})

const columnsOf = async ({ owner }: TestDatabase) => [
  ...(await owner`
    select attrelid::regclass::text as view, attname, atttypid::regtype::text as type
    from pg_attribute
    where attrelid in ('archon_mcp_user_stats'::regclass, 'archon_mcp_session_stats'::regclass) and attnum > 0
    order by 1, attnum`),
]

const resultsOf = async ({ owner }: TestDatabase) => [
  ...(await owner`
    select proname, pg_get_function_arguments(oid) as takes, pg_get_function_result(oid) as gives
    from pg_proc
    where pronamespace = 'public'::regnamespace and starts_with(proname, 'get_')
    order by 1`),
]

/** What the cost report says of a user. */
const costRow = (...[email, name, sessions, requests, tokens, cost]: string[]) => ({
  user_email: email,
  user_name: name,
  total_sessions: sessions,
  total_requests: requests,
  total_tokens: tokens,
  total_cost_usd: cost,
})

/** What is said of a client of whose sessions at most one has ended, for `reason`. */
const stats = (clientType: string, total: number, active: number, seconds: number, reason?: string) => ({
  client_type: clientType,
  total_sessions: String(total),
  active_sessions: String(active),
  disconnected_sessions: String(total - active),
  avg_duration_seconds: seconds,
  max_duration_seconds: seconds,
  timeout_disconnects: '0',
  client_disconnects: '0',
  server_shutdown_disconnects: '0',
  error_disconnects: '0',
  ...(reason === undefined ? { max_duration_seconds: null } : { [reason]: '1' }),
})

const everything = async () => [
  await ask('select * from archon_mcp_user_stats order by user_id'),
  await ask('select * from archon_mcp_session_stats order by client_type'),
  await ask(`select * from get_user_sessions('${ALICE}', now() - interval '90 days', now())`),
  await ask(`select * from get_user_activity_summary('${ALICE}')`),
  await ask("select * from get_mcp_usage_summary(now() - interval '30 days', now() + interval '1 day')"),
  await ask("select * from get_mcp_usage_by_tool(now() - interval '30 days', now() + interval '1 day')"),
  await ask("select * from get_disconnected_sessions(now() - interval '90 days', now())"),
]

describe('1. database schema', () => {
  test('the columns are there, and adding them again does nothing', async () => {
    const before = await contentsOf(database.owner)
    for (const column of ['user_id uuid', 'user_email varchar(255)', 'user_name varchar(255)']) {
      await database.owner.unsafe(`ALTER TABLE archon_mcp_sessions ADD COLUMN IF NOT EXISTS ${column}`)
    }
    expect(await contentsOf(database.owner)).toEqual(before)
  })
})

const alice = {
  user_id: ALICE,
  user_email: 'alice@example.com',
  user_name: 'Alice New',
  total_sessions: '3',
  active_sessions: '1',
  disconnected_sessions: '2',
  // An hour that was closed, and two that timed out.
  avg_session_duration_seconds: '5400.0000000000000000',
  max_session_duration_seconds: 7200,
  first_session_at: about(daysAgo(45)),
  last_activity_at: about(daysAgo(0)),
  total_requests: '6',
  // 150 + 150 + 300 + 40 + 500 + 300
  total_tokens: '1440',
  total_cost: '6.0000000000',
}
const bob = {
  user_id: BOB,
  user_email: 'bob@example.com',
  user_name: 'Bob',
  total_sessions: '2',
  // One is idle; the other had ended before Archon's trigger called it active.
  active_sessions: '1',
  disconnected_sessions: '1',
  avg_session_duration_seconds: '600.0000000000000000',
  max_session_duration_seconds: 600,
  first_session_at: about(daysAgo(5)),
  last_activity_at: about(daysAgo(0)),
  total_requests: '3',
  total_tokens: '15',
  total_cost: '0.2500000000',
}
const carol = {
  user_id: CAROL,
  user_email: 'carol@example.com',
  user_name: 'Carol',
  total_sessions: '1',
  active_sessions: '0',
  disconnected_sessions: '1',
  avg_session_duration_seconds: '3600.0000000000000000',
  max_session_duration_seconds: 3600,
  first_session_at: about(daysAgo(60)),
  last_activity_at: about(daysAgo(60) + 300_000),
  total_requests: '1',
  total_tokens: '1500',
  total_cost: '3.0000000000',
}
const aliceLately = {
  user_id: ALICE,
  user_email: 'alice@example.com',
  user_name: 'Alice New',
  // One of them began before the window; its newer call counts, its older one does not.
  total_sessions: '3',
  active_sessions: '1',
  total_requests: '5',
  total_tokens: '940',
  total_cost: '5.0000000000',
  avg_session_duration: 5400,
  most_used_client: 'Claude Code',
  first_seen: about(daysAgo(45)),
  last_seen: about(daysAgo(0)),
}

describe('use case 1: track usage per user', () => {
  test('all sessions for a specific user', async () => {
    expect(await ask(`SELECT * FROM get_user_sessions('${ALICE}')`)).toEqual([
      {
        session_id: archonSession(2),
        client_type: 'Cursor',
        client_version: '2.1',
        connected_at: about(daysAgo(10)),
        disconnected_at: about(daysAgo(10) + 7_200_000),
        total_duration: 7200,
        status: 'disconnected',
        disconnect_reason: 'timeout',
        total_requests: '2',
      },
      {
        session_id: archonSession(1),
        client_type: 'Claude Code',
        client_version: '1.0',
        connected_at: about(daysAgo(20)),
        disconnected_at: about(daysAgo(20) + 3_600_000),
        total_duration: 3600,
        status: 'disconnected',
        disconnect_reason: 'client_disconnect',
        total_requests: '2',
      },
    ])
    const all = await ask(`SELECT * FROM get_user_sessions('${ALICE}', now() - interval '46 days', now())`)
    expect(all.map((row) => row['session_id'])).toEqual([2, 1, 3].map(archonSession))
    // Archon's trigger had called it active.
    const [revived] = await ask(`SELECT * FROM get_user_sessions('${BOB}') ORDER BY connected_at LIMIT 1`)
    expect(revived).toMatchObject({ session_id: archonSession(5), status: 'disconnected' })
  })

  test('user activity summary', async () => {
    expect(await ask(`SELECT * FROM get_user_activity_summary('${ALICE}', 30)`)).toEqual([aliceLately])
    expect(await ask(`SELECT * FROM get_user_activity_summary('${ALICE}')`)).toEqual([aliceLately])
    expect(await ask(`SELECT * FROM get_user_activity_summary('${ALICE}', 15)`)).toEqual([
      {
        ...aliceLately,
        total_sessions: '2',
        total_requests: '3',
        total_tokens: '640',
        total_cost: '3.0000000000',
        avg_session_duration: 7200,
      },
    ])
    expect(await ask(`SELECT * FROM get_user_activity_summary('${CAROL}', 30)`)).toEqual([])
    expect(await ask(`SELECT * FROM get_user_activity_summary('${crypto.randomUUID()}', 30)`)).toEqual([])
  })

  test('all user statistics: one row a user, dearest first', async () => {
    const rows = await ask('SELECT * FROM archon_mcp_user_stats ORDER BY total_cost DESC')
    expect(rows).toEqual([alice, carol, bob])
  })

  test('the columns have the names and types that Archon gave them', async () => {
    await using archon = await databaseOn('archon')
    expect(await columnsOf(database)).toEqual(await columnsOf(archon))
    expect(await resultsOf(database)).toEqual(await resultsOf(archon))
  })
})

test('use case 2: the cost report by user counts sessions, and each cost once', async () => {
  const rows = await ask(`
    SELECT
        user_email,
        user_name,
        SUM(total_sessions) AS total_sessions,
        SUM(total_requests) AS total_requests,
        SUM(total_tokens) AS total_tokens,
        ROUND(SUM(total_cost)::NUMERIC, 2) AS total_cost_usd
    FROM archon_mcp_user_stats
    GROUP BY user_email, user_name
    ORDER BY total_cost_usd DESC`)
  expect(rows).toEqual([
    costRow('alice@example.com', 'Alice New', '3', '6', '1440', '6.00'),
    costRow('carol@example.com', 'Carol', '1', '1', '1500', '3.00'),
    costRow('bob@example.com', 'Bob', '2', '3', '15', '0.25'),
  ])
})

test('use case 3: the top ten most active users', async () => {
  const rows = await ask(`
    SELECT
        summary.user_email,
        summary.user_name,
        summary.total_sessions,
        summary.total_requests,
        summary.most_used_client,
        summary.last_seen
    FROM archon_mcp_user_stats AS stats
    CROSS JOIN LATERAL get_user_activity_summary(stats.user_id, 30) AS summary
    ORDER BY summary.total_requests DESC
    LIMIT 10`)
  expect(rows).toEqual([
    {
      user_email: 'alice@example.com',
      user_name: 'Alice New',
      total_sessions: '3',
      total_requests: '5',
      most_used_client: 'Claude Code',
      last_seen: about(daysAgo(0)),
    },
    {
      user_email: 'bob@example.com',
      user_name: 'Bob',
      total_sessions: '2',
      total_requests: '3',
      most_used_client: 'Windsurf',
      last_seen: about(daysAgo(0)),
    },
  ])
})

test('use case 4: with row level security on, the service role has full access and a user no more than their own', async () => {
  await using empty = await createTestDatabase()
  await empty.owner`ALTER TABLE archon_mcp_sessions ENABLE ROW LEVEL SECURITY`
  await inTransaction(empty.sql, (tx) => tx`insert into archon_mcp_sessions (user_id) values (${ALICE})`, {
    role: 'service_role',
  })
  expect(
    await inTransaction(empty.sql, (tx) => tx`select user_id from archon_mcp_sessions`, {
      role: 'service_role',
    }),
  ).toHaveLength(1)

  // On the upgraded database, where Archon's "USING (true)" is still about, a stranger sees nobody else's.
  for (const relation of ['archon_mcp_sessions', 'archon_mcp_requests', 'archon_mcp_user_stats']) {
    const seen = inTransaction(database.sql, (tx) => tx.unsafe(`select user_id from ${relation}`), {
      role: 'authenticated',
      claims: { role: 'authenticated', sub: BOB },
    }).catch(() => [])
    expect([...(await seen)].filter((row) => row['user_id'] !== BOB)).toEqual([])
  }
})

describe('testing', () => {
  test('2. user data in the database', async () => {
    const rows = await ask(`
      SELECT session_id, client_type, user_email, user_name, connected_at, status
      FROM archon_mcp_sessions
      WHERE user_id IS NOT NULL
      ORDER BY connected_at DESC
      LIMIT 5`)
    expect(rows.map((row) => [row['session_id'], row['user_name']])).toEqual([
      [archonSession(4), 'Bob'],
      [archonSession(5), null],
      [archonSession(2), 'Alice'],
      [archonSession(1), 'Alice Old'],
      [archonSession(3), 'Alice New'],
    ])
  })

  test('3. user statistics are empty where no user was tracked yet', async () => {
    await using old = await databaseOn('archon 001 only')
    await migrate(old.owner, { direction: 'up' })
    expect([...(await old.owner`SELECT * FROM archon_mcp_user_stats`)]).toEqual([])
  })
})

describe("Archon's other views and functions", () => {
  test('archon_mcp_session_stats counts each session as live or ended', async () => {
    const rows = await ask('select * from archon_mcp_session_stats order by client_type collate "C"')
    expect(
      rows.map((row) => ({ ...row, avg_duration_seconds: Number(row['avg_duration_seconds']) })),
    ).toEqual([
      stats('Claude Code', 3, 2, 3600, 'client_disconnects'),
      stats('Cursor', 1, 0, 7200, 'timeout_disconnects'),
      stats('Gemini', 1, 0, 3600, 'timeout_disconnects'),
      stats('Unknown', 1, 0, 30, 'error_disconnects'),
      stats('Windsurf', 1, 0, 600, 'server_shutdown_disconnects'),
      stats('an agent of my own with a name of fifty characters', 1, 1, 0),
    ])
  })

  test('get_active_mcp_clients() gives who is there, newest first', async () => {
    const rows = await ask('select * from get_active_mcp_clients()')
    expect(rows.map((row) => [row['session_id'], row['status']])).toEqual([
      [archonSession(3), 'active'],
      [archonSession(4), 'idle'],
      [archonSession(7), 'idle'],
    ])
  })

  test('get_disconnected_sessions() gives who left, also where Archon called it active again', async () => {
    const rows = await ask('select * from get_disconnected_sessions()')
    expect(rows.map((row) => [row['session_id'], row['total_duration'], row['total_requests']])).toEqual([
      [archonSession(6), 30, '1'],
      [archonSession(5), 600, '1'],
    ])
    const long = await ask("select * from get_disconnected_sessions(now() - interval '90 days', now())")
    expect(long.map((row) => row['total_duration'])).toEqual([30, 600, 7200, 3600, 3600])
  })

  test('get_mcp_usage_summary() works, and counts what succeeded', async () => {
    expect(await ask("select * from get_mcp_usage_summary(now() - interval '30 days', now())")).toEqual([
      {
        total_requests: '9',
        total_prompt_tokens: '610',
        total_completion_tokens: '305',
        total_tokens: '915',
        total_cost: '4.7500000000',
        unique_sessions: '7',
      },
    ])
  })

  test('get_mcp_usage_by_tool() gives the tools, most used first', async () => {
    const rows = await ask("select * from get_mcp_usage_by_tool(now() - interval '30 days', now())")
    expect(rows).toEqual([
      expect.objectContaining({
        tool_name: 'search',
        request_count: '4',
        total_tokens: '615',
        total_cost: '3.250000',
        avg_duration_ms: '85.0000000000000000',
      }),
      expect.objectContaining({ tool_name: 'ping', request_count: '2', total_cost: '0.000000' }),
      expect.objectContaining({ tool_name: 'write_file', request_count: '1', total_cost: '1.500000' }),
    ])
  })

  test('calculate_request_cost() is as Archon left it', async () => {
    expect(
      await ask(
        "select calculate_request_cost('claude-3-5-sonnet-20241022', 'Anthropic', 1000, 500) as cost",
      ),
    ).toEqual([{ cost: '0.010500' }])
  })
})

describe('calls of ours', () => {
  test('count once they have ended, also of users who have no session', async () => {
    const ledger = createLedger(database.sql)
    const before = await everything()
    // Tokens of ours say nothing of a name: the one that Archon's newest session has stays.
    const again = await callerNamed(ALICE, { email: null, name: null })
    const newcomer = await callerNamed('newcomer')
    const [call, first] = [callOf({ tool: 'search' }), callOf()]
    await ledger.admit(requestBy(again, { session: { id: archonSession(3) }, calls: [call] }))
    await ledger.admit(requestBy(newcomer, { calls: [first] }))
    const [stats, ...rest] = await everything()
    // The session knows of the call at once.
    const moved = { last_activity_at: about(daysAgo(0)) }
    expect(stats).toEqual(before[0]!.map((row) => (row['user_id'] === ALICE ? { ...row, ...moved } : row)))
    expect(rest.slice(0, 2)).toEqual(before.slice(1, 3))
    expect(rest[2]).toEqual(before[3]!.map((row) => ({ ...row, last_seen: about(daysAgo(0)) })))
    expect(rest.slice(3)).toEqual(before.slice(4))

    await Promise.all([ledger.close(success(call.id)), ledger.close(success(first.id))])
    await database.owner`update archon_mcp_requests set cost = 0.0000000001 where request_id = ${call.id}`
    const after = await ask('select * from archon_mcp_user_stats')
    expect(after).toHaveLength(before[0]!.length + 1)
    expect(after).toContainEqual(
      expect.objectContaining({ user_id: ALICE, total_requests: '7', total_cost: '6.0000000001' }),
    )
    expect(after).toContainEqual({
      user_id: newcomer.firstId,
      user_email: 'newcomer@example.com',
      user_name: 'newcomer',
      total_sessions: '0',
      active_sessions: '0',
      disconnected_sessions: '0',
      avg_session_duration_seconds: null,
      max_session_duration_seconds: null,
      first_session_at: null,
      last_activity_at: about(daysAgo(0)),
      total_requests: '1',
      total_tokens: '0',
      total_cost: '0.0000000000',
    })
    const [lately] = await ask(`select * from get_user_activity_summary('${newcomer.firstId}')`)
    expect(lately).toMatchObject({ total_sessions: '0', total_requests: '1', most_used_client: null })
  })
})
