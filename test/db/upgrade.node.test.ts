import { describe, expect, test } from 'vitest'
import { CLI_ACTOR } from '../../src/audit.ts'
import { changeUser } from '../../src/auth/users.ts'
import { connect, type Sql } from '../../src/db/client.ts'
import { migrate } from '../../src/db/migrate.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import { createSessionManager } from '../../src/sessions/session-manager.ts'
import { ALICE, databaseOn, type Ground, GROUNDS, hasArchon } from '../support/archon.ts'
import { type Contents, contentsOf } from '../support/catalog.ts'
import type { TestDatabase } from '../support/database.ts'
import { beyondCalls } from '../support/rollups.ts'
import { callerNamed, callOf, derived, requestBy, success } from '../support/ledger.ts'

const ARCHONS = GROUNDS.filter(hasArchon)
const SET_ASIDE = ['archon_mcp_set_aside']

const up = (sql: Sql, to?: number) => migrate(sql, { direction: 'up', to })
const down = (sql: Sql, to = 0) => migrate(sql, { direction: 'down', to })

/**
 * What a day with us leaves: three users, three sessions, one of which has ended, and seven calls in two of them and
 * in none, three of which are open; a role that was set, and so a line of audit; and a session, a
 * call and a price that Archon wrote beside us.
 */
async function liveADay({ sql, owner }: TestDatabase): Promise<void> {
  const ledger = createLedger(sql)
  const sessions = createSessionManager(sql)
  const alice = await callerNamed(ALICE, { email: 'alice@example.com', name: 'Alice', department: 'Sales' })
  const dora = await callerNamed('dora', { role: 'admin' })
  const [onWire, inDerived, alone, open, openAlone, api] = [1, 2, 3, 4, 5, 6].map(() => callOf())
  const session = await sessions.createSession({
    clientInfo: { name: 'claude-code', version: '2.0' },
    userContext: { user_id: ALICE, user_email: 'alice@example.com' },
    timeoutSeconds: 600,
  })
  await ledger.admit(requestBy(alice, { session: { id: session }, calls: [onWire!, open!] }))
  await ledger.admit(requestBy(dora, { session: derived('Cursor'), calls: [inDerived!] }))
  await ledger.admit(requestBy(dora, { calls: [alone!, openAlone!] }))
  await ledger.admit(requestBy(null, { calls: [{ ...api!, kind: 'api', tool: null }] }))
  const ended = [onWire!, alone!, api!].map(({ id }) => ledger.close(success(id)))
  await Promise.all([...ended, ledger.close(success(inDerived!.id, { status: 'error', error: 'it failed' }))])
  await ledger.admit(requestBy(await callerNamed('carol')))
  await owner`update archon_mcp_requests set cost = 0.0000012345, estimated_cost = 0.000001 where request_id = ${onWire!.id}`
  await changeUser(sql, dora.firstId, { role: 'finance' }, CLI_ACTOR)
  const over = await sessions.createSession({ clientInfo: { name: 'Gemini' } })
  await sessions.endSession(over, 'client_disconnect')

  const [archons] = await owner<{ session_id: string }[]>`
    insert into archon_mcp_sessions (client_type) values ('Windsurf') returning session_id`
  await owner`
    insert into archon_mcp_requests (session_id, method, tool_name, prompt_tokens, completion_tokens, estimated_cost)
    values (${archons!.session_id}, 'tools/call', 'search', 10, null, 0.125)`
  await owner`
    insert into archon_llm_pricing (model_name, provider, input_price_per_1k, output_price_per_1k)
    values ('a-model', 'Anthropic', 0.000001, 0.5)`
}

/** The rows of one kind, by table, as objects. */
function rowsOf({ rows }: Contents): Map<string, Record<string, unknown>[]> {
  const tables = new Map<string, Record<string, unknown>[]>()
  for (const row of rows) {
    const [, table = '', content = ''] = /^(\S+) (.*)$/s.exec(row) ?? []
    tables.set(table, [...(tables.get(table) ?? []), JSON.parse(content) as Record<string, unknown>])
  }
  return tables
}

/** Every row of Archon is there, with everything that Archon wrote in it. */
function expectIntact(before: Contents, after: Contents): void {
  const now = rowsOf(after)
  for (const [table, rows] of rowsOf(before)) {
    for (const row of rows) expect(now.get(table)).toContainEqual(expect.objectContaining(row))
  }
}

const kept = (rows: string) => `${rows} set aside in archon_mcp_set_aside, until migrate up`
const back = (rows: string) => `${rows} taken back from archon_mcp_set_aside`

describe.each(GROUNDS)('on a database that is %s', (ground: Ground) => {
  test('up and down leaves everything as it was', async () => {
    await using database = await databaseOn(ground)
    const { owner } = database
    const before = await contentsOf(owner)
    await up(owner)
    const first = await contentsOf(owner)
    expectIntact(before, first)
    await down(owner)
    expect(await contentsOf(owner)).toEqual(before)
    await up(owner)
    expect(await contentsOf(owner)).toEqual(first)
  })

  test('a day with us survives the way down and up again, and Archon keeps what is its own', async () => {
    await using database = await databaseOn(ground)
    const { owner } = database
    const before = await contentsOf(owner)
    await up(owner)
    await liveADay(database)
    const lived = await contentsOf(owner)
    await down(owner)
    const after = await contentsOf(owner, SET_ASIDE)
    expect(after.catalog).toEqual(before.catalog)
    expectIntact(before, after)
    await up(owner)
    expect(await contentsOf(owner)).toEqual(lived)
  })

  test('each step down and up again changes nothing', async () => {
    await using database = await databaseOn(ground)
    const { owner } = database
    const versions = (await up(owner)).map((name) => Number.parseInt(name, 10))
    await liveADay(database)
    let here = await contentsOf(owner)
    for (const [place, version] of [...versions.entries()].toReversed()) {
      const before = versions[place - 1] ?? 0
      await down(owner, before)
      const below = await contentsOf(owner)
      await up(owner, version)
      expect(await contentsOf(owner)).toEqual(here)
      await down(owner, before)
      expect(await contentsOf(owner)).toEqual(below)
      here = below
    }
  })
})

describe('an Archon database', () => {
  test.each(ARCHONS)('%s is the same after twenty upgrades at once as after one', async (ground) => {
    await using one = await databaseOn(ground)
    await using twenty = await databaseOn(ground)
    const before = await contentsOf(twenty.owner)
    const names = await up(one.owner)
    const clients = Array.from({ length: 20 }, () => connect(twenty.ownerUrl, { max: 1 }))
    const done = await Promise.all(clients.map((sql) => up(sql)))
    await Promise.all(clients.map((sql) => sql.end()))
    expect(done.flat().sort()).toEqual(names)
    const after = await contentsOf(twenty.owner)
    expect(after.catalog).toEqual((await contentsOf(one.owner)).catalog)
    expectIntact(before, after)
  })

  test('has its history in the roll-ups, and what they keep of calls that are gone survives the way down', async () => {
    await using database = await databaseOn('archon')
    const { owner } = database
    const [calls] =
      await owner`select count(*) as calls, sum(estimated_cost) as cost from archon_mcp_requests`
    await up(owner)
    const sums = () =>
      owner`select sum(calls) as calls, trim_scale(sum(cost)) as cost from archon_mcp_quarters`
    expect(Number((await sums())[0]!['calls'])).toBe(Number(calls!['calls']))
    expect(Number((await sums())[0]!['cost'])).toBe(Number(calls!['cost']))
    expect(await beyondCalls(owner)).toEqual([])

    await owner.begin(async (tx) => {
      await tx`update archon_mcp_watermark set complete_from = current_date - 20`
      const old = await tx`delete from archon_mcp_requests where timestamp < current_date - 20 returning 1`
      expect(old.length).toBeGreaterThan(0)
    })
    const left = await contentsOf(owner)
    await down(owner)
    await up(owner)
    expect(await contentsOf(owner)).toEqual(left)
  })

  test('is told how many rows went where, and that they came back', async () => {
    await using database = await databaseOn('archon 001 only')
    const said: string[] = []
    const sql = connect(database.ownerUrl, { max: 1, onNotice: (message) => said.push(message) })
    await up(sql)
    expect(said).toEqual([])
    await liveADay(database)
    await down(sql)
    // Our three sessions hold what Archon has no column for, and what this Archon had none for: a user or a reason.
    expect(said).toEqual([
      kept('1 row of archon_mcp_audit'),
      kept('3 rows of archon_mcp_memberships'),
      kept('3 rows of archon_mcp_users'),
      kept('3 rows of archon_mcp_sessions'),
      kept('7 rows of archon_mcp_requests'),
      kept('3 rows of archon_mcp_sessions'),
    ])
    said.length = 0
    await up(sql)
    await sql.end()
    expect(said).toEqual([
      back('3 rows of archon_mcp_sessions'),
      back('3 rows of archon_mcp_users'),
      back('3 rows of archon_mcp_sessions'),
      back('7 rows of archon_mcp_requests'),
      back('3 rows of archon_mcp_memberships'),
      back('1 row of archon_mcp_audit'),
    ])
  })

  test('gets no row back that Archon deleted while we were away', async () => {
    await using database = await databaseOn('archon')
    const { owner } = database
    await up(owner)
    await liveADay(database)
    await down(owner)
    await owner`delete from archon_mcp_sessions where user_id = ${ALICE}`
    await owner`delete from archon_mcp_requests where method = 'tools/call' and status = 'error'`
    await up(owner)
    const [left] = await owner`
      select (select count(*)::integer from archon_mcp_sessions where user_id = ${ALICE}) as sessions,
             (select count(*)::integer from archon_mcp_requests where user_id = ${ALICE}) as calls,
             (select count(*)::integer from archon_mcp_requests where status = 'error') as errors`
    expect(left).toEqual({ sessions: 0, calls: 0, errors: 0 })
  })

  test('after our way down can be rolled back as the seed has it, once its policy and view are dropped', async () => {
    await using database = await databaseOn('archon on supabase')
    const { owner } = database
    await up(owner)
    await liveADay(database)
    await down(owner)
    await owner.unsafe(`
      drop policy "Users can read their own sessions" on archon_mcp_sessions;
      drop view if exists archon_mcp_user_stats;
      drop function if exists get_user_sessions;
      drop function if exists get_user_activity_summary;
      alter table archon_mcp_sessions
        drop column if exists user_id, drop column if exists user_email, drop column if exists user_name;
    `)
    const columns = await owner`
      select attname from pg_attribute
      where attrelid = 'archon_mcp_sessions'::regclass and starts_with(attname, 'user_') and not attisdropped`
    expect([...columns]).toEqual([])
  })

  test('may see its own user migration again beside us', async () => {
    await using database = await databaseOn('archon')
    const { owner } = database
    await up(owner)
    const before = await contentsOf(owner)
    await owner.unsafe(`
      alter table archon_mcp_sessions add column if not exists user_id uuid;
      alter table archon_mcp_sessions add column if not exists user_email varchar(255);
      alter table archon_mcp_sessions add column if not exists user_name varchar(255);
    `)
    expect(await contentsOf(owner)).toEqual(before)
  })
})

describe('what somebody added', () => {
  const THEIRS = `
    create index mine on archon_mcp_sessions (client_version);
    create index mine_too on archon_mcp_requests ((coalesce(tool_name, method)));
    create view my_requests as select session_id, method, status, total_tokens from archon_mcp_requests;
    alter table archon_mcp_sessions add column note text;
    update archon_mcp_sessions set note = 'remember';
    alter table archon_mcp_requests disable trigger trigger_update_session_status;
    grant select (session_id, client_type) on archon_mcp_sessions to anon;
    grant select on archon_mcp_session_stats to authenticated with grant option;
    revoke all on function get_user_sessions(uuid, timestamptz, timestamptz) from public;
    create role %I nologin;
    grant insert on archon_mcp_requests to %I;
  `

  test('to Archon before us is there after the way up and after the way down', async () => {
    await using database = await databaseOn('archon')
    const { owner } = database
    const role = `reader_${crypto.randomUUID().slice(0, 8)}`
    await owner.unsafe(THEIRS.replaceAll('%I', role))
    const before = await contentsOf(owner)
    await up(owner)
    const first = await contentsOf(owner)
    expectIntact(before, first)
    const theirs = first.catalog.filter((line) => /mine|my_requests|note/.test(line))
    expect(theirs).toEqual(before.catalog.filter((line) => /mine|my_requests|note/.test(line)))
    await down(owner)
    expect(await contentsOf(owner)).toEqual(before)
    await up(owner)
    expect(await contentsOf(owner)).toEqual(first)
    // A role that has gone meanwhile is no reason to fail.
    await owner.unsafe(`revoke all on archon_mcp_requests from ${role}; drop role ${role}`)
    await down(owner)
    expect(await contentsOf(owner)).toEqual({
      ...before,
      catalog: before.catalog.map((line) => line.replace(`, ${role} INSERT`, '')),
    })
  })

  test("to Archon's tables while we are there stays when we go", async () => {
    await using database = await databaseOn('archon')
    const { owner } = database
    await up(owner)
    await owner.unsafe(`
      alter table archon_mcp_sessions add column reconnect_count integer default 0;
      create index mine on archon_mcp_sessions (reconnect_count) where reconnect_count > 0;
      create table mine_too (session_id uuid references archon_mcp_sessions on delete cascade, note text);
    `)
    const [session] = await owner`update archon_mcp_sessions set reconnect_count = 3 returning session_id`
    await owner`insert into mine_too values (${session!['session_id']}, 'remember')`
    await down(owner)
    const [row] = await owner`
      select reconnect_count, note, to_regclass('mine') is not null as index
      from archon_mcp_sessions join mine_too using (session_id)`
    expect(row).toEqual({ reconnect_count: 3, note: 'remember', index: true })
  })

  const inTheWay: { what: string; ground: Ground; sql: string; says: string; undo: string }[] = [
    {
      what: 'a view on a column of ours',
      ground: 'archon',
      sql: 'create view mine as select cost from archon_mcp_requests',
      says: 'view mine depends on column cost of table archon_mcp_requests',
      undo: 'drop view mine',
    },
    {
      what: 'a view on a view of ours',
      ground: 'archon',
      sql: 'create view mine as select user_email, total_cost from archon_mcp_user_stats',
      says: 'view mine depends on view archon_mcp_user_stats',
      undo: 'drop view mine',
    },
    {
      what: 'an index on a column of ours',
      ground: 'archon',
      sql: 'create index mine on archon_mcp_requests (department)',
      says: 'index public.mine would be lost with what goes from archon_mcp_requests. Drop it, and migrate down again',
      undo: 'drop index mine',
    },
    {
      what: 'an index on a column that this Archon did not have',
      ground: 'archon 001 only',
      sql: 'create index mine on archon_mcp_sessions (user_name)',
      says: 'index public.mine would be lost with what goes from archon_mcp_sessions',
      undo: 'drop index mine',
    },
    {
      what: 'an index on a table of ours',
      ground: 'empty',
      sql: 'create index mine on archon_mcp_requests (tool_name)',
      says: 'index public.mine would be lost with what goes from archon_mcp_requests',
      undo: 'drop index mine',
    },
    {
      what: 'a column of a table of ours',
      ground: 'empty',
      sql: 'alter table archon_mcp_users add column badge text',
      says: 'column archon_mcp_users.badge would be lost with what goes from archon_mcp_users',
      undo: 'alter table archon_mcp_users drop column badge',
    },
    {
      what: 'a policy and a check on tables of ours',
      ground: 'supabase',
      sql: `create policy mine on archon_llm_pricing for select to anon using (true);
            alter table archon_llm_pricing add constraint mine_too check (input_price_per_1k >= 0)`,
      says: 'policy mine on public.archon_llm_pricing, table constraint mine_too on public.archon_llm_pricing would be lost',
      undo: 'drop policy mine on archon_llm_pricing; alter table archon_llm_pricing drop constraint mine_too',
    },
  ]
  test.each(inTheWay)('$what stops the way down by name, and nothing is lost', async (added) => {
    await using database = await databaseOn(added.ground)
    const { owner } = database
    const before = await contentsOf(owner)
    await up(owner)
    await liveADay(database)
    await owner.unsafe(added.sql)
    const lived = await contentsOf(owner)
    await expect(down(owner)).rejects.toThrow(added.says)
    await up(owner)
    expect(await contentsOf(owner)).toEqual(lived)
    await owner.unsafe(added.undo)
    await down(owner)
    expect((await contentsOf(owner, SET_ASIDE)).catalog).toEqual(before.catalog)
  })

  test("that leans on Archon's own view stops the way up by name, and nothing is lost", async () => {
    await using database = await databaseOn('archon')
    const { owner } = database
    await owner`create view mine as select user_email, total_cost from archon_mcp_user_stats`
    const before = await contentsOf(owner)
    await expect(up(owner)).rejects.toThrow('view mine depends on view archon_mcp_user_stats')
    expectIntact(before, await contentsOf(owner))
    await down(owner)
    expect(await contentsOf(owner)).toEqual(before)
  })
})
