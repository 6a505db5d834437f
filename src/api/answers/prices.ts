import * as z from 'zod'
import type { McpPrice, McpToolPrice, UnpricedModel } from '../../reports/pricing.ts'
import type { Rerate } from '../../usage/rerate.ts'
import { count, day, id, maybe, moment, page, usd } from './parts.ts'

const price = z.strictObject({
  id: count,
  model_name: z.string(),
  provider: z.string(),
  input_price_per_1k: usd,
  output_price_per_1k: usd,
  cached_price_per_1k: maybe(usd),
  effective_date: day,
  notes: maybe(z.string()),
})
const toolPrice = z.strictObject({
  tool_name: z.string(),
  price: usd,
  effective_at: moment,
  remark: maybe(z.string()),
})

const Price = price.meta({ id: 'McpPrice' }) satisfies z.ZodType<McpPrice>
const ToolPrice = toolPrice.meta({ id: 'McpToolPrice' }) satisfies z.ZodType<McpToolPrice>

const Unpriced = z
  .strictObject({
    model: z.string(),
    calls: count,
    prompt_tokens: count,
    completion_tokens: count,
    first_used_at: moment,
    last_used_at: moment,
  })
  .meta({ id: 'UnpricedModel' }) satisfies z.ZodType<UnpricedModel>

export const Prices = z.strictObject({
  pricing: z.array(Price),
  note: z.string(),
  tool_prices: z.array(ToolPrice),
  unpriced: z.array(Unpriced),
  ...page,
})

const hint = {
  rerate: maybe(
    z.strictObject({
      note: z.string(),
      body: z.strictObject({ from: z.string(), models: maybe(z.array(z.string())) }),
    }),
  ).describe('How to price recorded calls anew'),
}
export const SetPrice = z.union([price.extend(hint), toolPrice.extend(hint)])

export const Rerated = z.strictObject({
  rerate_id: id,
  rerated_at: moment,
  from: moment,
  to: moment,
  models: z.array(z.string()).nullable(),
  calls: count,
  cost_before: usd,
  cost_after: usd,
  by: z.string().nullable(),
}) satisfies z.ZodType<Rerate>
