import { expect, it } from 'vitest'
import { countByLength, countCall, utf8Length } from '../../src/usage/count.ts'
import { usageOfResult } from '../../src/usage/reported.ts'

const line = (promptTokens: number, completionTokens: number, more = {}) => [
  { model: 'm', promptTokens, completionTokens, ...more },
]

it.each([
  [
    'of ours',
    {
      'dev.mcp-user-context/usage': { model: 'm', promptTokens: 9, completionTokens: 2, cachedTokens: 4 },
    },
    line(9, 2, { cachedTokens: 4 }),
  ],
  [
    "of OpenAI's chat API, whose cached tokens are part of the prompt",
    {
      model: 'm',
      usage: {
        prompt_tokens: 100,
        completion_tokens: 20,
        total_tokens: 120,
        prompt_tokens_details: { cached_tokens: 60 },
        completion_tokens_details: { reasoning_tokens: 5 },
      },
    },
    line(100, 20, { cachedTokens: 60, reasoningTokens: 5 }),
  ],
  [
    "of OpenAI's responses API",
    {
      model: 'm',
      usage: {
        input_tokens: 100,
        output_tokens: 20,
        input_tokens_details: { cached_tokens: 60 },
        output_tokens_details: { reasoning_tokens: 5 },
      },
    },
    line(100, 20, { cachedTokens: 60, reasoningTokens: 5 }),
  ],
  [
    "of Anthropic's API, whose cached tokens come beside the prompt",
    {
      usage: {
        model: 'm',
        input_tokens: 10,
        output_tokens: 20,
        cache_read_input_tokens: 60,
        cache_creation_input_tokens: 30,
      },
    },
    line(100, 20, { cachedTokens: 60 }),
  ],
  ['bare', { model: 'm', prompt_tokens: 3, completion_tokens: 4 }, line(3, 4)],
  ['of nobody', { usage: 'much' }, []],
])('reads usage in the shape %s', (_whose, meta, expected) => {
  expect(usageOfResult({ content: [], _meta: meta })).toEqual(expected)
})

it.each([
  ['texts', { city: 'Rome' }, { content: [{ type: 'text', text: 'sunny day' }] }, 4, 3],
  ['structure, where there is no text', {}, { content: [], structuredContent: { celsius: 31 } }, 1, 4],
  ['nothing', undefined, undefined, 0, 0],
  ['a picture, which has no text', undefined, { content: [{ type: 'image', data: 'AAAA' }] }, 0, 0],
])('counts %s', (_what, given, result, promptTokens, completionTokens) => {
  expect(countCall(countByLength, given, result)).toEqual({ promptTokens, completionTokens })
})

it.each(['', 'plain', 'größer', '日本', '🚀 up'])('knows the size of %j', (text) => {
  expect(utf8Length(text)).toBe(new TextEncoder().encode(text).length)
})
