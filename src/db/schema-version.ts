import { errorCode, type Queryable } from './client.ts'

/** The newest migration that this build needs. A constant, because Workers have no file system to count files in. */
export const SCHEMA_VERSION = 13

export interface DatabaseState {
  /** The newest applied migration; null when there is none, or when this login may not see it. */
  migration: number | null
  /** `unreadable`: the login lacks the grant, so it is not a member of service_role. */
  state: 'current' | 'behind' | 'ahead' | 'empty' | 'unreadable'
}

const stateOf = (migration: number | null): DatabaseState['state'] => {
  if (migration === null) return 'empty'
  if (migration === SCHEMA_VERSION) return 'current'
  return migration < SCHEMA_VERSION ? 'behind' : 'ahead'
}

/**
 * How far the database is migrated, in one query that reads a handful of rows.
 * @throws whatever the client throws when the database is out of reach.
 */
export async function databaseState(sql: Queryable): Promise<DatabaseState> {
  try {
    const [row] = await sql<{ migration: number | null }[]>`
      select max(version) as migration from archon_mcp_migrations`
    const migration = row?.migration ?? null
    return { migration, state: stateOf(migration) }
  } catch (error) {
    const code = errorCode(error)
    if (code === '42P01') return { migration: null, state: 'empty' }
    if (code === '42501') return { migration: null, state: 'unreadable' }
    throw error
  }
}

export const behindSentence = (migration: number, known: number): string =>
  `Database is at migration ${migration} of ${known}: run npm run migrate -- up`

export const aheadSentence = (migration: number, known: number): string =>
  `Database is at migration ${migration}, this build knows ${known}: deploy a newer mcp-user-context, or migrate down with the build that made it`

/**
 * Makes sure that the database has exactly the schema of this build.
 * @throws Error with the command to run, or what to deploy.
 * @example await assertMigrated(sql) // before the server starts to listen
 */
export async function assertMigrated(sql: Queryable): Promise<void> {
  const { migration, state } = await databaseState(sql)
  switch (state) {
    case 'current':
      return
    case 'empty':
    case 'behind':
      throw new Error(behindSentence(migration ?? 0, SCHEMA_VERSION))
    case 'ahead':
      throw new Error(aheadSentence(migration ?? 0, SCHEMA_VERSION))
    case 'unreadable':
      throw new Error(
        'This login may not read archon_mcp_migrations: have the owner run `grant service_role, authenticated to LOGIN`',
      )
  }
}
