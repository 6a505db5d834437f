import type { Context } from 'hono'
import { asCaller } from '../as-caller.ts'
import type { Queryable, SqlSource } from '../db/client.ts'
import type { ReportCaller } from '../reports/visible-to.ts'
import type { DashboardEnv } from './env.ts'

/**
 * Runs reports for whoever is signed in.
 * @example const { quotas } = await readAs(c, sql, (db, caller) => listQuotas(db, caller, {}, page))
 */
export function readAs<T>(
  c: Context<DashboardEnv>,
  sql: SqlSource,
  read: (db: Queryable, caller: ReportCaller) => Promise<T>,
): Promise<T> {
  // Pages have more in `c.var` than asCaller() knows, which a Context is not allowed to have.
  const context: Context = c
  return asCaller(context, sql, read)
}
