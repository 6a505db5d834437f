import type { Context, Handler } from 'hono'
import { resolveSql, type SqlSource } from '../db/client.ts'
import { patiently } from '../db/outage.ts'
import { type DatabaseState, databaseState } from '../db/schema-version.ts'

export interface HealthOptions {
  /** The pool (Node, Bun), or the client of a request (Workers). */
  sql: SqlSource
  /** The version of the running program. */
  version: string
}

/** What `/health` answers. */
export interface Health {
  /** `ok`, or why requests fail: the database is out, or its schema is not that of this build. */
  status: 'ok' | 'unavailable' | Exclude<DatabaseState['state'], 'current'>
  database: 'ok' | 'unavailable'
  /** The newest applied migration. */
  migration: number | null
  version: string
}

/** A probe that waits longer than this has given up. */
const MAX_WAIT_MS = 2000

async function healthOf({ sql, version }: HealthOptions, c: Context): Promise<Health> {
  try {
    const client = resolveSql(sql, c)
    const { state, migration } = await patiently(() => databaseState(client), Date.now() + MAX_WAIT_MS)
    return { status: state === 'current' ? 'ok' : state, database: 'ok', migration, version }
  } catch {
    return { status: 'unavailable', database: 'unavailable', migration: null, version }
  }
}

/**
 * Tells a load balancer whether requests can be served: 200, or 503 when the database is out of reach for two
 * seconds or has another schema. It asks for no token and says nothing of the reason.
 * @example app.get('/health', health({ sql, version: '1.0.0' }))
 */
export const health = (options: HealthOptions): Handler =>
  async function health(c) {
    const body = await healthOf(options, c)
    return c.json(body, body.status === 'ok' ? 200 : 503, { 'cache-control': 'no-store' })
  }
