import { expect, test } from 'vitest'
import { assertMigrated, databaseState, SCHEMA_VERSION } from '../../src/db/schema-version.ts'
import { createTestDatabase } from '../support/database.ts'

test('a migrated database is current, as the application sees it', async () => {
  await using database = await createTestDatabase()
  expect(await databaseState(database.sql)).toEqual({ migration: SCHEMA_VERSION, state: 'current' })
  await assertMigrated(database.sql)
})

test('a new database is empty, and the start is told what to run', async () => {
  await using database = await createTestDatabase({}, 'empty')
  expect(await databaseState(database.sql)).toEqual({ migration: null, state: 'empty' })
  await expect(assertMigrated(database.sql)).rejects.toThrow(
    `Database is at migration 0 of ${SCHEMA_VERSION}: run npm run migrate -- up`,
  )
})

test('a database that lacks the last migration is behind', async () => {
  await using database = await createTestDatabase()
  await database.owner`delete from archon_mcp_migrations where version = ${SCHEMA_VERSION}`
  const { migration, state } = await databaseState(database.sql)
  expect(state).toBe('behind')
  await expect(assertMigrated(database.sql)).rejects.toThrow(
    `Database is at migration ${migration} of ${SCHEMA_VERSION}: run npm run migrate -- up`,
  )
})

test('a database of a newer build is ahead', async () => {
  await using database = await createTestDatabase()
  await database.owner`insert into archon_mcp_migrations (version, name, checksum) values (99, '0099_later.sql', '')`
  expect(await databaseState(database.sql)).toEqual({ migration: 99, state: 'ahead' })
  await expect(assertMigrated(database.sql)).rejects.toThrow(
    `Database is at migration 99, this build knows ${SCHEMA_VERSION}: deploy a newer mcp-user-context`,
  )
})

test('a login without the grant is told which one it lacks', async () => {
  await using database = await createTestDatabase()
  await database.owner`revoke select on archon_mcp_migrations from service_role`
  expect(await databaseState(database.sql)).toEqual({ migration: null, state: 'unreadable' })
  await expect(assertMigrated(database.sql)).rejects.toThrow('grant service_role, authenticated to LOGIN')
})
