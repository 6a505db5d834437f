import { type Actor, recordAudit } from '../audit.ts'
import type { Sql } from '../db/client.ts'
import { inTransaction } from '../db/transaction.ts'

/** What an erasure did, or would do. */
export interface Erasure {
  dry_run: boolean
  /** Rows that are the person's, by table; all but those of sums that nobody can tell apart. */
  tables: Record<string, number>
  /** ISO 8601, UTC; left out of a dry run. */
  erased_at?: string
}

/** A person may have made millions of calls. */
const ERASING_MS = 600_000

/**
 * Forgets a person: a random id takes the place of theirs everywhere, and names, e-mails, texts of errors, what their
 * clients said of themselves and their access tokens go. Sums stay to the last digit. Calls of everybody wait
 * meanwhile. The record of it says how much and not who: nothing leads from the old id to the new one.
 * @param dryRun tells what would happen, and changes nothing.
 * @param by whoever does it, for the record.
 * @returns the receipt; null for an id that nothing is known of.
 */
export async function eraseUser(
  sql: Sql,
  userId: string,
  dryRun: boolean,
  by: Actor,
): Promise<Erasure | null> {
  return await inTransaction(
    sql,
    async (tx) => {
      const rows = await tx<{ table_name: string; rows: string }[]>`
        select erased.table_name, erased.rows from archon_mcp_erase_user(${userId}, ${dryRun}) as erased`
      if (rows.length === 0) return null
      const tables = Object.fromEntries(rows.map((row) => [row.table_name, Number(row.rows)]))
      if (dryRun) return { dry_run: true, tables }
      // Who erases themselves is erased from this line too.
      const actor = by.id === userId ? { kind: 'service' as const, id: null } : by
      await recordAudit(tx, actor, { action: 'user.erased', target: null, details: tables })
      const [clock] = await tx<[{ at: Date }]>`select now() as at`
      return { dry_run: false, tables, erased_at: clock.at.toISOString() }
    },
    { statementTimeoutMs: ERASING_MS },
  )
}
