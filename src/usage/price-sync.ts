import { type Actor, recordAudit } from '../audit.ts'
import type { Queryable, Sql } from '../db/client.ts'
import { inTransaction } from '../db/transaction.ts'

/** What a price book says of a model: USD for 1,000 tokens, as decimals. */
export interface BookPrice {
  model: string
  provider: string
  input: string
  output: string
  /** Of prompt tokens that were read from a cache; null for the price of any other. */
  cached: string | null
  notes: string
}

/** A price of the book that is not the one on record, and what becomes of it. */
export interface PriceDifference extends BookPrice {
  /** `kept`: the one on record stays, since somebody set it today or for another provider. */
  outcome: 'added' | 'changed' | 'kept'
  /** The newest on record; null where there is none. */
  known: { provider: string; input: string; output: string; cached: string | null; since: string } | null
}

/** The names under which a book's models may be known here, and what day it is (in UTC). */
export async function knownModels(sql: Sql): Promise<{ names: string[]; today: string }> {
  const [row] = await sql<[{ names: string[] | null; today: string }]>`
    select to_char(now() at time zone 'UTC', 'YYYY-MM-DD') as today,
           (
             select json_agg(known.name order by known.name)
             from (
               select price.model_name as name from archon_llm_pricing as price
               union
               select line.model from archon_mcp_usage as line where line.unpriced
             ) as known
           ) as names`
  return { names: row.names ?? [], today: row.today }
}

interface Row extends Omit<PriceDifference, 'known'> {
  known_provider: string | null
  known_input: string
  known_output: string
  known_cached: string | null
  since: string
}

/**
 * Puts a price book's prices on record, from today on, where they are not the newest there. It overwrites nothing:
 * a price that somebody set today stays, and so does one of another provider, which may be what was agreed on.
 * @param dry only says what it would do.
 */
export async function syncPrices(
  sql: Sql,
  book: readonly BookPrice[],
  dry: boolean,
  by: Actor,
): Promise<PriceDifference[]> {
  if (dry) return await put(sql, book, true)
  return await inTransaction(sql, async (tx) => {
    const differing = await put(tx, book, false)
    const count = (wanted: string) => differing.filter(({ outcome }) => outcome === wanted).length
    const [added, changed] = [count('added'), count('changed')]
    if (added + changed > 0)
      await recordAudit(tx, by, { action: 'prices.synced', target: null, details: { added, changed } })
    return differing
  })
}

async function put(sql: Queryable, book: readonly BookPrice[], dry: boolean): Promise<PriceDifference[]> {
  const found = await sql<Row[]>`
    with today as (
      select (now() at time zone 'UTC')::date as day
    ), book as (
      select *
      from json_to_recordset(${JSON.stringify(book)}::text::json) as book (
        model varchar(100), provider varchar(50), input numeric(20, 10), output numeric(20, 10), cached numeric(20, 10),
        notes text
      )
    ), differing as (
      select book.*, known.provider as known_provider, known.input_price_per_1k as known_input,
             known.output_price_per_1k as known_output, known.cached_price_per_1k as known_cached,
             known.effective_date as since,
             case
               when known.id is null then 'added'
               when known.effective_date = today.day or lower(known.provider) <> lower(book.provider) then 'kept'
               else 'changed'
             end as outcome
      from today
      cross join book
      left join lateral (
        select *
        from archon_llm_pricing as price
        where price.model_name = book.model and price.effective_date <= today.day
        order by price.effective_date desc, price.id desc
        limit 1
      ) as known on true
      where (book.input, book.output, book.cached)
        is distinct from (known.input_price_per_1k, known.output_price_per_1k, known.cached_price_per_1k)
    ), inserted as (
      insert into archon_llm_pricing
        (provider, model_name, input_price_per_1k, output_price_per_1k, cached_price_per_1k, effective_date, notes)
      select coalesce(differing.known_provider, differing.provider), differing.model, differing.input, differing.output,
             differing.cached, today.day, differing.notes
      from differing
      cross join today
      where differing.outcome <> 'kept' and not ${dry}
      order by differing.provider, differing.model
      on conflict do nothing
    )
    select model, provider, trim_scale(input) as input, trim_scale(output) as output, trim_scale(cached) as cached,
           notes, outcome, known_provider, trim_scale(known_input) as known_input,
           trim_scale(known_output) as known_output, trim_scale(known_cached) as known_cached,
           to_char(since, 'YYYY-MM-DD') as since
    from differing
    order by outcome, provider, model`
  return found.map(({ known_provider, known_input, known_output, known_cached, since, ...price }) => ({
    ...price,
    known:
      known_provider === null
        ? null
        : { provider: known_provider, input: known_input, output: known_output, cached: known_cached, since },
  }))
}
