import { describe, expect, it } from 'vitest'
import { createUsageCollector } from '../../src/usage/collector.ts'
import { usageOfResult } from '../../src/usage/reported.ts'
import type { UsageReport } from '../../src/variables.ts'

/** The lines that these reports make. */
function collected(...reports: UsageReport[]) {
  const collector = createUsageCollector()
  for (const report of reports) collector.add(report)
  return collector.lines()
}

describe('usage.add()', () => {
  const cases: [string, UsageReport, unknown][] = [
    [
      'tokens of a model',
      { model: 'gpt-4o', promptTokens: 1200, completionTokens: 80 },
      { model: 'gpt-4o', promptTokens: 1200, completionTokens: 80 },
    ],
    ['tokens of no model', { promptTokens: 5 }, { model: 'unknown', promptTokens: 5, completionTokens: 0 }],
    [
      'a cost alone',
      { model: 'm', cost: '0.25' },
      { model: 'm', promptTokens: 0, completionTokens: 0, cost: '0.25' },
    ],
    [
      'a cost of nothing, which is no missing cost',
      { cost: 0 },
      { model: 'unknown', promptTokens: 0, completionTokens: 0, cost: '0.0000000000' },
    ],
    ['nothing', {}, { model: 'unknown', promptTokens: 0, completionTokens: 0 }],
    [
      'as much as there can be',
      { promptTokens: 1_000_000_000 },
      { model: 'unknown', promptTokens: 1_000_000_000, completionTokens: 0 },
    ],
  ]
  it.each(cases)('takes %s', (_what, report, line) => {
    expect(collected(report)).toEqual([line])
  })

  it('keeps every report, in its order', () => {
    expect(
      collected({ model: 'a', promptTokens: 1 }, { model: 'b' }, { model: 'a', cost: '2' }),
    ).toMatchObject([{ model: 'a', promptTokens: 1 }, { model: 'b' }, { model: 'a', cost: '2' }])
  })

  // Money goes to Postgres as digits, whatever JavaScript would write.
  const costs: [number | string, string][] = [
    [0.1 + 0.2, '0.3000000000'],
    [1e-7, '0.0000001000'],
    [1e-10, '0.0000000001'],
    [4e-11, '0.0000000000'],
    [123_456.789, '123456.7890000000'],
    ['0.0000000001', '0.0000000001'],
    ['0.1', '0.1'],
    ['999999999.99', '999999999.99'],
  ]
  it.each(costs)('takes a cost of %s as %s', (cost, digits) => {
    expect(collected({ cost })[0]?.cost).toBe(digits)
  })

  const tokens = 'must be a whole number of tokens'
  const much = 'more tokens than a call can use'
  const money = 'cost must be USD, as a number or a decimal string'
  const faults: [Record<string, unknown>, string][] = [
    [{ promptTokens: -1 }, `promptTokens ${tokens}`],
    [{ promptTokens: 0.5 }, `promptTokens ${tokens}`],
    [{ completionTokens: Number.NaN }, `completionTokens ${tokens}`],
    [{ completionTokens: '12' }, `completionTokens ${tokens}`],
    [{ promptTokens: 1_000_000_001 }, `promptTokens ${tokens}; ${much}`],
    [{ promptTokens: 1e300 }, `promptTokens ${tokens}; ${much}`],
    [{ promptTokens: 600_000_000, completionTokens: 600_000_000 }, much],
    [{ model: '' }, 'model must be a name'],
    [{ model: 4 }, 'model must be a name'],
    [{ cost: -0.01 }, money],
    [{ cost: Number.NaN }, money],
    [{ cost: Number.POSITIVE_INFINITY }, money],
    [{ cost: 1_000_000_000 }, money],
    [{ cost: '1e9' }, money],
    [{ cost: '-1' }, money],
    [{ cost: '0,5' }, money],
    [{ cost: ' 1' }, money],
    [{ cost: '' }, money],
    [{ cost: 5n }, money],
    [{ model: '', promptTokens: -1, cost: '' }, `model must be a name; promptTokens ${tokens}; ${money}`],
  ]
  it.each(faults)('throws for %o', (report, message) => {
    const collector = createUsageCollector()
    expect(() => collector.add(report)).toThrow(new TypeError(`usage.add(): ${message}`))
    expect(collector.lines()).toEqual([])
  })

  it.each([undefined, null])('throws a TypeError for %s', (report) => {
    expect(() => createUsageCollector().add(report as unknown as UsageReport)).toThrow(TypeError)
  })

  it('throws when all reports together are more than a call can use, and keeps those before', () => {
    const collector = createUsageCollector()
    collector.add({ promptTokens: 999_999_999 })
    collector.add({ completionTokens: 1 })
    expect(() => collector.add({ completionTokens: 1 })).toThrow(
      'usage.add(): more tokens than a call can use',
    )
    expect(collector.lines()).toHaveLength(2)
  })

  it('throws when all reports together cost more than a column holds', () => {
    const collector = createUsageCollector()
    const addTen = () => {
      for (let index = 0; index < 11; index += 1) collector.add({ model: `m${index}`, cost: '999999999' })
    }
    expect(addTen).toThrow(TypeError)
  })
})

const result = (usage: unknown) => ({ content: [], _meta: { 'dev.mcp-user-context/usage': usage } })

describe("what a result says in _meta['dev.mcp-user-context/usage']", () => {
  const report = { model: 'm', promptTokens: 1, completionTokens: 2 }
  const cases: [string, unknown, unknown[]][] = [
    ['one report', result(report), [report]],
    ['several', result([report, { model: 'n', cost: '0.5' }]), [report, { model: 'n', cost: '0.5' }]],
    [
      'in the words of JSON',
      result({ model: 'm', prompt_tokens: 1, completion_tokens: 2, cost: 0.5 }),
      [{ ...report, cost: '0.5000000000' }],
    ],
    [
      'in which null is nothing',
      result({ model: null, prompt_tokens: 1, completion_tokens: 2, cost: null }),
      [{ model: 'unknown', promptTokens: 1, completionTokens: 2 }],
    ],
    ['in which more is said', result({ ...report, latency: 5 }), [report]],
    [
      'what cannot be counted is left out',
      result([{ promptTokens: -1 }, report, { cost: 'much' }]),
      [report],
    ],
    [
      'and what is too much together',
      result([{ promptTokens: 900_000_000 }, { promptTokens: 900_000_000 }]),
      [{ model: 'unknown', promptTokens: 900_000_000, completionTokens: 0 }],
    ],
    ['nothing in it', result([]), []],
    ['a text', result('many'), []],
    ['a list in a list', result([[report]]), []],
    ['null', result(null), []],
    ['no such member', { _meta: {} }, []],
    ['no _meta', { content: [] }, []],
    ['_meta that is none', { _meta: [report] }, []],
    ['no result', undefined, []],
    ['a result that is none', 'result', []],
  ]
  it.each(cases)('%s', (_name, given, lines) => {
    const found = usageOfResult(given)
    expect(found).toHaveLength(lines.length)
    expect(found).toMatchObject(lines)
  })
})
