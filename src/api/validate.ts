import { zValidator } from '@hono/zod-validator'
import type { MiddlewareHandler, ValidationTargets } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import * as z from 'zod'
import { problem } from '../errors.ts'
import { cursorOf, type Position, positionOf } from '../reports/position.ts'

const MAX_BODY_BYTES = 64 * 1024

/** Answers 400 with every fault of what was sent, none of which quotes it. */
export const invalid = (error: z.core.$ZodError, prefix: string[] = []): Response =>
  problem(
    { code: 'invalid_request' },
    {
      errors: error.issues.map(({ path, message }) => ({ path: [...prefix, ...path].join('.'), message })),
    },
  )

/** Holds a body or a query to a schema; the handler finds the outcome in `c.req.valid(target)`. */
export const validate = <Schema extends z.ZodType, Target extends keyof ValidationTargets>(
  target: Target,
  schema: Schema,
) => zValidator(target, schema, (result) => (result.success ? undefined : invalid(result.error)))

const bounded = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: () => problem({ code: 'body_too_large', detail: `The body has ${MAX_BODY_BYTES} bytes at most.` }),
})

/** A body is JSON of 64 KiB at most, and says so: any other type would be taken for an empty one. */
export const jsonBody: MiddlewareHandler = async function jsonBody(c, next) {
  const empty = c.req.raw.body === null || c.req.header('content-length') === '0'
  if (empty) return await next()
  if (!/^application\/json\s*(;|$)/i.test(c.req.header('content-type') ?? '')) {
    return problem({ code: 'unsupported_media_type', detail: 'Content-Type must be application/json.' })
  }
  return await bounded(c, next)
}

const readers = new WeakMap<object, z.ZodType>()

/** Names the schema to which another one hands its input: that is the one for the OpenAPI document to show. */
export function readBy<Schema extends z.ZodType>(schema: Schema, reader: z.ZodType): Schema {
  readers.set(schema, reader)
  return schema
}
export const readerOf = (schema: object): z.ZodType | undefined => readers.get(schema)

/** A whole number, as an address writes it. */
export const wholeNumber = z
  .string()
  .regex(/^\d{1,9}$/, 'must be a whole number')
  .transform(Number)

/** One from 1 to `max`. */
export const countQuery = (max: number, fallback: number) =>
  wholeNumber
    .pipe(z.number().min(1).max(max))
    .default(fallback)
    .meta({ type: 'integer', minimum: 1, maximum: max, default: fallback })

/** What a cursor looks like. */
const CURSOR = cursorOf({ micros: '1796083200000000', id: '0195e0c0-0000-7000-8000-000000000000' })

/** The query of every list: how many, and from where. `cursor` arrives as the position that it names. */
export const pageQuery = (maxLimit: number, defaultLimit: number) => ({
  limit: countQuery(maxLimit, defaultLimit),
  cursor: z
    .string()
    .transform((cursor, context): Position => {
      const position = positionOf(cursor)
      if (position !== null) return position
      context.addIssue({ code: 'custom', message: 'is no cursor of this list' })
      return z.NEVER
    })
    .optional()
    .meta({ description: 'The next_cursor of the page before', examples: [CURSOR] }),
})

/** The cursor of the next page, left out on the last. */
export const nextCursor = (next: Position | null): { next_cursor?: string } =>
  next === null ? {} : { next_cursor: cursorOf(next) }

/** A UUID of any version, as Postgres takes them. */
export const uuid = z.guid()

/** Text that Postgres holds, which cannot store NUL. */
export const text = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .refine((value) => !value.includes('\0'), 'must not contain NUL')

/** Text that a column of 255 characters holds. */
export const label = text(255)
