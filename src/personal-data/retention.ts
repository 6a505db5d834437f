import { type Actor, recordAudit } from '../audit.ts'
import type { Queryable, Sql } from '../db/client.ts'
import { inTransaction } from '../db/transaction.ts'

/** For how many days each kind of data is kept; null for ever. */
export interface Retention {
  calls_days: number | null
  sessions_days: number | null
  errors_days: number | null
  audit_days: number | null
  /** Whether e-mails and names are stored at all. */
  stores_names: boolean
}

/** The same, with what follows from it. */
export interface RetentionState extends Retention {
  /** ISO 8601, UTC; null until something was set. */
  updated_at: string | null
  /** The day of UTC from which on every call is kept; null for the first. Sums reach back further. */
  calls_complete_from: string | null
  /** True while a budget of all time counts every call: none is removed then. */
  calls_held_by_quotas: boolean
}

/** What may be set; what is left out stays. */
export type RetentionChange = { [Key in keyof Retention]?: Retention[Key] | undefined }

/** For how long is what kept? */
export async function retentionState(sql: Queryable): Promise<RetentionState> {
  const [row] = await sql<[Omit<RetentionState, 'updated_at'> & { updated_at: Date | null }]>`
    select retention.calls_days, retention.sessions_days, retention.errors_days, retention.audit_days,
           retention.stores_names, retention.updated_at,
           (select nullif(mark.complete_from, '-infinity')::text from archon_mcp_watermark as mark)
             as calls_complete_from,
           retention.calls_days is not null
             and exists (select from archon_mcp_quotas as quota where quota.window_unit = 'total')
             as calls_held_by_quotas
    from archon_mcp_retention as retention`
  return { ...row, updated_at: row.updated_at?.toISOString() ?? null }
}

/**
 * Sets for how long data is kept, from the next step of the job on; and whether names are stored, at once: turned off,
 * those that are there go.
 * @param by whoever does it, for the record.
 */
export async function setRetention(sql: Sql, change: RetentionChange, by: Actor): Promise<RetentionState> {
  return await inTransaction(sql, async (tx) => {
    const before = await retentionState(tx)
    const days = (name: 'calls_days' | 'sessions_days' | 'errors_days' | 'audit_days') =>
      change[name] === undefined ? before[name] : change[name]
    await tx`
      update archon_mcp_retention
      set calls_days = ${days('calls_days')},
          sessions_days = ${days('sessions_days')},
          errors_days = ${days('errors_days')},
          audit_days = ${days('audit_days')},
          updated_at = now()`
    const { stores_names: stores } = change
    if (stores !== undefined && stores !== before.stores_names)
      await tx`select archon_mcp_store_names(${stores})`
    const details: Record<string, number | boolean | null> = {}
    for (const [name, value] of Object.entries(change)) if (value !== undefined) details[name] = value
    const target = { kind: 'retention', id: 'retention' } as const
    await recordAudit(tx, by, { action: 'retention.set', target, details })
    return await retentionState(tx)
  })
}

/** How many rows of each kind went. */
export interface Retained {
  calls: number
  sessions: number
  errors: number
  audit: number
}

/** Rows of each kind in a step: it holds them for milliseconds. */
const STEP_ROWS = 1000

export interface RetainOptions {
  /** The moment from which ages are counted; null is the database's clock. Default null. */
  now?: Date | null | undefined
  /** Steps at most, each a transaction of its own; what is left is for the next time. Default 20. */
  steps?: number | undefined
}

/**
 * Removes what is older than it is kept, in short steps that wait for nobody. Call it each minute, as the servers of
 * this package do, from as many instances as there are.
 * @returns what went.
 * @example setInterval(() => void keepRetention(sql).catch(console.error), 60_000)
 */
export async function keepRetention(
  sql: Sql,
  { now = null, steps = 20 }: RetainOptions = {},
): Promise<Retained> {
  const sum: Retained = { calls: 0, sessions: 0, errors: 0, audit: 0 }
  for (let step = 0; step < steps; step += 1) {
    const [gone] = await sql<[Record<keyof Retained, string>]>`
      select calls, sessions, errors, audit from archon_mcp_retain(${now}, ${STEP_ROWS})`
    let most = 0
    for (const kind of ['calls', 'sessions', 'errors', 'audit'] as const) {
      const rows = Number(gone[kind])
      sum[kind] += rows
      most = Math.max(most, rows)
    }
    if (most < STEP_ROWS) break
  }
  return sum
}
