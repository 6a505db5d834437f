import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { CLI_ACTOR } from '../../src/audit.ts'
import { changeUser } from '../../src/auth/users.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { LedgerCaller } from '../../src/ledger/types.ts'
import { membershipsOf } from '../../src/reports/memberships.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, requestBy } from '../support/ledger.ts'

let database: TestDatabase
let who: string
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())
beforeEach(() => {
  who = crypto.randomUUID()
})

/** A call with a token that says so; issued at an hour of a day, the newest wins. */
async function call(department: string | null, hour = 12, more: Partial<LedgerCaller> = {}): Promise<string> {
  const issuedAt = new Date(Date.UTC(2026, 0, 1, hour))
  const caller = await callerNamed(who, { department, issuedAt, ...more })
  const verdict = await createLedger(database.sql).admit(requestBy(caller))
  if (!verdict.admitted || verdict.user === null) throw new Error('not admitted')
  return verdict.user.id
}

const departments = async (): Promise<(string | null)[]> =>
  (await membershipsOf(database.sql, who)).map(({ department }) => department)

/** How many of the user's calls carry another department than their membership of that moment. */
async function strays(): Promise<number> {
  const [row] = await database.sql<[{ calls: number }]>`
    select count(*)::integer as calls
    from archon_mcp_requests as call
    left join archon_mcp_memberships as member
      on member.user_id = call.user_id
      and member.starts_at <= call.timestamp and call.timestamp < coalesce(member.ends_at, 'infinity')
    where call.user_id = ${who}
      and (member.user_id is null or member.department is distinct from call.department)`
  return row.calls
}

describe('a membership', () => {
  it('begins at first sight, and another with what changes the department that counts', async () => {
    const steps: { does: string; run: () => Promise<unknown>; shows: (string | null)[] }[] = [
      { does: 'the first call', run: () => call('sales'), shows: ['sales'] },
      { does: 'a call that says the same', run: () => call('sales', 13), shows: ['sales'] },
      { does: 'a newer token', run: () => call('research', 14), shows: ['sales', 'research'] },
      { does: 'an older token', run: () => call('sales', 11), shows: ['sales', 'research'] },
      {
        does: 'what an admin sets',
        run: () => changeUser(database.sql, who, { department: 'legal' }, CLI_ACTOR),
        shows: ['sales', 'research', 'legal'],
      },
      {
        does: 'a claim that does not count',
        run: () => call('sales', 15),
        shows: ['sales', 'research', 'legal'],
      },
      {
        does: 'what an admin sets beside it',
        run: () => changeUser(database.sql, who, { role: 'manager', blocked: false }, CLI_ACTOR),
        shows: ['sales', 'research', 'legal'],
      },
      {
        does: 'what is cleared',
        run: () => changeUser(database.sql, who, { department: null }, CLI_ACTOR),
        shows: ['sales', 'research', 'legal', 'sales'],
      },
      {
        does: 'a token that names none',
        run: () => call(null, 16),
        shows: ['sales', 'research', 'legal', 'sales', null],
      },
    ]
    for (const { does, run, shows } of steps) {
      await run()
      expect(await departments(), does).toEqual(shows)
    }
    expect(await strays()).toBe(0)
  })

  it('ends where the next one begins', async () => {
    await call('sales')
    await call('research', 13)
    const [first, second] = await membershipsOf(database.sql, who)
    expect(first?.ends_at).toBe(second?.starts_at)
    expect(second?.ends_at).toBeNull()
  })

  it('of many moves at once is one after the other', async () => {
    await call('a')
    const moves = Array.from({ length: 12 }, (_, place) =>
      changeUser(database.sql, who, { department: `d${place}` }, CLI_ACTOR),
    )
    await Promise.all(moves)
    expect(new Set(await departments())).toEqual(new Set(['a', ...moves.map((_, place) => `d${place}`)]))
  })
})

describe('the database refuses', () => {
  const faults: [string, string, string][] = [
    [
      'an overlap',
      "insert into archon_mcp_memberships values ($1, 'x', now() - interval '9 days', now())",
      '23503',
    ],
    [
      'a second one that holds now',
      "insert into archon_mcp_memberships values ($1, 'x', '2020-01-01')",
      '23505',
    ],
    [
      'none that holds now',
      'update archon_mcp_memberships set ends_at = now() where user_id = $1 and ends_at is null',
      '23503',
    ],
    [
      'a gap',
      "update archon_mcp_memberships set ends_at = ends_at - interval '1 microsecond' where user_id = $1 and ends_at is not null",
      '23503',
    ],
    [
      'an end before the beginning',
      "update archon_mcp_memberships set ends_at = '2000-01-01' where user_id = $1",
      '23514',
    ],
    ['one of nobody', 'insert into archon_mcp_memberships values (gen_random_uuid(), null, now())', '23503'],
    [
      'a hole in the history',
      'delete from archon_mcp_memberships where user_id = $1 and ends_at is null',
      '23503',
    ],
  ]
  it.each(faults)('%s', async (_, statement, code) => {
    await call('sales')
    await call('research', 13)
    const params = statement.includes('$1') ? [who] : []
    await expect(database.sql.unsafe(statement, params)).rejects.toMatchObject({ code })
    expect(await departments()).toEqual(['sales', 'research'])
  })
})

it('follows a user who gets another id, and goes with one who goes', async () => {
  await call('sales')
  await call('research', 13)
  const other = crypto.randomUUID()
  await database.owner`update archon_mcp_users set user_id = ${other} where user_id = ${who}`
  expect(await membershipsOf(database.sql, who)).toEqual([])
  who = other
  expect(await departments()).toEqual(['sales', 'research'])
  await database.owner`delete from archon_mcp_users where user_id = ${who}`
  expect(await departments()).toEqual([])
})
