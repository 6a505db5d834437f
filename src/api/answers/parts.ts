import * as z from 'zod'
import { REFUSAL_CODES } from '../../errors.ts'
import type { ToldPeriod } from '../../reports/period.ts'

/** How many. */
export const count = z.int().min(0)
/** A measure that is no count, such as an average. */
export const measure = z.number()
export const percent = measure.describe('Of a hundred')
export const usd = z
  .string()
  .regex(/^-?\d+(\.\d+)?$/)
  .describe('USD, exact, as a decimal string')
export const moment = z.iso.datetime()
export const day = z.iso.date()
export const id = z.guid()
/** Left out where there is nothing to tell. */
export const maybe = <Schema extends z.ZodType>(schema: Schema) => z.exactOptional(schema)

export const clientType = z.enum([
  'Claude',
  'Cursor',
  'Windsurf',
  'Cline',
  'KiRo',
  'Augment',
  'Gemini',
  'Unknown',
])

/** A list that comes in pages ends with this. */
export const nextPage = {
  next_cursor: maybe(z.string()).describe('Ask for the next page with it; left out on the last'),
}
export const page = { total: count, ...nextPage }

export const period = z.strictObject({
  start: moment,
  end: moment,
  timezone: z.string(),
}) satisfies z.ZodType<ToldPeriod>
export const lastDays = z.strictObject({ start: moment, end: moment, days: count })

/** RFC 9457. Further members say more of the one fault. */
export const Problem = z
  .looseObject({
    type: z.literal('about:blank'),
    title: z.string(),
    status: z.int(),
    detail: maybe(z.string()),
    code: z.enum(REFUSAL_CODES).describe('Stable: programs may rely on it'),
    request_id: z.string().describe('Names this request in the log of the server'),
    errors: maybe(z.array(z.strictObject({ path: z.string(), message: z.string() }))).describe(
      'What is wrong with a query or a body, field by field',
    ),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem details' })
