import type { Context } from 'hono'
import type { Actor } from './audit.ts'
import { type Queryable, resolveSql, type SqlSource } from './db/client.ts'
import type { ReportCaller } from './reports/visible-to.ts'
import type { UserVariables } from './variables.ts'

/** Who asks, as reports take it. The user is the row, which `ask()` has read for this request. */
export function callerOf(c: Context<{ Variables: UserVariables }>): ReportCaller {
  const { caller, user } = c.var
  if (caller.kind === 'service') return { role: 'service', userId: null, department: null }
  if (user === null) throw new Error('an anonymous caller got past userContext()')
  return { role: user.role, userId: user.id, department: user.department }
}

/** Who does it, as the audit keeps it. */
export function actorOf(c: Context<{ Variables: UserVariables }>): Actor {
  const { role, userId } = callerOf(c)
  return { kind: role === 'service' ? 'service' : 'user', id: userId }
}

/**
 * Runs reports for the caller of a request: the one door through which REST and pages read.
 * @param read takes the client and the caller, and hands both to reports.
 * @returns what `read` returns.
 * @example const report = await asCaller(c, sql, (db, caller) => costsBy(db, caller, 'tool', period))
 */
export async function asCaller<T>(
  c: Context<{ Variables: UserVariables }>,
  sql: SqlSource,
  read: (db: Queryable, caller: ReportCaller) => Promise<T>,
): Promise<T> {
  return await read(resolveSql(sql, c), callerOf(c))
}
