import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Queryable } from '../../src/db/client.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import { inBatches } from '../../src/reports/in-batches.ts'
import type { ReportReader } from '../../src/reports/visible-to.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
beforeAll(async () => {
  // One connection: what keeps it keeps the test.
  database = await createTestDatabase({ max: 1 })
})
afterAll(() => database[Symbol.asyncDispose]())

/** How many transactions have ended. */
let ended = 0
const read: ReportReader = (report) =>
  inTransaction(database.sql, (db) => report(db, { role: 'admin', userId: null, department: null }), {
    readOnly: true,
  }).finally(() => (ended += 1))

const numbers = (last: number) => (sql: Queryable) =>
  sql<{ n: number }[]>`select n from generate_series(1, ${last}::integer) as n order by n`
const words = (sql: Queryable) => sql<{ a: string; b: string }[]>`select 'x' as a, 'y' as b`
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

it.each([0, 1, 499, 500, 501, 1203])('gives each of %d rows once, in their order', async (last) => {
  const sizes: number[] = []
  const found: number[] = []
  for await (const rows of inBatches(read, numbers(last))) {
    sizes.push(rows.length)
    found.push(...rows.map(({ n }) => n))
  }
  expect(found).toEqual(Array.from({ length: last }, (_, place) => place + 1))
  expect(Math.max(...sizes)).toBeLessThanOrEqual(500)
})

it('reads one report after another on the same connection, whatever their columns', async () => {
  for await (const rows of inBatches(read, numbers(1))) expect([...rows]).toEqual([{ n: 1 }])
  for await (const rows of inBatches(read, words)) expect([...rows]).toEqual([{ a: 'x', b: 'y' }])
})

it('holds nothing any more while the last batch is read', async () => {
  ended = 0
  for await (const rows of inBatches(read, numbers(3))) {
    expect(ended).toBe(1)
    expect(rows).toHaveLength(3)
  }
})

it('fetches no further than is read, and lets go of who stops', async () => {
  ended = 0
  for await (const rows of inBatches(read, numbers(100_000))) {
    expect(rows).toHaveLength(500)
    break
  }
  expect(ended).toBe(1)
  expect([...(await database.sql`select 1 as one`)]).toEqual([{ one: 1 }])
})

async function readSlowly(): Promise<void> {
  for await (const rows of inBatches(read, numbers(100_000), 100)) {
    expect(rows).toHaveLength(500)
    await pause(500)
  }
}

it('ends for who does not read on, and says so', async () => {
  await expect(readSlowly()).rejects.toThrow('nobody read on for 100 ms')
  expect([...(await database.sql`select 1 as one`)]).toEqual([{ one: 1 }])
})

it('throws what Postgres throws', async () => {
  const broken = inBatches(
    read,
    (sql) => sql<{ n: number }[]>`select 1 / (n - 700) as n from generate_series(1, 1000) as n`,
  )
  await expect(broken.next()).resolves.toMatchObject({ done: false })
  await expect(broken.next()).rejects.toMatchObject({ code: '22012' })
})
