import { expect, test } from 'vitest'
import { CLI_ACTOR } from '../../src/audit.ts'
import { changeUser } from '../../src/auth/users.ts'
import { migrate } from '../../src/db/migrate.ts'
import { membershipsOf } from '../../src/reports/memberships.ts'
import { createTestDatabase } from '../support/database.ts'

const ALICE = '00000000-0000-4000-8000-000000000001'
const BOB = '00000000-0000-4000-8000-000000000002'
/** The migration before there were memberships. */
const BEFORE = 7

const day = (number: number): Date => new Date(Date.UTC(2026, 2, number))

test('an upgrade reads the history from the calls, and keeps what it knew through the way down', async () => {
  await using database = await createTestDatabase()
  const { owner } = database
  const history = async (user: string) =>
    (await membershipsOf(owner, user)).map(({ department, starts_at }) => [
      department,
      starts_at.slice(0, 10),
    ])
  const today = new Date().toISOString().slice(0, 10)

  await migrate(owner, { direction: 'down', to: BEFORE })
  await owner`
    insert into archon_mcp_users (user_id, issuer, subject, claimed_department, created_at)
    values (${ALICE}, 'i', 'alice', 'research', ${day(1)}), (${BOB}, 'i', 'bob', 'sales', ${day(1)})`
  // Archon's own call of the 2nd knows no department.
  await owner`
    insert into archon_mcp_requests (user_id, department, kind, method, timestamp)
    values (${ALICE}, 'research', 'mcp', 'tools/call', ${day(12)}), (${ALICE}, null, 'mcp', 'tools/call', ${day(9)}),
           (${ALICE}, 'sales', 'mcp', 'tools/call', ${day(3)}), (${ALICE}, 'sales', 'mcp', 'tools/call', ${day(5)}),
           (${ALICE}, null, null, 'tools/call', ${day(2)}), (${BOB}, 'legal', 'mcp', 'tools/call', ${day(4)})`
  await migrate(owner, { direction: 'up' })
  const read = [
    ['sales', '2026-03-01'],
    [null, '2026-03-09'],
    ['research', '2026-03-12'],
  ]
  expect(await history(ALICE)).toEqual(read)
  // What no call has seen yet holds from now on.
  expect(await history(BOB)).toEqual([
    ['legal', '2026-03-01'],
    ['sales', today],
  ])

  await changeUser(database.sql, ALICE, { department: 'legal' }, CLI_ACTOR)
  await migrate(owner, { direction: 'down', to: BEFORE })
  await owner`update archon_mcp_users set assigned_department = 'sales' where user_id = ${ALICE}`
  await owner`delete from archon_mcp_users where user_id = ${BOB}`
  await migrate(owner, { direction: 'up' })
  expect(await history(ALICE)).toEqual([...read, ['legal', today], ['sales', today]])
  expect(await history(BOB)).toEqual([])
})
