import type { Sql, Transaction } from './client.ts'

export interface TransactionOptions {
  /** Milliseconds that one statement may take. Default 10,000. */
  statementTimeoutMs?: number | undefined
  /** Milliseconds that the transaction may wait for its client between statements. Default 10,000. */
  idleTimeoutMs?: number | undefined
  /** `set local role`: what the statements may touch. Default: the login's own rights. */
  role?: 'authenticated' | 'service_role' | undefined
  /** Claims for row-level security, as PostgREST and Supabase set them. Default: none. */
  claims?: Readonly<Record<string, unknown>> | undefined
  /** Nothing can be written. Default false. */
  readOnly?: boolean | undefined
}

/**
 * Runs `fn` in a transaction: the only door to one. Every setting ends with the transaction, so that a pooler may
 * hand the connection to anybody afterwards.
 * @returns what `fn` returns, after the commit; when `fn` throws, everything is rolled back.
 * @throws PostgresError 57014 when a statement takes too long, 42501 when the role may not do it.
 * @example const mine = await inTransaction(sql, (tx) => tx`select * from archon_mcp_sessions`, { role: 'authenticated', claims })
 */
export async function inTransaction<T>(
  sql: Sql,
  fn: (tx: Transaction) => Promise<T>,
  {
    statementTimeoutMs = 10_000,
    idleTimeoutMs = 10_000,
    role,
    claims,
    readOnly = false,
  }: TransactionOptions = {},
): Promise<T> {
  // An array that `fn` returns must not be taken for an array of queries, hence the box.
  let box: { result: T } | undefined
  try {
    await sql.begin(readOnly ? 'read only' : '', async (tx) => {
      // Sent together with the first statement of `fn`, and before it: postgres.js sends what is asked for, not what is
      // written. That statement fails when this does. The role comes last.
      const settings = tx`
        select set_config('statement_timeout', ${String(statementTimeoutMs)}, true),
               set_config('idle_in_transaction_session_timeout', ${String(idleTimeoutMs)}, true),
               set_config('request.jwt.claims', ${claims === undefined ? '' : JSON.stringify(claims)}, true)
               ${role === undefined ? tx`` : tx`, set_config('role', ${role}, true)`}`
      const [, result] = await Promise.all([settings.execute(), fn(tx)])
      box = { result }
      return box
    })
  } catch (error) {
    // postgres.js throws what a statement threw even if `fn` caught it; who only reads has lost nothing by that.
    if (!readOnly || box === undefined) throw error
  }
  return box!.result
}
