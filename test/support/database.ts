import { inject } from 'vitest'
import { connect, type ConnectOptions, errorCode, type Sql } from '../../src/db/client.ts'
import { onDatabase } from './urls.ts'

export const isWorkerd = typeof navigator !== 'undefined' && navigator.userAgent === 'Cloudflare-Workers'

/** `connect()` with the socket that this runtime needs. */
export async function connectHere(url: string, options: ConnectOptions = {}): Promise<Sql> {
  if (!isWorkerd) return connect(url, options)
  const net = await import('node:net')
  return connect(url, { ...options, socket: ({ host, port }) => net.connect(port[0] ?? 5432, host[0]) })
}

export interface TestDatabase extends AsyncDisposable {
  /** As the application's login. */
  sql: Sql
  /** As the owner of everything. */
  owner: Sql
  url: string
  ownerUrl: string
}

/** Runs a command on the server; again while somebody else (autovacuum, another clone) is connected to the database. */
async function onServer(run: (sql: Sql) => Promise<unknown>): Promise<void> {
  const sql = await connectHere(inject('testServer').ownerUrl, { max: 1 })
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        await run(sql)
        return
      } catch (error) {
        // 42501: an autovacuum worker is in the database, whom a login that is no superuser may not send away.
        if (attempt === 50 || !['55006', '42501'].includes(errorCode(error) ?? '')) throw error
        await sql`select pg_sleep(0.1)`
      }
    }
  } finally {
    await sql.end()
  }
}

/**
 * A migrated, empty database of one's own, in Node and in workerd alike.
 * @param options for both clients; 4 connections at most unless told otherwise.
 * @param from `empty`: a database without the schema.
 * @example
 *   await using database = await createTestDatabase()
 *   await database.sql`select 1`
 */
export async function createTestDatabase(
  options: ConnectOptions = {},
  from: 'template' | 'empty' = 'template',
): Promise<TestDatabase> {
  const { ownerUrl, template, app } = inject('testServer')
  const name = `${template}_${crypto.randomUUID().replaceAll('-', '').slice(0, 16)}`
  const source = from === 'empty' ? 'template0' : template
  await onServer((sql) => sql`create database ${sql(name)} template ${sql(source)}`)
  const urls = { url: onDatabase(ownerUrl, name, app), ownerUrl: onDatabase(ownerUrl, name) }
  const sql = await connectHere(urls.url, { max: 4, ...options })
  const owner = await connectHere(urls.ownerUrl, { max: 4, ...options })
  return {
    ...urls,
    sql,
    owner,
    async [Symbol.asyncDispose]() {
      await Promise.all([sql.end({ timeout: 1 }), owner.end({ timeout: 1 })])
      await onServer((server) => server`drop database ${server(name)} with (force)`)
    },
  }
}
