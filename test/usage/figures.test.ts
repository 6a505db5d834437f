// What a call is worth: the figures on its row, by hand.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Handler } from 'hono'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import type { McpUserContextOptions } from '../../src/mcp-user-context.ts'
import type { McpVariables, UsageReport } from '../../src/variables.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, initialize, modern, post, tokenFor } from '../support/mcp.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
  await database.owner`
    insert into archon_llm_pricing
      (model_name, provider, input_price_per_1k, output_price_per_1k, cached_price_per_1k, effective_date)
    values ('cached', 'x', 0.01, 0.02, 0.001, '2020-01-01'), ('tiny', 'x', 0.0000375, 0.00015, null, '2020-01-01')`
  await database.owner`
    insert into archon_mcp_tool_prices (tool_name, effective_at, price)
    values ('flat', '2020-01-01', 0.25), ('flat', now() + interval '1 day', 9), ('both', '2020-01-01', 1)`
})
afterAll(() => database[Symbol.asyncDispose]())

const answer =
  (reports: UsageReport[], text = 'four'): Handler<{ Variables: McpVariables }> =>
  (c) => {
    for (const report of reports) c.var.usage?.add(report)
    const { id } = c.var.parsedBody as { id: unknown }
    return c.json({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text }] } })
  }

/** The row of one call of a tool, and what its models are on record with. */
async function rowOf(
  tool: string,
  handler: Handler<{ Variables: McpVariables }>,
  options: Partial<McpUserContextOptions> = {},
) {
  const { body, headers } = modern(callTool(tool, { text: 'hello' }))
  const token = await tokenFor('Alice')
  await (await appWith(database.sql, handler, options).request('/mcp', post(body, { token, headers }))).text()
  await ledgerOf(database.sql).drained()
  const [row] = await database.owner`
    select status, prompt_tokens as prompt, completion_tokens as completion, trim_scale(cost)::text as cost,
           trim_scale(tool_cost)::text as tool_cost, estimated, unpriced, request_bytes, response_bytes
    from archon_mcp_requests where tool_name = ${tool}`
  return row
}

const CASES: { what: string; tool: string; reports: UsageReport[]; row: Record<string, unknown> }[] = [
  {
    what: 'two models, of which one is priced and one told',
    tool: 'two',
    reports: [
      { model: 'gpt-4o', promptTokens: 1000, completionTokens: 500 },
      { model: 'own', promptTokens: 7, cost: '0.0000000003' },
    ],
    row: { prompt: 1007, completion: 500, cost: '0.0075000003', unpriced: false, estimated: false },
  },
  {
    what: 'cached tokens at their own price',
    tool: 'cached',
    reports: [{ model: 'cached', promptTokens: 1000, cachedTokens: 800, completionTokens: 100 }],
    row: { cost: '0.0048' }, // 200 * 0.01 + 800 * 0.001 + 100 * 0.02, by the thousand
  },
  {
    what: 'cached tokens at the price of the prompt, where there is no other',
    tool: 'uncached',
    reports: [{ model: 'gpt-4', promptTokens: 1000, cachedTokens: 800 }],
    row: { cost: '0.03' },
  },
  {
    what: 'a token that costs less than a micro-dollar',
    tool: 'tiny',
    reports: [{ model: 'tiny', promptTokens: 1 }],
    row: { cost: '0.0000000375' },
  },
  {
    what: 'a model without a price, which is never silently free',
    tool: 'unknown',
    reports: [
      { model: 'brand-new', promptTokens: 5 },
      { model: 'gpt-4', promptTokens: 1000 },
    ],
    row: { prompt: 1005, cost: '0.03', unpriced: true },
  },
  {
    what: 'the price of the tool, as it is now',
    tool: 'flat',
    reports: [],
    row: { cost: '0.25', tool_cost: '0.25', estimated: true, unpriced: false },
  },
  {
    what: 'the price of the tool beside that of the model',
    tool: 'both',
    reports: [{ model: 'gpt-4', promptTokens: 1000 }],
    row: { cost: '1.03', tool_cost: '1', estimated: false },
  },
  {
    what: 'no model: its texts are counted, and cost nothing',
    tool: 'silent',
    reports: [],
    row: { prompt: 4, completion: 1, cost: '0', estimated: true, unpriced: false }, // {"text":"hello"} and four
  },
]

describe('a call that used', () => {
  it.each(CASES)('$what', async ({ tool, reports, row }) => {
    expect(await rowOf(tool, answer(reports))).toMatchObject({ status: 'success', ...row })
  })
})

it('counts with a tokenizer of your own', async () => {
  const options = { countTokens: (text: string) => text.split(/\s+/).filter(Boolean).length }
  expect(await rowOf('words', answer([], 'one two three'), options)).toMatchObject({
    prompt: 1,
    completion: 3,
  })
})

it('records how much went in and out', async () => {
  const row = await rowOf('sized', answer([], 'größer'))
  expect(row?.['response_bytes']).toBe(
    new TextEncoder().encode(
      '{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"größer"}]}}',
    ).length,
  )
  expect(row?.['request_bytes']).toBeGreaterThan(100)
})

const failing: Handler = (c) =>
  c.json({ jsonrpc: '2.0', id: 1, result: { isError: true, content: [{ type: 'text', text: 'it failed' }] } })
const asking: Handler = (c) =>
  c.json({ jsonrpc: '2.0', id: 1, result: { resultType: 'input_required', inputRequests: {} } })

it('counts the tokens of a failure too, and none of a round that asks for input', async () => {
  expect(await rowOf('failing', failing)).toMatchObject({ status: 'error', prompt: 4, completion: 3 })
  expect(await rowOf('asking', asking)).toMatchObject({ status: 'success', prompt: 0, completion: 0 })
})

it('gives a report of a batch to the call that it names, and to the first one else', async () => {
  const token = await tokenFor('Alice')
  const app = appWith(database.sql, (c) => {
    if (c.var.message?.initialize) return c.json({ jsonrpc: '2.0', id: 'init', result: {} })
    c.var.usage?.add({ model: 'gpt-4', promptTokens: 1 })
    c.var.usage?.add({ model: 'gpt-4', promptTokens: 20, requestId: 2 })
    return c.json([1, 2].map((id) => ({ jsonrpc: '2.0', id, result: {} })))
  })
  const opened = await app.request('/mcp', post(initialize(), { token }))
  const session = opened.headers.get('mcp-session-id')!
  const batch = [callTool('first', {}, 1), callTool('second', {}, 2)]
  await (await app.request('/mcp', post(batch, { token, session }))).text()
  await ledgerOf(database.sql).drained()
  const rows = await database.owner`
    select tool_name, prompt_tokens from archon_mcp_requests
    where tool_name in ('first', 'second') order by tool_name`
  expect([...rows]).toEqual([
    { tool_name: 'first', prompt_tokens: 1 },
    { tool_name: 'second', prompt_tokens: 20 },
  ])
})
