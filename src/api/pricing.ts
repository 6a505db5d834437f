import * as z from 'zod'
import { actorOf, asCaller } from '../as-caller.ts'
import { resolveSql } from '../db/client.ts'
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
import { Prices, Rerated, SetPrice } from './answers/prices.ts'
import { PriceBody, RerateBody } from './pricing-schema.ts'
import { ADMINS, EVERYBODY } from './roles.ts'
import { route } from './route.ts'
import { countQuery, label } from './validate.ts'

const NOTE = 'Prices are per 1,000 tokens in USD'

const PricingQuery = z.object({
  provider: label.optional(),
  model: label.optional(),
  limit: countQuery(1000, 100),
  cursor: z
    .string()
    .regex(/^\d{1,9}$/, 'is no cursor of this list')
    .transform(Number)
    .optional()
    .meta({ description: 'The next_cursor of the page before', examples: ['100'] }),
})

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

export const pricing = [
  route({
    method: 'GET',
    path: '/pricing',
    roles: EVERYBODY,
    summary: 'What models and tools cost, and which models were used without a price',
    notes: 'Prices are for everybody to read; models without one are those of calls in reach.',
    query: PricingQuery,
    answers: { 200: Prices },
    handle: (c, { query: { limit, cursor, ...filter } }, { sql }) =>
      asCaller(c, sql, async (db, caller) => {
        const [{ pricing, total, next }, tool_prices, unpriced] = await Promise.all([
          listPrices(db, filter, { limit, after: cursor ?? null }),
          listToolPrices(db),
          unpricedModels(db, caller, filter.model),
        ])
        const more = next === null ? {} : { next_cursor: String(next) }
        return c.json({ pricing, total, note: NOTE, tool_prices, unpriced, ...more })
      }),
  }),
  route({
    method: 'PUT',
    path: '/pricing',
    roles: ADMINS,
    summary: 'Sets the price of a model from a day on, or of a tool from a moment on',
    notes: 'Recorded costs stay.',
    body: PriceBody,
    answers: { 200: SetPrice, 201: SetPrice },
    refusals: ['not_found'],
    async handle(c, { body: price }, { sql }) {
      const client = resolveSql(sql, c)
      if ('tool' in price) {
        const { effectiveAt, created } = await putToolPrice(client, price, actorOf(c))
        const [row] = await listToolPrices(client, { tool: price.tool, at: effectiveAt })
        // Removed by somebody else in between.
        if (row === undefined) return problem({ code: 'not_found' })
        return c.json(toolAnswer(row), created ? 201 : 200)
      }
      const { id, created } = await putModelPrice(client, price, actorOf(c))
      const { pricing } = await listPrices(client, { id }, { limit: 1, after: null })
      const [row] = pricing
      if (row === undefined) return problem({ code: 'not_found' })
      return c.json(modelAnswer(row), created ? 201 : 200)
    },
  }),
  route({
    method: 'POST',
    path: '/pricing/rerate',
    roles: ADMINS,
    summary: 'Prices recorded calls anew by the prices of their time, on the record',
    body: RerateBody,
    answers: { 200: Rerated },
    handle: async (c, { body }, { sql }) => c.json(await rerate(resolveSql(sql, c), body, actorOf(c))),
  }),
]
