import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import { expect, test } from 'vitest'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { countGptTokens } from '../../src/usage/gpt-tokenizer.ts'
import { createTestDatabase } from '../support/database.ts'
import { appWith, callTool, modern, post, tokenFor } from '../support/mcp.ts'

const PROSE =
  'Sales asked for last month again. The report took 3.5 seconds, cost $0.0123 and listed 1,204 invoices, ' +
  'of which "Müller & Söhne" alone had 77; see https://example.com/r?id=42#top.\n\n  * next: translate it\n'
const CODE =
  'export const sum = (xs: number[]): number => {\n  let s = 0\n  for (const x of xs) s += x\n  return s\n}\n'

// Cut into pieces, they count as the tokenizer counts the whole.
const texts: [string, string, number][] = [
  ['nothing', '', 0],
  ['a greeting', 'Hello, world!', 4],
  ['prose', PROSE, countTokens(PROSE)],
  ['long prose', PROSE.repeat(100), countTokens(PROSE.repeat(100))],
  ['code', CODE.repeat(50), countTokens(CODE.repeat(50))],
  ['Japanese', '東京は日本の首都です。', countTokens('東京は日本の首都です。')],
  ['half of a surrogate pair', 'a\ud800b', 3],
]
test.each(texts)('counts %s', (_, text, tokens) => {
  expect(countGptTokens(text)).toBe(tokens)
})

test('takes what looks like a token of the machine for text', () => {
  expect(countGptTokens('the end: <|endoftext|>')).toBeGreaterThan(4)
})

test.each([
  ['prose', PROSE],
  ['JSON without a space', '{"id":12,"ok":true},'],
])('counts the beginning of very long %s, for all of it', (_, part) => {
  const text = part.repeat(20_000)
  const exact = countTokens(part.repeat(1000)) * 20
  expect(Math.abs(countGptTokens(text) - exact) / exact).toBeLessThan(0.02)
})

// The tokenizer alone takes from seconds to minutes for each of these.
test.each(['a', 'ab', '漢字', ' ', '\n', '=', '😀'])('is not held up by 1,000,000 times %j', (part) => {
  const startedAt = performance.now()
  expect(countGptTokens(part.repeat(1_000_000))).toBeGreaterThan(1000)
  expect(performance.now() - startedAt).toBeLessThan(2000)
})

test('stands in for what a tool does not report', async () => {
  await using database = await createTestDatabase()
  const result = { content: [{ type: 'text', text: PROSE }] }
  const app = appWith(database.sql, (c) => c.json({ jsonrpc: '2.0', id: 1, result }), {
    countTokens: countGptTokens,
  })
  const { body, headers } = modern(callTool('search', { query: PROSE }))
  await (await app.request('/mcp', post(body, { token: await tokenFor('Alice'), headers }))).text()
  await ledgerOf(database.sql).drained()
  const [call] = await database.sql`
    select prompt_tokens, completion_tokens, estimated from archon_mcp_requests where tool_name = 'search'`
  expect(call).toEqual({
    prompt_tokens: countTokens(JSON.stringify({ query: PROSE })),
    completion_tokens: countTokens(PROSE),
    estimated: true,
  })
})
