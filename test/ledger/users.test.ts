import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { Ledger, LedgerCaller } from '../../src/ledger/types.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, derived, requestBy } from '../support/ledger.ts'

let database: TestDatabase
let ledger: Ledger
beforeAll(async () => {
  database = await createTestDatabase()
  ledger = createLedger(database.sql)
})
afterAll(() => database[Symbol.asyncDispose]())

/** The user as the ledger tells it after one call, or the code of the refusal. */
async function userOf(caller: LedgerCaller | null) {
  const verdict = await ledger.admit(requestBy(caller))
  return verdict.admitted ? verdict.user : verdict.code
}

const known = (caller: Partial<LedgerCaller>) => ({ department: caller.department, role: caller.role })

const at = (time: string) => new Date(`2026-01-01T${time}Z`)

describe('the id of a user', () => {
  it('is the first one at first sight', async () => {
    const caller = await callerNamed(crypto.randomUUID())
    expect(caller.firstId).toBe(caller.subject)
    expect(await userOf(caller)).toMatchObject({ id: caller.subject })
  })

  it('is the fallback where somebody else has the first', async () => {
    const subject = crypto.randomUUID()
    const first = await callerNamed(subject)
    const second = await callerNamed(subject, { issuer: 'https://other.example.com' })
    expect(await userOf(first)).toMatchObject({ id: subject })
    expect(await userOf(second)).toMatchObject({ id: second.fallbackId })
  })

  it('is another for each of two who come with the same first id at once', async () => {
    const subject = crypto.randomUUID()
    const callers = [
      await callerNamed(subject, { issuer: 'https://one.example.com' }),
      await callerNamed(subject, { issuer: 'https://two.example.com' }),
    ]
    const users = await Promise.all(callers.map(userOf))
    expect(users).toMatchObject([{ id: subject }, { id: callers[1]!.fallbackId }])
  })

  it('is written once: the row wins over whatever the token would make of it later', async () => {
    const caller = await callerNamed('for-ever')
    const user = await userOf(caller)
    const later = {
      ...caller,
      firstId: crypto.randomUUID(),
      email: 'new@example.com',
      issuedAt: at('13:00:00'),
    }
    expect(await userOf(later)).toEqual({ ...Object(user), email: 'new@example.com' })
  })

  it('that cannot be had makes no anonymous call: the request fails', async () => {
    const silent = createLedger(database.sql, { onError: () => {} })
    const [one, two] = [await callerNamed('taken-1'), await callerNamed('taken-2')]
    await userOf(one)
    await userOf(two)
    const third = await callerNamed('taken-3', { firstId: one.firstId, fallbackId: two.fallbackId })
    const request = requestBy(third)
    await expect(silent.admit(request)).rejects.toThrow('both ids are taken')
    const rows = await database.owner`
      select from archon_mcp_requests where request_id = ${request.calls[0]!.id}`
    expect(rows).toHaveLength(0)
  })
})

describe('what is known of a user', () => {
  const old = { department: 'sales', role: 'member', issuedAt: at('12:00:00') }
  const recent = { department: 'finance', role: 'manager', issuedAt: at('14:00:00') }
  const cases: { name: string; tokens: Partial<LedgerCaller>[]; expected: Partial<LedgerCaller> }[] = [
    { name: 'the newer of two tokens', tokens: [old, recent], expected: recent },
    { name: 'the newer, when the older comes later', tokens: [recent, old], expected: recent },
    {
      name: 'the newest, even where it repeated what was known',
      tokens: [{ ...recent, issuedAt: at('12:00:00') }, recent, { ...old, issuedAt: at('13:00:00') }],
      expected: recent,
    },
    {
      name: 'a token that says when it was issued, over one that did not',
      tokens: [{ ...old, issuedAt: null }, recent],
      expected: recent,
    },
    {
      name: 'the newest claims, also when they take something away',
      tokens: [recent, { ...old, department: null, issuedAt: at('15:00:00') }],
      expected: { department: null, role: 'member' },
    },
  ]
  for (const { name, tokens, expected } of cases) {
    it(`is what says ${name}, one after another`, async () => {
      const subject = crypto.randomUUID()
      let user: unknown
      for (const token of tokens) user = await userOf(await callerNamed(subject, token))
      expect(user).toMatchObject(known(expected))
    })

    it(`is what says ${name}, all in one group`, async () => {
      const subject = crypto.randomUUID()
      const callers = await Promise.all(tokens.map((token) => callerNamed(subject, token)))
      const single = createLedger(database.sql, { groupsInFlight: 1 })
      // While the first is on its way the others gather.
      const [, ...verdicts] = await Promise.all(
        [null, ...callers].map((caller) => single.admit(requestBy(caller))),
      )
      for (const verdict of verdicts) {
        expect(verdict.admitted && verdict.user).toMatchObject(known(expected))
      }
    })
  }

  it('keeps e-mail and name that a newer token leaves out', async () => {
    const subject = 'terse'
    await userOf(await callerNamed(subject))
    const terse = await callerNamed(subject, { email: null, name: null, issuedAt: at('13:00:00') })
    expect(await userOf(terse)).toMatchObject({ email: 'terse@example.com', name: 'terse' })
  })

  it('is what an admin set, whatever the token says, and the call is counted there', async () => {
    const caller = await callerNamed('assigned', { department: 'sales', role: 'admin' })
    await userOf(caller)
    await database.owner`
      update archon_mcp_users set assigned_department = 'legal', assigned_role = 'finance' where subject = 'assigned'`
    expect(await userOf(caller)).toMatchObject({ department: 'legal', role: 'finance' })
    const rows = await database.owner`
      select call.department from archon_mcp_requests as call join archon_mcp_users as u using (user_id)
      where subject = 'assigned' order by request_id`
    expect(rows).toEqual([{ department: 'sales' }, { department: 'legal' }])
  })

  it('is nothing for nobody', async () => {
    expect(await userOf(null)).toBeNull()
  })
})

describe('a user who was cut off', () => {
  const cut = at('12:00:00')
  const cases: {
    name: string
    column: 'blocked_at' | 'revoked_at'
    issuedAt: Date | null
    expected: unknown
  }[] = [
    {
      name: 'blocked, with a newer token',
      column: 'blocked_at',
      issuedAt: at('23:00:00'),
      expected: 'blocked',
    },
    {
      name: 'revoked after this token',
      column: 'revoked_at',
      issuedAt: at('11:59:59'),
      expected: 'invalid_token',
    },
    {
      name: 'revoked in the second of this token',
      column: 'revoked_at',
      issuedAt: cut,
      expected: 'invalid_token',
    },
    {
      name: 'revoked, with a token of unknown age',
      column: 'revoked_at',
      issuedAt: null,
      expected: 'invalid_token',
    },
    {
      name: 'revoked before this token',
      column: 'revoked_at',
      issuedAt: at('12:00:01'),
      expected: expect.any(Object),
    },
  ]
  for (const { name, column, issuedAt, expected } of cases) {
    it(`${name}: ${typeof expected === 'string' ? expected : 'admitted'}`, async () => {
      const caller = await callerNamed(crypto.randomUUID(), { issuedAt: at('10:00:00') })
      await userOf(caller)
      await database.owner`
        update archon_mcp_users set ${database.owner(column)} = ${cut} where subject = ${caller.subject}`
      expect(await userOf({ ...caller, issuedAt })).toEqual(expected)
    })
  }

  it('leaves no call, opens no session and keeps none alive', async () => {
    const caller = await callerNamed('cut')
    const session = derived('Cursor')
    await ledger.admit(requestBy(caller, { session }))
    await database.owner`
      update archon_mcp_sessions set last_activity = now() - interval '10 minutes', status = 'idle'
      where user_email = 'cut@example.com'`
    await database.owner`update archon_mcp_users set blocked_at = now() where subject = 'cut'`
    const before =
      await database.owner`select * from archon_mcp_sessions where user_email = 'cut@example.com'`
    await ledger.admit(requestBy(caller, { session }))
    await ledger.admit(requestBy(caller, { session: { id: before[0]!['session_id'] as string } }))
    await ledger.admit(requestBy(caller, { session: derived('Windsurf') }))
    expect(
      await database.owner`select * from archon_mcp_sessions where user_email = 'cut@example.com'`,
    ).toEqual(before)
    const calls = await database.owner`
      select from archon_mcp_requests join archon_mcp_users using (user_id) where subject = 'cut'`
    expect(calls).toHaveLength(1)
  })
})
