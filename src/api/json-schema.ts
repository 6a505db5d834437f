import * as z from 'zod'
import { readerOf } from './validate.ts'

export type Json = Record<string, unknown>

/** Schemas by name, as they are met. */
export type Components = Record<string, unknown>

function replace(old: Json, by: Json): void {
  for (const name of Object.keys(old)) delete old[name]
  Object.assign(old, by)
}

/** Where the document keeps what zod puts beside each schema. */
const placed = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value).replaceAll('"#/$defs/', '"#/components/schemas/'))

/** What a schema means, in JSON Schema 2020-12, which is that of OpenAPI 3.1. Named ones go to the components. */
export function jsonSchema(schema: z.ZodType, io: 'input' | 'output', components: Components): Json {
  const {
    $schema: _,
    $defs = {},
    ...json
  } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override({ zodSchema, jsonSchema: shown }) {
      const other = readerOf(zodSchema)
      if (other !== undefined) replace(shown, jsonSchema(other, io, components))
      // Said by the format; and programs send numbers in addresses as they like.
      if (shown.format !== undefined || shown.type === 'integer') delete shown.pattern
      if (shown.maximum === Number.MAX_SAFE_INTEGER) delete shown.maximum
      // Which zod leaves out where the text of an address becomes something else.
      const { default: left, examples } = z.globalRegistry.get(zodSchema) ?? {}
      if (left !== undefined) shown.default = left
      if (Array.isArray(examples)) shown.examples = examples
      // Answers may grow.
      if (io === 'output' && shown.additionalProperties === false) delete shown.additionalProperties
    },
  })
  Object.assign(components, placed($defs))
  return placed(json) as Json
}
