import { Hono } from 'hono'
import { describe, expect, it } from 'vitest'
import { health } from '../../src/api/health.ts'
import type { Sql } from '../../src/db/client.ts'
import { SCHEMA_VERSION } from '../../src/db/schema-version.ts'
import { connectHere, createTestDatabase } from '../support/database.ts'

const ask = async (sql: Sql) => {
  const response = await new Hono().get('/health', health({ sql, version: '1.2.3' })).request('/health')
  return {
    status: response.status,
    body: await response.json(),
    cache: response.headers.get('cache-control'),
  }
}

describe('GET /health', () => {
  it('tells the migration and the version', async () => {
    await using database = await createTestDatabase()
    expect(await ask(database.sql)).toEqual({
      status: 200,
      body: { status: 'ok', database: 'ok', migration: SCHEMA_VERSION, version: '1.2.3' },
      cache: 'no-store',
    })
  })

  it('answers 503 when the schema is not that of this build', async () => {
    await using database = await createTestDatabase()
    const told = async () => (await ask(database.sql)).body
    await database.owner`
      insert into archon_mcp_migrations
      select (jsonb_populate_record(newest, '{"version": 9999}')).*
      from archon_mcp_migrations as newest
      where newest.version = 1`
    expect(await told()).toMatchObject({ status: 'ahead', database: 'ok', migration: 9999 })
    await database.owner`delete from archon_mcp_migrations where version > 1`
    expect(await told()).toMatchObject({ status: 'behind', database: 'ok', migration: 1 })
    await database.owner`drop table archon_mcp_migrations`
    expect(await ask(database.sql)).toMatchObject({ status: 503, body: { status: 'empty', migration: null } })
  })

  it('answers 503 within moments when the database is out, and does not say why', async () => {
    const unreachable = await connectHere('postgres://nobody@127.0.0.1:1/nothing', { connectTimeout: 1 })
    const startedAt = Date.now()
    expect(await ask(unreachable)).toEqual({
      status: 503,
      body: { status: 'unavailable', database: 'unavailable', migration: null, version: '1.2.3' },
      cache: 'no-store',
    })
    expect(Date.now() - startedAt).toBeLessThan(3000)
    await unreachable.end({ timeout: 0 })
  })
})
