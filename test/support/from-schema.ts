import * as fc from 'fast-check'

/** As much of JSON Schema as the OpenAPI document uses for what is sent. */
export interface Schema {
  type?: string | string[]
  const?: unknown
  enum?: unknown[]
  anyOf?: Schema[]
  oneOf?: Schema[]
  format?: string
  examples?: unknown[]
  minimum?: number
  exclusiveMinimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  items?: Schema
  maxItems?: number
  properties?: Record<string, Schema>
  required?: string[]
}

/** What breaks parsers, databases and people. */
export const HOSTILE = [
  '',
  ' ',
  '\0',
  '\u202e',
  '\ud800',
  '𐍈'.repeat(200),
  'a'.repeat(300),
  "'; drop table archon_mcp_users; --",
  "' or '1'='1",
  '$1',
  '%',
  '%_\\',
  '{{7*7}}',
  '<script>alert(1)</script>',
  '../../etc/passwd',
  '__proto__',
  'constructor',
  'null',
  'NaN',
  'Infinity',
  '-infinity',
  '-1',
  '0',
  '1e999',
  '99999999999999999999',
  '0x10',
  'now',
  'epoch',
  '0000-00-00',
  '2026-02-30',
  '1969-12-31',
  '9999-12-31T23:59:59Z',
  '+275760-09-13T00:00:00Z',
  '2026-10-25T02:30:00+14:00',
  'CET',
  'localtime',
  'Etc/GMT+12',
  'Pacific/Apia',
]

const hostile = fc.oneof(fc.constantFrom<unknown>(...HOSTILE), fc.string({ unit: 'binary', maxLength: 40 }))

function text({ format, examples = [], minLength = 0, maxLength = 40 }: Schema): fc.Arbitrary<unknown> {
  if (format === 'uuid') return fc.uuid()
  const moments = fc.date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true })
  if (format === 'date') return moments.map((at) => at.toISOString().slice(0, 10))
  if (format === 'date-time') return moments.map((at) => at.toISOString())
  const free = fc.string({ unit: 'grapheme', minLength, maxLength: Math.min(maxLength, 40) })
  return examples.length === 0 ? free : fc.oneof(fc.constantFrom(...examples), free)
}

function plain(schema: Schema): fc.Arbitrary<unknown> {
  const { type, minimum = -1000, exclusiveMinimum = minimum, maximum = 1_000_000 } = schema
  if ('const' in schema) return fc.constant(schema.const)
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  const choices = schema.anyOf ?? schema.oneOf
  if (choices !== undefined) return fc.oneof(...choices.map(plain))
  if (Array.isArray(type)) return fc.oneof(...type.map((one) => plain({ ...schema, type: one })))
  switch (type ?? 'anything') {
    case 'string':
      return text(schema)
    case 'integer':
      return fc.integer({ min: minimum, max: Math.min(maximum, 2_147_483_647) })
    case 'number':
      return fc.double({ min: exclusiveMinimum, max: maximum, noNaN: true })
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'array':
      return fc.array(plain(schema.items ?? {}), { maxLength: Math.min(schema.maxItems ?? 3, 3) })
    case 'object':
      return objectOf(schema)
    default:
      return fc.jsonValue({ maxDepth: 3 })
  }
}

function objectOf({ properties = {}, required = [] }: Schema): fc.Arbitrary<unknown> {
  const fields = Object.entries(properties).map(([name, schema]) => {
    const value = fc.oneof({ weight: 12, arbitrary: plain(schema) }, { weight: 1, arbitrary: hostile })
    const weight = required.includes(name) ? 20 : 1
    return fc.oneof(
      { weight, arbitrary: value.map((one) => [[name, one]]) },
      { weight: 1, arbitrary: fc.constant([]) },
    )
  })
  return fc.tuple(...fields).map((entries) => Object.fromEntries(entries.flat() as [string, unknown][]))
}

/** Values as a schema has them, mostly: now and then what has no business there. */
export const fromSchema = (schema: Schema): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 12, arbitrary: plain(schema) },
    { weight: 1, arbitrary: hostile },
    { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 4 }) },
  )
