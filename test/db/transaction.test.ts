import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Transaction } from '../../src/db/client.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase({ max: 1 })
})
afterAll(() => database[Symbol.asyncDispose]())

const SETTINGS = `
  select current_setting('statement_timeout') as statement,
         current_setting('idle_in_transaction_session_timeout') as idle,
         nullif(current_setting('request.jwt.claims', true), '') as claims,
         current_user = session_user as own_rights`

test('leaves nothing behind on the connection, neither after a commit nor after an error', async () => {
  const { sql } = database
  const before = await sql.unsafe(SETTINGS)
  const options = {
    statementTimeoutMs: 1234,
    idleTimeoutMs: 5678,
    role: 'authenticated',
    claims: { sub: 'x' },
  } as const
  const inside = await inTransaction(sql, (tx) => tx.unsafe(SETTINGS), options)
  expect([...inside]).toEqual([
    { statement: '1234ms', idle: '5678ms', claims: '{"sub":"x"}', own_rights: false },
  ])
  expect(await sql.unsafe(SETTINGS)).toEqual(before)

  await expect(inTransaction(sql, (tx) => tx`select 1 / 0`, options)).rejects.toMatchObject({ code: '22012' })
  expect(await sql.unsafe(SETTINGS)).toEqual(before)
})

test('stops a statement that takes too long', async () => {
  const slow = inTransaction(database.sql, (tx) => tx`select pg_sleep(60)`, { statementTimeoutMs: 20 })
  await expect(slow).rejects.toMatchObject({ code: '57014' })
})

test('gives an array as it was returned', async () => {
  expect(await inTransaction(database.sql, () => Promise.resolve([1, 2]))).toEqual([1, 2])
})

test('undoes everything when the function throws', async () => {
  const { owner } = database
  await owner`create table kept (n integer)`
  const failing = inTransaction(owner, async (tx) => {
    await tx`insert into kept values (1)`
    throw new Error('changed my mind')
  })
  await expect(failing).rejects.toThrow('changed my mind')
  expect(await owner`select * from kept`).toHaveLength(0)
})

const who = (tx: Transaction) => tx<{ who: string; claims: string }[]>`
  select current_user::text as who, current_setting('request.jwt.claims') as claims`

test('works with the role that it is told from the first statement on, however that is asked for', async () => {
  const options = { role: 'authenticated', claims: { sub: 'x' }, readOnly: true } as const
  const asked: ((tx: Transaction) => Promise<unknown>)[] = [
    (tx) => who(tx),
    async (tx) => await who(tx),
    async (tx) => (await Promise.all([who(tx), who(tx)]))[0],
  ]
  for (const each of asked) {
    const rows = await inTransaction(database.sql, each, options)
    expect(rows).toEqual([{ who: 'authenticated', claims: '{"sub":"x"}' }])
  }
})
