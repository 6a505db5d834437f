import { describe, expect, it } from 'vitest'
import { requestIds } from '../../src/mcp/json-rpc.ts'
import { type McpMessage, parseMessage } from '../../src/mcp/message.ts'

const MODERN = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' }
const rpc = (more: Record<string, unknown>) => ({ jsonrpc: '2.0', ...more })
const call = (id: unknown, params: unknown = { name: 'echo' }) => rpc({ id, method: 'tools/call', params })
const parsed = (body: unknown, header: string | null = null) => parseMessage(body, header) as McpMessage

describe('the era of a message', () => {
  const envelope = { name: 'echo', _meta: MODERN }
  const cases: { name: string; body: unknown; header?: string; era: string; initialize?: boolean }[] = [
    { name: 'a request that says nothing', body: call(1), era: '2025-11-25' },
    { name: 'a request with the envelope', body: call(1, envelope), era: '2026-07-28' },
    {
      name: 'the envelope over an older header',
      body: call(1, envelope),
      header: '2025-11-25',
      era: '2026-07-28',
    },
    { name: 'a modern header without the envelope', body: call(1), header: '2026-07-28', era: '2026-07-28' },
    { name: 'a later header', body: call(1), header: '2027-01-01', era: '2026-07-28' },
    { name: 'an older header', body: call(1), header: '2025-06-18', era: '2025-11-25' },
    { name: 'a header that is no date', body: call(1), header: 'zzzz', era: '2025-11-25' },
    { name: 'a header of more than a date', body: call(1), header: '2026-07-28x', era: '2025-11-25' },
    { name: 'other _meta', body: call(1, { name: 'echo', _meta: { progressToken: 1 } }), era: '2025-11-25' },
    {
      name: 'a notification with the envelope',
      body: rpc({ method: 'notifications/cancelled', params: { _meta: MODERN } }),
      era: '2026-07-28',
    },
    {
      name: 'a notification with a modern header',
      body: rpc({ method: 'notifications/cancelled' }),
      header: '2026-07-28',
      era: '2026-07-28',
    },
    {
      name: 'a response, whatever the header',
      body: rpc({ id: 1, result: {} }),
      header: '2026-07-28',
      era: '2025-11-25',
    },
    { name: 'initialize', body: rpc({ id: 1, method: 'initialize' }), era: '2025-11-25', initialize: true },
    {
      name: 'initialize as a notification, which opens nothing',
      body: rpc({ method: 'initialize' }),
      era: '2025-11-25',
    },
    {
      name: 'initialize with the envelope, which opens nothing',
      body: rpc({ id: 1, method: 'initialize', params: { _meta: MODERN } }),
      era: '2026-07-28',
    },
    { name: 'a batch', body: [call(1)], era: '2025-11-25' },
  ]
  for (const { name, body, header = null, era, initialize = false } of cases) {
    it(`${name}: ${era}`, () => {
      expect(parseMessage(body, header)).toMatchObject({ era, initialize })
    })
  }
})

describe('the requests of a message', () => {
  const cases: { name: string; body: unknown; requests: unknown[] }[] = [
    { name: 'a tool call', body: call('a'), requests: [{ id: 'a', method: 'tools/call', tool: 'echo' }] },
    {
      name: 'another method, although it has a name',
      body: rpc({ id: 0, method: 'prompts/get', params: { name: 'p' } }),
      requests: [{ id: 0, method: 'prompts/get', tool: null }],
    },
    {
      name: 'a tool call with a name that is no text: the handler refuses it',
      body: call(-1, { name: 7 }),
      requests: [{ id: -1, method: 'tools/call', tool: null }],
    },
    {
      name: 'no params',
      body: rpc({ id: '', method: 'ping' }),
      requests: [{ id: '', method: 'ping', tool: null }],
    },
    { name: 'a notification', body: rpc({ method: 'notifications/initialized' }), requests: [] },
    { name: 'a response', body: rpc({ id: 1, result: { roots: [] } }), requests: [] },
    { name: 'an error response', body: rpc({ id: 1, error: { code: 1, message: 'no' } }), requests: [] },
    {
      name: 'a batch of all of them, with ids that differ in kind alone',
      body: [call(1), rpc({ method: 'notifications/x' }), rpc({ id: 2, result: {} }), call('1', {})],
      requests: [
        { id: 1, method: 'tools/call', tool: 'echo' },
        { id: '1', method: 'tools/call', tool: null },
      ],
    },
  ]
  for (const { name, body, requests } of cases) {
    it(name, () => {
      expect(parsed(body).requests).toEqual(requests)
      expect(parsed(body).batch).toBe(Array.isArray(body))
    })
  }
})

describe('the client of a message', () => {
  const clientInfo = { name: 'Claude Code', version: '2.1', title: 'Claude' }
  const known = { name: 'Claude Code', version: '2.1', raw: clientInfo, capabilities: { roots: {} } }

  it('is what initialize says', () => {
    const params = { protocolVersion: '2025-11-25', clientInfo, capabilities: { roots: {} } }
    expect(parsed(rpc({ id: 1, method: 'initialize', params })).client).toEqual({
      ...known,
      protocolVersion: '2025-11-25',
    })
  })

  it('is what the envelope says', () => {
    const _meta = {
      ...MODERN,
      'io.modelcontextprotocol/clientInfo': clientInfo,
      'io.modelcontextprotocol/clientCapabilities': { roots: {} },
    }
    expect(parsed(call(1, { name: 'echo', _meta })).client).toEqual({
      ...known,
      protocolVersion: '2026-07-28',
    })
  })

  const nothing = { name: '', version: null, raw: {}, capabilities: null, protocolVersion: null }
  for (const info of [undefined, null, 'Claude', ['Claude'], { name: 1, version: {} }]) {
    it(`that says ${JSON.stringify(info) ?? 'nothing'} has no name`, () => {
      const { client } = parsed(rpc({ id: 1, method: 'initialize', params: { clientInfo: info } }))
      expect(client).toMatchObject({ ...nothing, raw: expect.any(Object) })
    })
  }

  it('is not known of a call of 2025, nor of a batch', () => {
    expect(parsed(call(1)).client).toBeNull()
    expect(parsed([call(1)]).client).toBeNull()
  })
})

describe('what is no message', () => {
  const cases: { name: string; body: unknown; header?: string; detail: RegExp; id?: unknown }[] = [
    ...[null, true, 1, 'text'].map((body) => ({ name: JSON.stringify(body), body, detail: /object/ })),
    { name: 'an object without jsonrpc', body: { id: 1, method: 'ping' }, detail: /jsonrpc/, id: 1 },
    { name: 'JSON-RPC 1.0', body: { jsonrpc: '1.0', id: 1, method: 'ping' }, detail: /jsonrpc/, id: 1 },
    { name: 'jsonrpc as a number', body: { jsonrpc: 2, id: 1, method: 'ping' }, detail: /jsonrpc/, id: 1 },
    { name: 'no method', body: rpc({ id: 'x' }), detail: /method/, id: 'x' },
    { name: 'an empty method', body: rpc({ id: 1, method: '' }), detail: /method/, id: 1 },
    { name: 'a method that is a number', body: rpc({ id: 1, method: 7 }), detail: /method/, id: 1 },
    { name: 'a null method', body: rpc({ id: 1, method: null }), detail: /method/, id: 1 },
    { name: 'params as an array', body: rpc({ id: 1, method: 'ping', params: [] }), detail: /params/, id: 1 },
    { name: 'params as text', body: rpc({ id: 1, method: 'ping', params: 'x' }), detail: /params/, id: 1 },
    { name: 'null params', body: rpc({ id: 1, method: 'ping', params: null }), detail: /params/, id: 1 },
    { name: 'a null id', body: rpc({ id: null, method: 'ping' }), detail: /id/ },
    { name: 'a fractional id', body: rpc({ id: 1.5, method: 'ping' }), detail: /id/ },
    { name: 'an id too large to be echoed', body: rpc({ id: 2 ** 53, method: 'ping' }), detail: /id/ },
    { name: 'an object as id', body: rpc({ id: {}, method: 'ping' }), detail: /id/ },
    { name: 'a response without an id', body: rpc({ result: {} }), detail: /method/ },
    { name: 'an empty batch', body: [], detail: /empty/ },
    { name: 'a batch of 101', body: Array.from({ length: 101 }, (_, id) => call(id)), detail: /100/ },
    { name: 'a batch in a batch', body: [[call(1)]], detail: /object/ },
    { name: 'a batch with one bad element', body: [call(1), rpc({ id: 2 })], detail: /method/ },
    { name: 'a batch with an id twice', body: [call(1), call(1)], detail: /id of its own/ },
    { name: 'initialize in a batch', body: [rpc({ id: 1, method: 'initialize' })], detail: /initialize/ },
    { name: 'a batch with the envelope', body: [call(1, { _meta: MODERN })], detail: /no batches/ },
    { name: 'a batch with a modern header', body: [call(1)], header: '2026-07-28', detail: /no batches/ },
  ]
  for (const { name, body, header = null, detail, id = null } of cases) {
    it(name, () => {
      expect(parseMessage(body, header)).toEqual({
        code: 'invalid_request',
        detail: expect.stringMatching(detail),
        id,
      })
    })
  }

  it('is not a batch of 100', () => {
    expect(parsed(Array.from({ length: 100 }, (_, id) => call(id))).requests).toHaveLength(100)
  })
})

describe('the ids that a refusal echoes', () => {
  const cases: { name: string; message: McpMessage | null; ids: unknown }[] = [
    { name: 'of no message', message: null, ids: null },
    { name: 'of a request', message: parsed(call('a')), ids: 'a' },
    { name: 'of a request with the id 0', message: parsed(call(0)), ids: 0 },
    { name: 'of a notification', message: parsed(rpc({ method: 'x' })), ids: null },
    { name: 'of a batch', message: parsed([call(1), rpc({ method: 'x' }), call('b')]), ids: [1, 'b'] },
    { name: 'of a batch of one', message: parsed([call(1)]), ids: [1] },
    { name: 'of a batch of notifications', message: parsed([rpc({ method: 'x' })]), ids: null },
  ]
  for (const { name, message, ids } of cases) {
    it(`${name}: ${JSON.stringify(ids)}`, () => {
      expect(requestIds(message)).toEqual(ids)
    })
  }
})
