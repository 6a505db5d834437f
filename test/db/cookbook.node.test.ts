// Every query of the README's "Ask in SQL", on the sample data.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { insertSampleData } from '../../src/trial/sample-data.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')
const [section = ''] = readme.split('## Ask in SQL')[1]?.split('\n## ') ?? []
const queries = [...section.matchAll(/```sql\n-- (.+)\n([\s\S]+?)```/g)].map(([, what = '', sql = '']) => ({
  what,
  sql,
}))

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
  await insertSampleData(database.owner)
})
afterAll(() => database[Symbol.asyncDispose]())

/** As the application's login: nobody needs the owner to ask. */
const ask = (what: RegExp) =>
  database.sql.unsafe(queries.find((query) => what.test(query.what))?.sql ?? 'no such query')
const sumOf = (rows: readonly Record<string, unknown>[], column: string): number =>
  rows.reduce((sum, row) => sum + Number(row[column]), 0)

describe('the cookbook', () => {
  it('has a handful of queries', () => {
    expect(queries.length).toBeGreaterThanOrEqual(5)
  })

  it.each(queries)('answers: $what', async ({ sql }) => {
    expect((await database.sql.unsafe(sql)).length).toBeGreaterThan(0)
  })

  it('counts the sessions of a user and not rows, and a month alone', async () => {
    const rows = await ask(/each user cost in a month/)
    const [truth] = await database.owner<[{ calls: number; sessions: number; cost: number }]>`
      select count(*)::integer as calls, count(distinct session_id)::integer as sessions, sum(cost)::float as cost
      from archon_mcp_requests where timestamp >= date_trunc('month', now())`
    expect(sumOf(rows, 'calls')).toBe(truth.calls)
    expect(sumOf(rows, 'sessions')).toBe(truth.sessions)
    expect(Math.abs(sumOf(rows, 'cost_usd') - truth.cost)).toBeLessThan(0.005 * rows.length)
  })

  it('gives departments all that was spent', async () => {
    const [truth] = await database.owner<[{ cost: number }]>`
      select sum(cost)::float as cost from archon_mcp_requests where timestamp >= now() - interval '30 days'`
    expect(sumOf(await ask(/each department cost/), 'cost_usd')).toBeCloseTo(truth.cost, 6)
  })

  it('really ranks users', async () => {
    const rows = await ask(/ten most active/)
    expect(rows).toHaveLength(10)
    const calls = rows.map((row) => Number(row['total_requests']))
    expect(calls).toEqual(calls.toSorted((a, b) => b - a))
  })
})
