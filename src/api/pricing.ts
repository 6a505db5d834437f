import { Hono, type MiddlewareHandler } from 'hono'
import * as z from 'zod'
import { callerOf } from '../as-caller.ts'
import { resolveSql, type SqlSource } from '../db/client.ts'
import { problem } from '../errors.ts'
import {
  listPrices,
  listToolPrices,
  type McpPrice,
  type McpToolPrice,
  unpricedModels,
} from '../reports/pricing.ts'
import { putModelPrice, putToolPrice } from '../usage/prices.ts'
import { rerate } from '../usage/rerate.ts'
import type { ApiEnv } from './env.ts'
import { PriceBody, RerateBody } from './pricing-schema.ts'
import { countQuery, label, validate } from './validate.ts'

const NOTE = 'Prices are per 1,000 tokens in USD'

const PricingQuery = z.object({
  provider: label.optional(),
  model: label.optional(),
  limit: countQuery(1000, 100),
  cursor: z
    .string()
    .regex(/^\d{1,9}$/, 'is no cursor of this list')
    .transform(Number)
    .optional(),
})

/** Before the body is read: nobody else is told what is wrong with it. */
const adminsOnly: MiddlewareHandler<ApiEnv> = async function adminsOnly(c, next) {
  const { role } = callerOf(c)
  if (role === 'admin' || role === 'service') return await next()
  return problem({ code: 'forbidden', detail: 'Admins and services set prices.' })
}

/** What to do about calls that were recorded under another price: nothing happens to them by itself. */
const rerateHint = (from: string, models?: string[]) =>
  Date.parse(from) > Date.now()
    ? {}
    : {
        rerate: {
          note: 'Calls on record keep their cost. POST /pricing/rerate with this body prices them anew.',
          body: { from, ...(models === undefined ? {} : { models }) },
        },
      }

const modelAnswer = (price: McpPrice) => ({
  ...price,
  ...rerateHint(price.effective_date, [price.model_name]),
})
const toolAnswer = (price: McpToolPrice) => ({ ...price, ...rerateHint(price.effective_at) })

/** `/pricing`: what models and tools cost, which models have no price, and pricing recorded calls anew. */
export const pricing = (sql: SqlSource) =>
  new Hono<ApiEnv>()
    .get('/', validate('query', PricingQuery), async (c) => {
      const { limit, cursor, ...filter } = c.req.valid('query')
      const client = resolveSql(sql, c)
      const [{ pricing, total, next }, tool_prices, unpriced] = await Promise.all([
        listPrices(client, filter, { limit, after: cursor ?? null }),
        listToolPrices(client),
        unpricedModels(client, callerOf(c), filter.model),
      ])
      const more = next === null ? {} : { next_cursor: String(next) }
      return c.json({ pricing, total, note: NOTE, tool_prices, unpriced, ...more })
    })
    .put('/', adminsOnly, validate('json', PriceBody), async (c) => {
      const client = resolveSql(sql, c)
      const price = c.req.valid('json')
      if ('tool' in price) {
        const { effectiveAt, created } = await putToolPrice(client, price)
        const [row] = await listToolPrices(client, { tool: price.tool, at: effectiveAt })
        // Removed by somebody else in between.
        if (row === undefined) return problem({ code: 'not_found' })
        return c.json(toolAnswer(row), created ? 201 : 200)
      }
      const { id, created } = await putModelPrice(client, price)
      const { pricing } = await listPrices(client, { id }, { limit: 1, after: null })
      const [row] = pricing
      if (row === undefined) return problem({ code: 'not_found' })
      return c.json(modelAnswer(row), created ? 201 : 200)
    })
    .post('/rerate', adminsOnly, validate('json', RerateBody), async (c) => {
      const { userId } = callerOf(c)
      return c.json(await rerate(resolveSql(sql, c), c.req.valid('json'), userId ?? 'service'))
    })
