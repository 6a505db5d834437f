import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAccessToken } from '../../src/auth/access-tokens.ts'
import type { Sql } from '../../src/db/client.ts'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { eraseUser } from '../../src/personal-data/erase.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callOf, callerNamed, derived, requestBy, success } from '../support/ledger.ts'
import { putQuota } from '../support/quotas.ts'
import { beyondCalls } from '../support/rollups.ts'

const BY = { kind: 'cli', id: null } as const

let database: TestDatabase
let gone: { id: string; words: string[] }
let before: unknown
let receipt: Awaited<ReturnType<typeof eraseUser>>

/** What nobody may lose when a person is forgotten. */
const sums = async (sql: Sql): Promise<unknown> => ({
  calls: [
    ...(await sql`
      select department, tool_name, status, count(*)::integer as calls, count(distinct user_id)::integer as users,
             sum(cost)::text as cost, sum(total_tokens)::integer as tokens
      from archon_mcp_requests group by 1, 2, 3 order by 1, 2, 3`),
  ],
  days: [
    ...(await sql`select department, sum(calls)::integer as calls from archon_mcp_user_days group by 1 order by 1`),
  ],
  budgets: [
    ...(await sql`
      select quota_id, left(holder, 5) as holder, used::text as used from archon_mcp_budgets order by 1, 2, 3`),
  ],
  totals: [
    ...(await sql`select calls::integer, cost::text as cost from archon_mcp_user_totals order by 1, 2`),
  ],
})

/** Where one of these words stands in the database: every column of text, JSON, ids or lists, of every table. */
async function whereIs(owner: Sql, words: string[]): Promise<string[]> {
  const columns = await owner<{ table: string; column: string }[]>`
    select class.relname as table, attribute.attname as column
    from pg_attribute as attribute
    join pg_class as class on class.oid = attribute.attrelid
    where class.relnamespace = 'public'::regnamespace and class.relkind in ('r', 'p')
      and attribute.attnum > 0 and not attribute.attisdropped`
  const found: string[] = []
  for (const { table, column } of columns) {
    const [row] = await owner<[{ rows: number }]>`
      select count(*)::integer as rows from ${owner(table)}
      where exists (
        select from unnest(string_to_array(${words.join('|')}, '|')) as word
        where strpos(lower(${owner(column)}::text), lower(word)) > 0
      )`
    if (row.rows > 0) found.push(`${table}.${column}`)
  }
  return found.sort()
}

beforeAll(async () => {
  database = await createTestDatabase()
  const { sql, owner } = database
  const ledger = ledgerOf(sql)
  const kim = await callerNamed('kim', { name: 'Kim Lovelace', department: 'Sales' })
  const lee = await callerNamed('lee', { department: 'Sales' })
  await putQuota(sql, { scope: 'each_user', limit: 100, metric: 'tokens' })
  await putQuota(sql, { scope: 'user', subject: kim.firstId, limit: 100, window: 'month' })
  for (const caller of [kim, lee, kim]) {
    const session = derived(`Cursor of ${caller.name}`)
    const call = callOf({ tool: 'search' })
    const rate = { limit: 9, windowSeconds: 60, burst: 9, per: 'user' as const, key: null, calls: 1 }
    await ledger.admit(
      requestBy(caller, { calls: [call], session, rate, quotas: { rates: true, budgets: true } }),
    )
    const usage = [
      {
        model: 'gpt-4o',
        promptTokens: 7,
        completionTokens: 3,
        cachedTokens: 0,
        reasoningTokens: 0,
        cost: '0.01',
      },
    ]
    void ledger.close(success(call.id, { status: 'error', error: `${caller.email} is not known`, usage }))
  }
  // One that is still open, and one of an earlier time in Archon's own rows.
  await ledger.admit(requestBy(kim, { calls: [callOf({ tool: 'slow' })] }))
  await ledger.drained()
  const archons = crypto.randomUUID()
  await owner`
    insert into archon_mcp_sessions (session_id, user_id, user_email, user_name, metadata)
    values (${archons}, ${kim.firstId}, 'kim@example.com', 'Kim Lovelace', '{"name": "Kim Lovelace"}')`
  await owner`
    insert into archon_mcp_requests (session_id, method, tool_name, prompt_tokens, error_message)
    values (${archons}, 'tools/call', 'search', 5, 'Kim Lovelace')`
  await sql`
    select archon_mcp_record_audit(
      'user', ${kim.firstId}, 'user.revoked', 'user', ${kim.firstId},
      jsonb_build_object('subject', ${kim.firstId}::text)
    )`
  const request = { owner: { userId: kim.firstId }, name: 'of Kim Lovelace', scopes: [], lifeDays: 9 }
  await createAccessToken(sql, request, { by: BY })
  const service = { ...request, owner: { service: 'export' }, name: 'nightly' }
  const issuedAt = new Date(Date.now() + 60_000)
  await createAccessToken(sql, service, { by: { kind: 'user', id: kim.firstId }, issuedAt })
  gone = { id: kim.firstId, words: [kim.firstId, 'kim@example.com', 'Kim Lovelace'] }
  before = await sums(sql)
})
afterAll(() => database[Symbol.asyncDispose]())

describe('forgetting a person', () => {
  it('tells first what would go, and changes nothing', async () => {
    const trial = await eraseUser(database.sql, gone.id, true, BY)
    expect(trial).toEqual({
      dry_run: true,
      tables: {
        archon_mcp_users: 1,
        archon_mcp_memberships: 1,
        archon_mcp_access_tokens: 2,
        archon_mcp_sessions: 2,
        archon_mcp_requests: 4,
        archon_mcp_rate_cells: 1,
        archon_mcp_quotas: 1,
        archon_mcp_budgets: 2,
        archon_mcp_user_totals: 1,
        archon_mcp_user_days: 1,
        archon_mcp_audit: 3,
      },
    })
    expect(await sums(database.sql)).toEqual(before)
    expect(await whereIs(database.owner, gone.words)).toContain('archon_mcp_users.email')
    receipt = trial
  })

  it('then leaves no trace of id, e-mail and name in any column of any table', async () => {
    const done = await eraseUser(database.sql, gone.id, false, BY)
    expect(done).toEqual({ dry_run: false, tables: receipt?.tables, erased_at: expect.any(String) as string })
    expect(await whereIs(database.owner, gone.words)).toEqual([])
  })

  it('keeps every sum, to the last digit', async () => {
    expect(await sums(database.sql)).toEqual(before)
    expect(await beyondCalls(database.sql)).toEqual([])
    expect([...(await database.sql`select * from archon_mcp_check_budgets(false)`)]).toEqual([])
  })

  it('ends their sessions, and closes their open call under the new id', async () => {
    const sessions = await database.sql`
      select distinct disconnect_reason from archon_mcp_sessions where user_email is null and disconnected_at is not null`
    expect([...sessions]).toEqual([{ disconnect_reason: 'erased' }])
  })

  it('puts on record how much went, and not whose it was', async () => {
    const [line] = await database.sql`
      select actor_kind, target_id, details from archon_mcp_audit where action = 'user.erased'`
    expect(line).toEqual({ actor_kind: 'cli', target_id: null, details: receipt?.tables })
  })

  it('knows the same person as somebody new afterwards', async () => {
    const kim = await callerNamed('kim', { name: 'Kim Lovelace' })
    await ledgerOf(database.sql).admit(requestBy(kim, { calls: [] }))
    const [user] = await database.sql`
      select (select count(*)::integer from archon_mcp_requests as call where call.user_id = known.user_id) as calls
      from archon_mcp_users as known where known.email = 'kim@example.com'`
    expect(user).toEqual({ calls: 0 })
  })

  it('finds nobody behind an unknown id', async () => {
    expect(await eraseUser(database.sql, crypto.randomUUID(), false, BY)).toBeNull()
  })

  it('takes what a way down has set aside too', async () => {
    const { owner, sql } = database
    const id = crypto.randomUUID()
    await owner`
      create table archon_mcp_set_aside (step integer, table_name text, gone boolean, content jsonb)`
    await owner`
      insert into archon_mcp_set_aside values (3, 'archon_mcp_users', true, jsonb_build_object(
        'user_id', ${id}::text, 'issuer', 'https://id.example.com', 'subject', 'sam', 'email', 'sam@example.com', 'name', 'Sam Stone'
      ))`
    await eraseUser(sql, id, false, BY)
    expect(await whereIs(owner, [id, 'sam@example.com', 'Sam Stone'])).toEqual([])
    await owner`drop table archon_mcp_set_aside`
  })
})
