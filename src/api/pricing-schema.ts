import * as z from 'zod'
import { decimal } from '../usage/decimal.ts'
import type { ModelPrice, ToolPrice } from '../usage/prices.ts'
import type { RerateRequest } from '../usage/rerate.ts'
import { label, readBy, text } from './validate.ts'

/** What numeric(20, 10) holds. */
const PRICE = /^\d{1,10}(\.\d{1,10})?$/

/** USD, as a number or in digits; it arrives in digits, exactly as it was written. */
const price = z
  .union([z.number(), z.string()], 'must be a number, or a string of digits')
  .transform((value, context) => {
    const text = typeof value === 'number' ? (decimal(value) ?? '') : value
    if (PRICE.test(text)) return text
    context.addIssue({
      code: 'custom',
      message: 'must be USD, not negative, with at most 10 digits before the point and 10 after it',
    })
    return z.NEVER
  })

const name = label.max(100)
const remark = text(1000)
/** Postgres knows no year 0, and prices of models no year before 1970. */
const since1970 = (value: string): boolean => value >= '1970'
const date = z.iso.date('must be a date such as 2026-10-01').refine(since1970, 'must be in 1970 or later')
const moment = z
  .union(
    [date, z.iso.datetime({ offset: true }).refine(since1970)],
    'must be a date, or a moment such as 2026-10-01T00:00:00Z',
  )
  // A date alone is its first moment in UTC.
  .transform((value) => new Date(value))

const OfModel = z
  .strictObject({
    provider: label.max(50),
    model_name: name,
    input_price_per_1k: price,
    output_price_per_1k: price,
    cached_price_per_1k: price.optional(),
    effective_date: date.optional(),
    notes: remark.optional(),
  })
  .transform((body): ModelPrice => ({
    provider: body.provider,
    model: body.model_name,
    input: body.input_price_per_1k,
    output: body.output_price_per_1k,
    cached: body.cached_price_per_1k ?? null,
    effectiveDate: body.effective_date ?? null,
    notes: body.notes ?? null,
  }))

const OfTool = z
  .strictObject({ tool_name: name, price, effective_at: moment.optional(), remark: remark.optional() })
  .transform((body): ToolPrice => ({
    tool: body.tool_name,
    price: body.price,
    effectiveAt: body.effective_at ?? null,
    remark: body.remark ?? null,
  }))

/** A price as it is put, by whatever way: of a tool where it names one, else of a model. */
export const PriceBody = readBy(
  z.record(z.string(), z.unknown()).transform((body, context): ModelPrice | ToolPrice => {
    const read = (Object.hasOwn(body, 'tool_name') ? OfTool : OfModel).safeParse(body)
    if (read.success) return read.data
    for (const { path, message } of read.error.issues) context.addIssue({ code: 'custom', path, message })
    return z.NEVER
  }),
  z.union([OfModel, OfTool]),
)

/** Which calls to price anew. */
export const RerateBody = z
  .strictObject({ from: moment, to: moment.optional(), models: z.array(name).min(1).max(100).optional() })
  .refine(({ from, to }) => to === undefined || from < to, { path: ['to'], error: 'must be after from' })
  .refine(({ from, to }) => to !== undefined || from < new Date(), {
    path: ['from'],
    error: 'must be in the past',
  })
  .transform(({ from, to = null, models = null }): RerateRequest => ({ from, to, models }))
