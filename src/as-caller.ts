import type { Context, MiddlewareHandler } from 'hono'
import type { Actor } from './audit.ts'
import { type Queryable, resolveSql, type SqlSource } from './db/client.ts'
import { inTransaction, type TransactionOptions } from './db/transaction.ts'
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
  return role === 'service'
    ? { kind: 'service', id: c.var.caller.accessToken ?? null }
    : { kind: 'user', id: userId }
}

/** Milliseconds that one statement of a report may take. */
const STATEMENT_TIMEOUT_MS = 30_000

/**
 * As whom the database knows the caller: the claims that `archon_mcp_caller()` reads, in the places where Supabase
 * has them. Not the token's own: those may hold what Postgres cannot (NUL), and a `verify` may give no issuer.
 */
function identityOf(c: Context<{ Variables: UserVariables }>): Pick<TransactionOptions, 'role' | 'claims'> {
  const { caller, user } = c.var
  if (user === null) return { role: 'service_role', claims: { role: 'service_role' } }
  const issuedAt = caller.identity?.issuedAt
  return {
    role: 'authenticated',
    claims: {
      role: 'authenticated',
      iss: user.issuer,
      sub: user.subject,
      ...(issuedAt ? { iat: issuedAt.getTime() / 1000 } : {}),
    },
  }
}

/**
 * Lets what is asked for be read from a replica. What changes something is answered by the database itself: a replica
 * is a moment behind.
 */
export const readingFrom = (replica: SqlSource | undefined): MiddlewareHandler =>
  async function readingFrom(c, next) {
    if (c.req.method === 'GET') c.set('replica', replica)
    return await next()
  }

const sourceOf = (c: Context, sql: SqlSource): SqlSource => (c.get('replica') as SqlSource | undefined) ?? sql

/**
 * Runs reports for the caller of a request: the one door through which REST and pages read. They run in one
 * transaction that cannot write, as Postgres's role `authenticated` with the caller's claims (a program's as
 * `service_role`), so that row-level security holds for them as it does for PostgREST on the same database.
 * @param read takes the client and the caller, and hands both to reports; the client is good until it returns.
 * @returns what `read` returns.
 * @throws PostgresError 57014 when a statement takes more than 30 s.
 * @example const report = await asCaller(c, sql, (db, caller) => costsBy(db, caller, 'tool', period))
 */
export async function asCaller<T>(
  c: Context<{ Variables: UserVariables }>,
  sql: SqlSource,
  read: (db: Queryable, caller: ReportCaller) => Promise<T>,
): Promise<T> {
  const caller = callerOf(c)
  const source = sourceOf(c as Context, sql)
  return await inTransaction(resolveSql(source, c), (db) => read(db, caller), {
    ...identityOf(c),
    readOnly: true,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  })
}

/**
 * Runs a report of what the server's login alone may ask, for those who administer: whoever calls this has seen to
 * that. It cannot write either, and takes no longer.
 * @throws PostgresError 57014 when a statement takes more than 30 s.
 * @example const preview = await asServer(c, sql, (db) => previewQuota(db, quota, 30))
 */
export const asServer = <T>(c: Context, sql: SqlSource, read: (db: Queryable) => Promise<T>): Promise<T> =>
  inTransaction(resolveSql(sourceOf(c, sql), c), read, {
    readOnly: true,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  })
