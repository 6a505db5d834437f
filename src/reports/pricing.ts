import type { Queryable } from '../db/client.ts'
import { callSums } from './call-sums.ts'
import { plain } from './plain.ts'
import type { ReportCaller } from './visible-to.ts'

/** Of what is not paged: beyond this nobody reads on. */
const MAX_LISTED = 1000

/** What a model's tokens cost from a day on: USD for 1,000, as exact decimals. */
export interface McpPrice {
  id: number
  model_name: string
  provider: string
  input_price_per_1k: string
  output_price_per_1k: string
  /** Of prompt tokens that were read from a cache; left out where they cost what any other does. */
  cached_price_per_1k?: string
  /** `YYYY-MM-DD`, a day of UTC. */
  effective_date: string
  notes?: string
}

/** What each call of a tool costs by itself from a moment on. */
export interface McpToolPrice {
  tool_name: string
  price: string
  effective_at: string
  remark?: string
}

/** A model that was used without a price, so that its calls cost nothing on record. */
export interface UnpricedModel {
  model: string
  calls: number
  prompt_tokens: number
  completion_tokens: number
  first_used_at: string
  last_used_at: string
}

/** Which prices to list. */
export interface PricesFilter {
  id?: number | undefined
  provider?: string | undefined
  /** A part of the model's name, in capitals or not. */
  model?: string | undefined
}

const named = (sql: Queryable, column: string, part: string | undefined) =>
  part === undefined ? sql`true` : sql`strpos(lower(${sql(column)}), lower(${part})) > 0`

/**
 * What do models cost? By name, and of each the newest first: the one that begins last counts, whoever provides it.
 * @param page `after` is the id of the price at which the page before ended.
 */
export async function listPrices(
  sql: Queryable,
  { id, provider, model }: PricesFilter,
  { limit, after }: { limit: number; after: number | null },
): Promise<{ pricing: McpPrice[]; total: number; next: number | null }> {
  const matching = sql`
    ${named(sql, 'price.model_name', model)}
    ${provider === undefined ? sql`` : sql`and price.provider = ${provider}`}
    ${id === undefined ? sql`` : sql`and price.id = ${id}`}`
  const [[totals], found] = await Promise.all([
    sql<[{ total: string }]>`select count(*) as total from archon_llm_pricing as price where ${matching}`,
    sql<McpPrice[]>`
      select price.id, price.model_name, price.provider, trim_scale(price.input_price_per_1k) as input_price_per_1k,
             trim_scale(price.output_price_per_1k) as output_price_per_1k,
             trim_scale(price.cached_price_per_1k) as cached_price_per_1k,
             to_char(price.effective_date, 'YYYY-MM-DD') as effective_date, price.notes
      from archon_llm_pricing as price
      where ${matching}
        and ${
          after === null
            ? sql`true`
            : sql`exists (
                select from archon_llm_pricing as last
                where last.id = ${after}
                  and (price.model_name > last.model_name
                    or (price.model_name = last.model_name
                      and (price.effective_date, price.id) < (last.effective_date, last.id)))
              )`
        }
      order by price.model_name, price.effective_date desc, price.id desc
      limit ${limit + 1}`,
  ])
  const pricing = found.slice(0, limit).map((row) => plain(row) as McpPrice)
  const next = found.length > limit ? (pricing.at(-1)?.id ?? null) : null
  return { pricing, total: Number(totals.total), next }
}

/** What do calls of tools cost by themselves? By name, and of each the newest first. */
export async function listToolPrices(
  sql: Queryable,
  { tool, at }: { tool?: string; at?: Date } = {},
): Promise<McpToolPrice[]> {
  const found = await sql`
    select price.tool_name, trim_scale(price.price) as price, price.effective_at, price.remark
    from archon_mcp_tool_prices as price
    where ${tool === undefined ? sql`true` : sql`price.tool_name = ${tool}`}
      and ${at === undefined ? sql`true` : sql`price.effective_at = ${at}`}
    order by price.tool_name, price.effective_at desc
    limit ${MAX_LISTED}`
  return found.map((row) => plain(row) as McpToolPrice)
}

/**
 * Which models were used without a price? The most used first, as far as the caller sees who used them. Calls stay
 * on this list until they are priced anew.
 */
export async function unpricedModels(
  sql: Queryable,
  caller: ReportCaller,
  model?: string,
): Promise<UnpricedModel[]> {
  const found = await sql<
    (UnpricedModel & Record<'calls' | 'prompt_tokens' | 'completion_tokens', string>)[]
  >`
    select call.model, call.calls, call.prompt_tokens, call.completion_tokens, call.first_at as first_used_at,
           call.last_at as last_used_at
    from ${callSums(sql, caller, ['model'], { unpriced: true })}
    where ${named(sql, 'call.model', model)}
    order by call.calls desc, call.model
    limit ${MAX_LISTED}`
  return found.map(({ calls, prompt_tokens, completion_tokens, ...row }) => ({
    ...(plain(row) as UnpricedModel),
    calls: Number(calls),
    prompt_tokens: Number(prompt_tokens),
    completion_tokens: Number(completion_tokens),
  }))
}
