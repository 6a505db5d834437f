import { type Context, Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pgArray, resolveSql } from '../../src/db/client.ts'
import { connectHere, createTestDatabase, type TestDatabase } from '../support/database.ts'
import { onDatabase } from '../support/urls.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

describe('a client', () => {
  test('works in the test after the one that connected it', async () => {
    const numbers = [1, 2, 3, 4, 5, 6, 7, 8]
    const rows = await Promise.all(
      numbers.map((n) => database.sql<[{ n: number }]>`select ${n}::integer as n`),
    )
    expect(rows.map(([row]) => row.n)).toEqual(numbers)
  })

  test('keeps bigint and numeric exact, as strings', async () => {
    const [row] =
      await database.sql`select 9007199254740993::bigint as big, 0.1000000001::numeric(20,10) as money`
    expect(row).toEqual({ big: '9007199254740993', money: '0.1000000001' })
  })

  test('names itself to the server', async () => {
    const [row] = await database.sql`select current_setting('application_name') as name`
    expect(row).toEqual({ name: 'mcp-user-context' })
  })

  test('gives an error for every query that finds no server, and keeps its place in the pool', async () => {
    const nowhere = new URL(database.url)
    nowhere.port = '1'
    const sql = await connectHere(nowhere.href, { max: 1 })
    await expect(sql`select 1`).rejects.toThrow(/.+/)
    await expect(sql`select 1`).rejects.toThrow(/.+/)
    await sql.end({ timeout: 1 })
  })

  test('tells that a database does not exist', async () => {
    const sql = await connectHere(onDatabase(database.url, 'mcp_no_such_database'), { max: 1 })
    await expect(sql`select 1`).rejects.toMatchObject({ code: '3D000' })
    await sql.end({ timeout: 1 })
  })
})

describe('pgArray', () => {
  const id = '0b5d3a3e-7f5a-4d5e-9a37-2f6f3f0f9f00'
  const at = new Date('2026-03-29T01:30:00.123Z')

  const texts = ['a,b', '{}', 'null', 'NULL', '"quoted"', 'back\\slash', 'line\nbreak', '', ' ', 'ünï', null]

  test.each([
    ['uuid', [id, null], [id, null]],
    ['uuid', [null, id], [null, id]],
    ['text', texts, texts],
    ['text', [], []],
    ['text', [null], [null]],
    ['integer', [1, null, -2_147_483_648], ['1', null, '-2147483648']],
    ['bigint', [9_007_199_254_740_993n, null], ['9007199254740993', null]],
    ['numeric', ['0.0000000001', 5, null], ['0.0000000001', '5', null]],
    ['boolean', [true, false, null], ['true', 'false', null]],
    ['boolean', [null, true], [null, 'true']],
    ['timestamptz', [at, null], ['2026-03-29 01:30:00.123+00', null]],
    ['timestamptz', [null, at], [null, '2026-03-29 01:30:00.123+00']],
  ])('carries %s[], case %#', async (type, values, expected) => {
    const rows = await database.owner.begin(async (tx) => {
      await tx`set local timezone = 'UTC'`
      return tx<{ value: string | null }[]>`
        select value::text from unnest(${pgArray(values)}::${tx.unsafe(type)}[]) with ordinality as t(value, place)
        order by place`
    })
    expect(rows.map(({ value }) => value)).toEqual(expected)
  })

  test('carries several arrays of one length as columns', async () => {
    const rows = await database.sql`
      select * from unnest(${pgArray(['a', null])}::text[], ${pgArray([1, 2])}::integer[], ${pgArray([null, true])}::boolean[]) as t(name, n, yes)`
    expect([...rows]).toEqual([
      { name: 'a', n: 1, yes: null },
      { name: null, n: 2, yes: true },
    ])
  })

  test('works with a client of the reader that fetched its types', async () => {
    const { default: postgres } = await import('postgres')
    const { options } = database.sql
    const sql = postgres(database.url, { max: 1, ...('socket' in options ? { socket: options.socket } : {}) })
    const ids = pgArray([id, null])
    expect([...(await sql`select 1 as found where ${id}::uuid = any(${ids}::uuid[])`)]).toEqual([
      { found: 1 },
    ])
    await sql.end({ timeout: 1 })
  })
})

describe('resolveSql', () => {
  const app = new Hono()
    .get('/client', (c) => c.json(resolveSql(database.sql, c) === database.sql))
    .get('/function', (c) => {
      const asked: Context[] = []
      const source = (context: Context) => {
        asked.push(context)
        return database.sql
      }
      return c.json(resolveSql(source, c) === database.sql && asked.length === 1 && asked[0] === c)
    })

  test.each(['/client', '/function'])('takes a %s', async (path) => {
    expect(await (await app.request(path)).json()).toBe(true)
  })
})
