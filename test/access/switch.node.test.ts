// Row-level security on Archon's three tables: off by default, on by our function or by the seed's own statement.
import { describe, expect, it, test } from 'vitest'
import type { Sql, Transaction } from '../../src/db/client.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import { migrate } from '../../src/db/migrate.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import { ALICE, databaseOn, type Ground, hasArchon, GROUNDS } from '../support/archon.ts'
import { createTestDatabase } from '../support/database.ts'
import { callerNamed, ISSUER, requestBy } from '../support/ledger.ts'

const THREE = ['archon_llm_pricing', 'archon_mcp_requests', 'archon_mcp_sessions']
const stateOf = async (owner: Sql): Promise<boolean[]> => {
  const rows = await owner<{ on: boolean }[]>`
    select relrowsecurity as on from pg_class where relname = any (${`{${THREE.join(',')}}`}::text[]) order by relname`
  return rows.map(({ on }) => on)
}
const ON = [true, true, true]
const OFF = [false, false, false]

const asking = <T>(sql: Sql, claims: Record<string, unknown>, run: (tx: Transaction) => Promise<T>) =>
  inTransaction(sql, run, { role: 'authenticated', claims })
const claimsOf = (sub: string) => ({ role: 'authenticated', iss: ISSUER, sub, iat: 1_767_225_600 })
const sessionsSeen = async (sql: Sql, claims: Record<string, unknown>): Promise<(string | null)[]> => {
  const rows = await asking(
    sql,
    claims,
    (tx) =>
      tx<{ user_id: string | null }[]>`select distinct user_id from archon_mcp_sessions order by user_id`,
  )
  return rows.map((row) => row.user_id)
}

describe.each(GROUNDS)('on a database that was %s', (ground: Ground) => {
  test('who was let see all by a policy of Archon sees their own, once it is on', async () => {
    await using database = await databaseOn(ground)
    const { owner, sql } = database
    await migrate(owner, { direction: 'up' })
    // As Archon had it, where it was there.
    expect(await stateOf(owner)).toEqual(hasArchon(ground) ? ON : OFF)
    const alice = await callerNamed(ALICE)
    await createLedger(sql).admit(requestBy(alice))
    await owner`insert into archon_mcp_sessions (user_id) values (${ALICE}), (gen_random_uuid()), (null)`
    const own = claimsOf(ALICE)

    // The seed's own statement will do.
    await owner`alter table archon_mcp_sessions enable row level security`
    expect(await sessionsSeen(sql, own)).toEqual([ALICE])
    expect(await sessionsSeen(sql, claimsOf('a stranger'))).toEqual([])

    await owner`select archon_mcp_disable_rls()`
    expect(await stateOf(owner)).toEqual(OFF)
    // Policies that come later are put away when it is turned on.
    await owner.unsafe(`
      create policy "Users can read their own sessions" on archon_mcp_sessions for select to authenticated
        using (user_id is null);
      create policy "Authenticated can read" on archon_mcp_requests for select to authenticated using (true);`)
    await owner`select archon_mcp_enable_rls()`
    expect(await stateOf(owner)).toEqual(ON)
    expect(await sessionsSeen(sql, own)).toEqual([ALICE])
    const calls = await asking(sql, own, (tx) => tx`select distinct user_id from archon_mcp_requests`)
    expect([...calls]).toEqual([{ user_id: ALICE }])
  })
})

test('anon reads and calls nothing, also where a platform grants it everything by default', async () => {
  await using database = await databaseOn('supabase')
  await migrate(database.owner, { direction: 'up' })
  const [open] = await database.owner`
    select (select json_agg(relname) from pg_class
            where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')
              and has_any_column_privilege('anon', oid, 'select, insert, update, references')) as tables,
           (select json_agg(proname) from pg_proc
            where pronamespace = 'public'::regnamespace and has_function_privilege('anon', oid, 'execute')) as functions`
  expect(open).toEqual({ tables: null, functions: null })
})

describe('claims', () => {
  const claims: { what: string; claims: string }[] = [
    { what: 'none', claims: '' },
    { what: 'no JSON', claims: '{"iss": ' },
    { what: 'no object', claims: '[]' },
    { what: 'no subject', claims: JSON.stringify({ iss: ISSUER }) },
    {
      what: 'the subject of another issuer',
      claims: JSON.stringify({ iss: 'https://evil.example', sub: 'ann' }),
    },
    { what: 'the id of a user', claims: JSON.stringify({ iss: ISSUER, sub: ALICE }) },
    {
      what: 'a role that only the database gives',
      claims: JSON.stringify({ role: 'service_role', iss: ISSUER }),
    },
    {
      what: 'what users may write of themselves',
      claims: JSON.stringify({ iss: ISSUER, sub: 'x', user_metadata: { role: 'admin' } }),
    },
  ]
  it.each(claims)('with $what see nothing', async ({ claims: text }) => {
    await using database = await createTestDatabase({ max: 1 })
    const ann = await callerNamed('ann', { role: 'admin' })
    await createLedger(database.sql).admit(requestBy(ann))
    const seen = await inTransaction(
      database.sql,
      async (tx) => {
        await tx`select set_config('request.jwt.claims', ${text}, true)`
        return await tx<[{ who: string | null; calls: number; users: number }]>`
          select (archon_mcp_caller()).role as who, (select count(*)::integer from archon_mcp_requests) as calls,
                 (select count(*)::integer from archon_mcp_users) as users`
      },
      { role: 'authenticated' },
    )
    expect([...seen]).toEqual([{ who: null, calls: 0, users: 0 }])
  })

  it('name a user by issuer and subject, whose role is the row and not the claim', async () => {
    await using database = await createTestDatabase()
    const ann = await callerNamed('ann', { role: 'manager', department: 'Sales' })
    await createLedger(database.sql).admit(requestBy(ann))
    const told = { ...claimsOf('ann'), app_metadata: { role: 'admin', department: 'Research' } }
    const [who] = await asking(
      database.sql,
      told,
      (tx) => tx`select caller.* from archon_mcp_caller() as caller`,
    )
    expect(who).toEqual({
      role: 'manager',
      user_id: ann.firstId,
      department: 'Sales',
      everyone: false,
      every_call: false,
      manages: 'Sales',
    })
  })
})
