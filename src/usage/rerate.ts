import { type Actor, recordAudit } from '../audit.ts'
import { pgArray, type Sql } from '../db/client.ts'
import { patiently } from '../db/outage.ts'
import { inTransaction } from '../db/transaction.ts'

/** Calls of one step. The budgets that it moves are locked meanwhile, for some tens of milliseconds. */
const CALLS_AT_ONCE = 500
/** What one of them may take, with its attempts. */
const STEP_MS = 120_000

/** Which calls to price anew. */
export interface RerateRequest {
  from: Date
  /** Up to, and not with, this moment; null for now. */
  to: Date | null
  /** What these cost alone; null for all models, and for the tools' own prices. */
  models: string[] | null
}

/** The record of what was priced anew. Costs are exact decimals. */
export interface Rerate {
  rerate_id: string
  rerated_at: string
  from: string
  to: string
  models: string[] | null
  /** Calls that changed, and what they cost together. */
  calls: number
  cost_before: string
  cost_after: string
  by: string | null
}

interface Row {
  rerated_at: Date
  from_at: Date
  to_at: Date
  models: string[] | null
  calls: string
  cost_before: string
  cost_after: string
  by: string | null
  finished: boolean
}

/** What the record of it calls whoever has no id. */
const KINDS = { user: 'user', service: 'service', cli: 'command line' } as const

/**
 * Prices the recorded calls of a period anew, by the prices that were in force at the time of each, and moves the
 * budgets by the difference. What a tool said it cost stays. Done in steps that are committed one by one: where it
 * is broken off, its record says how much was done, and another run does the rest.
 * @param by who asked.
 */
export async function rerate(sql: Sql, { from, to, models }: RerateRequest, by: Actor): Promise<Rerate> {
  const begun = await inTransaction(sql, async (tx) => {
    const [{ id }] = await tx<[{ id: string }]>`
      select archon_mcp_rerate(
        ${from}, coalesce(${to}::timestamptz, clock_timestamp()), ${models === null ? null : pgArray(models)}::text[],
        ${by.id ?? KINDS[by.kind]}
      ) as id`
    const details = { from: from.toISOString(), to: to?.toISOString() ?? null, models }
    await recordAudit(tx, by, { action: 'calls.rerated', target: { kind: 'rerate', id }, details })
    return { id }
  })
  for (;;) {
    // A step that met another writer's rows in their order (a deadlock) has done nothing, and is done again.
    const [step] = await patiently(
      () => sql<[Row]>`
      select rerated_at, from_at, to_at, to_json(models) as models, calls, trim_scale(cost_before) as cost_before,
             trim_scale(cost_after) as cost_after, by, finished_at is not null as finished
      from archon_mcp_rerate_step(${begun.id}, ${CALLS_AT_ONCE})`,
      Date.now() + STEP_MS,
      STEP_MS,
    )
    if (!step.finished) continue
    return {
      rerate_id: begun.id,
      rerated_at: step.rerated_at.toISOString(),
      from: step.from_at.toISOString(),
      to: step.to_at.toISOString(),
      models: step.models,
      calls: Number(step.calls),
      cost_before: step.cost_before,
      cost_after: step.cost_after,
      by: step.by,
    }
  }
}
