import { type Actor, recordAudit } from '../audit.ts'
import type { Sql } from '../db/client.ts'
import { inTransaction } from '../db/transaction.ts'

/** What a model's tokens cost from a day on: USD for 1,000, as decimals. */
export interface ModelPrice {
  provider: string
  model: string
  input: string
  output: string
  /** Of prompt tokens that were read from a cache; null for the price of any other. */
  cached: string | null
  /** `YYYY-MM-DD`, a day of UTC; null for today. */
  effectiveDate: string | null
  notes: string | null
}

/** What each call of a tool costs by itself from a moment on: USD, as a decimal. */
export interface ToolPrice {
  tool: string
  price: string
  /** Null for now. */
  effectiveAt: Date | null
  remark: string | null
}

/** Puts the price of a model, provider and day, in place of the one that is there. Recorded costs stay. */
export async function putModelPrice(
  sql: Sql,
  { provider, model, input, output, cached, effectiveDate, notes }: ModelPrice,
  by: Actor,
): Promise<{ id: number; created: boolean }> {
  return await inTransaction(sql, async (tx) => {
    const [row] = await tx<[{ id: number; created: boolean; day: string }]>`
      insert into archon_llm_pricing
        (provider, model_name, input_price_per_1k, output_price_per_1k, cached_price_per_1k, effective_date, notes)
      values
        (${provider}, ${model}, ${input}, ${output}, ${cached},
         coalesce(${effectiveDate}::text::date, (now() at time zone 'UTC')::date), ${notes})
      on conflict (model_name, provider, effective_date) do update
      set input_price_per_1k = excluded.input_price_per_1k,
          output_price_per_1k = excluded.output_price_per_1k,
          cached_price_per_1k = excluded.cached_price_per_1k,
          notes = excluded.notes
      -- A row that is new has been changed by nobody.
      returning id, xmax = 0 as created, to_char(effective_date, 'YYYY-MM-DD') as day`
    const target = { kind: 'model', id: model } as const
    const details = { provider, input, output, cached, from: row.day }
    await recordAudit(tx, by, { action: 'price.set', target, details })
    return { id: row.id, created: row.created }
  })
}

/** Puts the price of a tool and moment, in place of the one that is there. Recorded costs stay. */
export async function putToolPrice(
  sql: Sql,
  { tool, price, effectiveAt, remark }: ToolPrice,
  by: Actor,
): Promise<{ effectiveAt: Date; created: boolean }> {
  return await inTransaction(sql, async (tx) => {
    const [row] = await tx<[{ effective_at: Date; created: boolean }]>`
      insert into archon_mcp_tool_prices (tool_name, price, effective_at, remark)
      values (${tool}, ${price}, coalesce(${effectiveAt}::timestamptz, date_trunc('milliseconds', now())), ${remark})
      on conflict (tool_name, effective_at) do update
      set price = excluded.price, remark = excluded.remark
      returning effective_at, xmax = 0 as created`
    const target = { kind: 'tool', id: tool } as const
    const details = { price, from: row.effective_at.toISOString() }
    await recordAudit(tx, by, { action: 'price.set', target, details })
    return { effectiveAt: row.effective_at, created: row.created }
  })
}
