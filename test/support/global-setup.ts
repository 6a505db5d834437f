import { randomBytes } from 'node:crypto'
import type { TestProject } from 'vitest/node'
import { connect, type Sql } from '../../src/db/client.ts'
import { migrate } from '../../src/db/migrate.ts'
import { startPostgres } from '../../src/trial/postgres.ts'
import { type Login, onDatabase } from './urls.ts'

/** What every test database is made from. */
export interface TestServer {
  /** A login that may create databases and roles; the owner of everything. */
  ownerUrl: string
  /** A migrated database that nobody is connected to. */
  template: string
  /** The application's login: a member of service_role and authenticated that owns nothing. */
  app: Login
}

declare module 'vitest' {
  interface ProvidedContext {
    testServer: TestServer
  }
}

/** Makes the application's login and a migrated database; tells `undo` what takes each of them away again. */
async function prepare(sql: Sql, ownerUrl: string, undo: (() => Promise<unknown>)[]): Promise<TestServer> {
  const template = `mcp_test_${randomBytes(6).toString('hex')}`
  undo.push(async () => {
    const databases = await sql<{ datname: string }[]>`
      select datname from pg_database where starts_with(datname, ${template})`
    for (const { datname } of databases) await sql`drop database ${sql(datname)} with (force)`
  })
  await sql`create database ${sql(template)} template template0`
  const owner = connect(onDatabase(ownerUrl, template), { max: 1 })
  try {
    await migrate(owner, { direction: 'up' })
    // As the trial and production have it. What holds without is tested where it is turned off.
    await owner`select archon_mcp_enable_rls()`
  } finally {
    await owner.end()
  }

  const app = { user: `${template}_app`, password: randomBytes(12).toString('hex') }
  await sql.unsafe(`create role ${app.user} login password '${app.password}'`)
  undo.push(() => sql.unsafe(`drop role ${app.user}`))
  await sql.unsafe(`grant service_role, authenticated to ${app.user}`)
  // So that the owner may end the application's connections when a database is dropped.
  await sql.unsafe(`grant ${app.user} to current_user`)

  // The binding of workerd must exist when workerd starts; tests that use it share this database.
  const shared = `${template}_worker`
  await sql`create database ${sql(shared)} template ${sql(template)}`
  process.env['CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_HYPERDRIVE'] = onDatabase(ownerUrl, shared, app)
  return { ownerUrl, template, app }
}

/**
 * Once for both runtimes: an embedded server, or the one of DATABASE_URL (a login that may create databases and
 * roles). There everything made is removed again, but for the roles that migrations make in the whole cluster.
 */
export default async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const given = process.env['DATABASE_URL']
  const postgres = given === undefined ? await startPostgres({ durable: false }) : undefined
  const ownerUrl = given ?? postgres?.url ?? ''
  const sql = connect(ownerUrl, { max: 1 })
  const undo: (() => Promise<unknown>)[] = []
  const teardown = async () => {
    if (!postgres) for (const each of undo) await each()
    await sql.end()
    await postgres?.stop()
  }
  try {
    provide('testServer', await prepare(sql, ownerUrl, undo))
    return teardown
  } catch (error) {
    await teardown()
    throw error
  }
}
