import { describe, expect, it } from 'vitest'
import { outcomeOf, outcomesOfBody } from '../../src/usage/outcome.ts'

const SUCCESS = { status: 'success', error: null }
const failed = (error: string) => ({ status: 'error', error })
const LINE = { model: 'm', promptTokens: 3, completionTokens: 4 }
const USAGE = { 'dev.mcp-user-context/usage': LINE }
const rpc = (more: Record<string, unknown>) => ({ jsonrpc: '2.0', id: 1, ...more })

describe('the outcome that a response reports', () => {
  const cases: { name: string; message: unknown; outcome: unknown }[] = [
    { name: 'a result', message: rpc({ result: { content: [] } }), outcome: SUCCESS },
    { name: 'isError false', message: rpc({ result: { content: [], isError: false } }), outcome: SUCCESS },
    { name: 'isError that is no boolean', message: rpc({ result: { isError: 'true' } }), outcome: SUCCESS },
    {
      name: 'isError with a text',
      message: rpc({
        result: { isError: true, content: [{ type: 'image' }, { type: 'text', text: 'no disk' }] },
      }),
      outcome: failed('no disk'),
    },
    {
      name: 'isError without a text',
      message: rpc({ result: { isError: true } }),
      outcome: failed('tool error'),
    },
    {
      name: 'isError with junk for content',
      message: rpc({ result: { isError: true, content: [null, 1, { text: 2 }] } }),
      outcome: failed('tool error'),
    },
    {
      name: 'a JSON-RPC error',
      message: rpc({ error: { code: -32602, message: 'bad params' } }),
      outcome: failed('-32602: bad params'),
    },
    { name: 'an error without a message', message: rpc({ error: { code: 5 } }), outcome: failed('5: error') },
    {
      name: 'a long error',
      message: rpc({ error: { code: 5, message: 'x'.repeat(1000) } }),
      outcome: failed(`5: ${'x'.repeat(497)}`),
    },
    {
      name: 'an error beside a result',
      message: rpc({ error: { code: 1, message: 'e' }, result: {} }),
      outcome: failed('1: e'),
    },
    {
      name: 'what was used',
      message: rpc({ result: { content: [], _meta: USAGE } }),
      outcome: { ...SUCCESS, usage: [LINE] },
    },
    {
      name: 'what was used in vain',
      message: rpc({ result: { isError: true, _meta: USAGE } }),
      outcome: { ...failed('tool error'), usage: [LINE] },
    },
    {
      name: 'a _meta that says nothing of it',
      message: rpc({ result: { _meta: { 'example.com/usage': LINE } } }),
      outcome: SUCCESS,
    },
    {
      name: 'a round that asks for input',
      message: rpc({ result: { resultType: 'input_required', inputRequests: {} } }),
      outcome: { ...SUCCESS, round: true },
    },
    {
      name: 'a round that used something',
      message: rpc({ result: { resultType: 'input_required', _meta: USAGE } }),
      outcome: { ...SUCCESS, round: true, usage: [LINE] },
    },
    {
      name: 'a result that says it is complete',
      message: rpc({ result: { resultType: 'complete', content: [] } }),
      outcome: SUCCESS,
    },
  ]
  for (const { name, message, outcome } of cases) {
    it(name, () => {
      expect(outcomeOf(message)).toMatchObject({ id: 1, outcome })
    })
  }

  const none: { name: string; message: unknown }[] = [
    { name: 'a notification', message: { jsonrpc: '2.0', method: 'notifications/progress' } },
    { name: 'a request of the server', message: rpc({ method: 'sampling/createMessage' }) },
    { name: 'an answer to nobody', message: { jsonrpc: '2.0', id: null, error: { code: 1, message: 'e' } } },
    { name: 'an array', message: [] },
    { name: 'null', message: null },
    { name: 'text', message: 'result' },
  ]
  for (const { name, message } of none) {
    it(`is none of ${name}`, () => {
      expect(outcomeOf(message)).toBeNull()
    })
  }
})

describe('the outcomes in a body', () => {
  const cases: { name: string; text: string; outcomes: [unknown, unknown][] }[] = [
    { name: 'one response', text: JSON.stringify(rpc({ result: {} })), outcomes: [[1, SUCCESS]] },
    {
      name: 'a batch, each with its own',
      text: JSON.stringify([
        rpc({ id: 'a', result: {} }),
        { jsonrpc: '2.0', method: 'notifications/x' },
        rpc({ id: 1, error: { code: 2, message: 'no' } }),
        rpc({ id: '1', result: { isError: true } }),
      ]),
      outcomes: [
        ['a', SUCCESS],
        [1, failed('2: no')],
        ['1', failed('tool error')],
      ],
    },
    {
      name: 'a batch, each with its own usage',
      text: JSON.stringify([rpc({ id: 'a', result: { _meta: USAGE } }), rpc({ id: 'b', result: {} })]),
      outcomes: [
        ['a', { ...SUCCESS, usage: [LINE] }],
        ['b', SUCCESS],
      ],
    },
    { name: 'an empty batch', text: '[]', outcomes: [] },
    { name: 'no JSON', text: '<html>', outcomes: [] },
    { name: 'nothing', text: '', outcomes: [] },
  ]
  for (const { name, text, outcomes } of cases) {
    it(name, () => {
      expect([...outcomesOfBody(text)]).toMatchObject(outcomes)
    })
  }
})
