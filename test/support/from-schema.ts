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
  default?: unknown
  minimum?: number
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

const moments = fc.date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true })

function text({ format, examples = [], default: left, minLength = 0, maxLength = 40 }: Schema) {
  if (format === 'uuid') return fc.uuid()
  if (format === 'date') return moments.map((at) => at.toISOString().slice(0, 10))
  if (format === 'date-time') return moments.map((at) => at.toISOString())
  const free = fc.string({ unit: 'grapheme', minLength, maxLength: Math.min(maxLength, 40) })
  const known = [...examples, ...(left === undefined ? [] : [left])]
  return known.length === 0 ? free : fc.constantFrom(...known)
}

/** Whether to mix in what has no business there. */
export type Mood = 'tame' | 'wild'

function valueOf(schema: Schema, mood: Mood): fc.Arbitrary<unknown> {
  const { type, minimum = 0, maximum = 1_000_000 } = schema
  if ('const' in schema) return fc.constant(schema.const)
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  const choices = schema.anyOf ?? schema.oneOf
  if (choices !== undefined) return fc.oneof(...choices.map((one) => fromSchema(one, mood)))
  if (Array.isArray(type)) return fc.oneof(...type.map((one) => valueOf({ ...schema, type: one }, mood)))
  const whole = fc.integer({ min: minimum, max: Math.min(maximum, 2_147_483_647) })
  switch (type ?? 'anything') {
    case 'string':
      return text(schema)
    case 'integer':
      return whole
    case 'number':
      return fc.oneof(whole, fc.double({ min: minimum, max: maximum, noNaN: true }))
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'array':
      return fc.array(fromSchema(schema.items ?? {}, mood), { maxLength: Math.min(schema.maxItems ?? 3, 3) })
    case 'object':
      return objectOf(schema, mood)
    default:
      return fc.jsonValue({ maxDepth: 3 })
  }
}

function objectOf({ properties = {}, required = [] }: Schema, mood: Mood): fc.Arbitrary<unknown> {
  const names = Object.keys(properties)
  const fields = Object.entries(properties).map(([name, one]) => [name, fromSchema(one, mood)] as const)
  const needed = mood === 'tame' ? names.filter((name) => required.includes(name)) : []
  return fc.record(Object.fromEntries(fields), { requiredKeys: needed, noNullPrototype: true })
}

/** Values as a schema has them; of wild ones some as no schema has them. */
export const fromSchema = (schema: Schema, mood: Mood): fc.Arbitrary<unknown> =>
  mood === 'tame'
    ? valueOf(schema, mood)
    : fc.oneof(
        { weight: 8, arbitrary: valueOf(schema, mood) },
        { weight: 1, arbitrary: fc.constantFrom<unknown>(...HOSTILE) },
        { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
        { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 4 }) },
      )
