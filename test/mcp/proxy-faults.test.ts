import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { proxyMcp, type ProxyMcpOptions } from '../../src/mcp/proxy.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, initialize, modern, post, tokenFor } from '../support/mcp.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())
afterEach(() => vi.useRealTimers())

type Upstream = NonNullable<ProxyMcpOptions['fetch']>

const governed = (fetch: Upstream, more: Partial<ProxyMcpOptions> = {}) =>
  appWith(database.sql, proxyMcp({ upstream: 'https://tools.example.com/mcp', fetch, ...more }))

/** Calls a tool at an upstream server that answers so. */
async function callAt(upstream: Upstream, more: Partial<ProxyMcpOptions> = {}) {
  const { body, headers } = modern(callTool('echo', {}, 'my-id'))
  const app = governed(upstream, more)
  const response = await app.request('/mcp', post(body, { token: await tokenFor('Alice'), headers }))
  const text = await response.text()
  await ledgerOf(database.sql).drained()
  const [row] = await database.owner<{ status: string; error_message: string | null }[]>`
    select status, error_message from archon_mcp_requests order by request_id desc limit 1`
  return { response, text, row }
}

const RESULT = { jsonrpc: '2.0', id: 'my-id', result: { content: [] } }
const html = (status: number, headers: Record<string, string> = {}) =>
  new Response('<h1>no</h1>', { status, headers: { 'content-type': 'text/html', ...headers } })
const events = (text: string) => new Response(text, { headers: { 'content-type': 'text/event-stream' } })

describe('an upstream server that answers with what is no answer', () => {
  const cases: {
    name: string
    answer: () => Response
    status?: number
    code?: number
    reason: string
    message: string
  }[] = [
    {
      name: 'a web page',
      answer: () => html(200),
      reason: 'upstream_invalid',
      message: 'answered with text/html, which is no MCP',
    },
    {
      name: 'nothing',
      answer: () => new Response(null, { status: 202 }),
      reason: 'upstream_invalid',
      message: 'answered with nothing',
    },
    {
      name: 'broken JSON',
      answer: () => new Response('{"jsonrpc"', { headers: { 'content-type': 'application/json' } }),
      reason: 'upstream_invalid',
      message: 'answered with what is no JSON-RPC response',
    },
    {
      name: 'JSON that is no JSON-RPC',
      answer: () => Response.json({ ok: true }),
      reason: 'upstream_invalid',
      message: 'answered with what is no JSON-RPC response',
    },
    {
      name: 'the answer to somebody else',
      answer: () => Response.json({ ...RESULT, id: 'other' }),
      reason: 'upstream_invalid',
      message: 'answered another request than this one',
    },
    {
      name: 'a redirect',
      answer: () => new Response(null, { status: 308, headers: { location: 'https://evil.example.com' } }),
      reason: 'upstream_redirects',
      message: 'redirects: give the URL that it redirects to',
    },
    {
      name: 'a wish for a token',
      answer: () => new Response('no', { status: 401 }),
      reason: 'upstream_unauthorized',
      message: 'does not accept the credentials of this one',
    },
    { name: 'a crash', answer: () => html(500), reason: 'upstream_refused', message: 'refused: HTTP 500' },
    {
      name: 'a wrong path',
      answer: () => html(404),
      reason: 'upstream_refused',
      message: 'refused: HTTP 404',
    },
    {
      name: 'too much to do',
      answer: () => html(429, { 'retry-after': '7' }),
      status: 429,
      reason: 'upstream_refused',
      message: 'refused: HTTP 429',
    },
  ]
  it.each(cases)('$name', async ({ answer, status = 502, reason, message }) => {
    const told: unknown[] = []
    const upstream = () => Promise.resolve(answer())
    const { response, text, row } = await callAt(upstream, { onFault: (fault) => told.push(fault.reason) })
    const error = { code: 50_200, message: `The upstream MCP server ${message}`, data: { code: reason } }
    expect(JSON.parse(text)).toEqual({ jsonrpc: '2.0', id: 'my-id', error })
    expect(response.status).toBe(status)
    expect(response.headers.get('retry-after')).toBe(status === 429 ? '7' : null)
    expect(row).toEqual({ status: 'error', error_message: `50200: ${error.message}` })
    expect(told).toEqual([reason])
  })

  it('in a stream too, in place of the result', async () => {
    const { text, row } = await callAt(() =>
      Promise.resolve(events('data: {"jsonrpc":"2.0","id":"my-id","resu')),
    )
    const message = 'The upstream MCP server ended its answer before the result'
    expect(JSON.parse(text.split('data: ')[1]!)).toMatchObject({
      id: 'my-id',
      error: { code: 50_200, message },
    })
    expect(row).toEqual({ status: 'error', error_message: `50200: ${message}` })
  })

  it('with an error for nobody: it is told to whoever asked', async () => {
    const error = { code: -32_603, message: 'oops' }
    const { text } = await callAt(() => Promise.resolve(Response.json({ jsonrpc: '2.0', id: null, error })))
    expect(JSON.parse(text)).toEqual({ jsonrpc: '2.0', id: 'my-id', error })
  })

  it('and says so of a session that it has lost, so that the client begins another', async () => {
    let answers = [Response.json({ jsonrpc: '2.0', id: 'init', result: {} }), html(404)]
    const app = governed(() => Promise.resolve(answers.shift()!))
    const token = await tokenFor('Alice')
    const opened = await app.request('/mcp', post(initialize(), { token }))
    const session = opened.headers.get('mcp-session-id')!
    const response = await app.request('/mcp', post(callTool('echo'), { token, session }))
    expect(response.status).toBe(404)
    expect(await response.json()).toMatchObject({ id: 1, error: { code: -32_001 } })
    answers = []
  })
})

describe('an upstream server that is away', () => {
  it('is a 502, and of the reason nothing is told but to the operator', async () => {
    const told: unknown[] = []
    const { response, text } = await callAt(() => Promise.reject(new TypeError('connect 10.0.0.7:3000')), {
      onFault: (fault, error) => told.push(fault.reason, String(error)),
    })
    expect([response.status, text]).toEqual([502, expect.not.stringContaining('10.0.0.7')])
    expect(told).toEqual(['upstream_unreachable', 'TypeError: connect 10.0.0.7:3000'])
  })

  it('for too long is a 504, and a timeout on record', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    let asked: (() => void) | undefined
    const waiting = new Promise<void>((resolve) => (asked = resolve))
    const never: Upstream = (_url, { signal }) =>
      new Promise((_resolve, reject) => {
        signal!.addEventListener('abort', () => reject(new Error('aborted')))
        asked!()
      })
    const call = callAt(never, { timeoutSeconds: 20 })
    await waiting
    vi.advanceTimersByTime(20_000)
    vi.useRealTimers()
    const { response, text, row } = await call
    expect(response.status).toBe(504)
    const message = 'The upstream MCP server did not answer within 20 seconds'
    expect(JSON.parse(text)).toMatchObject({ id: 'my-id', error: { code: 50_400, message } })
    expect(row).toEqual({ status: 'timeout', error_message: `50400: ${message}` })
  })
})

describe('an answer larger than is read', () => {
  it('passes whole', async () => {
    const large = { ...RESULT, result: { content: [{ type: 'text', text: 'x'.repeat(5_000_000) }] } }
    const { text, row } = await callAt(() => Promise.resolve(Response.json(large)))
    expect(JSON.parse(text)).toEqual(large)
    expect(row).toEqual({ status: 'success', error_message: null })
  })
})

describe('what a client and an upstream server say to one another', () => {
  it('is no more than the protocol needs', async () => {
    let sent: Headers | undefined
    const answer = Response.json(RESULT, {
      headers: {
        'set-cookie': 'a=b',
        'access-control-allow-origin': '*',
        'strict-transport-security': 'max-age=1',
        'clear-site-data': '"*"',
        'mcp-note': 'kept',
        'retry-after': '3',
      },
    })
    const app = governed((_url, init) => {
      sent = init.headers as Headers
      return Promise.resolve(answer)
    })
    const { body, headers } = modern(callTool('echo', {}, 'my-id'))
    const token = await tokenFor('Alice')
    const more = {
      cookie: 'c=d',
      'user-context-assertion': 'forged',
      'x-api-key': 'mine',
      forwarded: 'for=1.2.3.4',
    }
    const response = await app.request('/mcp', post(body, { token, headers: { ...headers, ...more } }))
    expect([...sent!.keys()].toSorted()).toEqual([
      'accept',
      'content-type',
      'mcp-method',
      'mcp-name',
      'mcp-protocol-version',
    ])
    expect([...response.headers.keys()].toSorted()).toEqual(['content-type', 'mcp-note', 'retry-after'])
  })

  it('goes where the configuration says, whatever the request says', async () => {
    const asked: string[] = []
    const app = governed((url) => {
      asked.push(url)
      return Promise.resolve(Response.json(RESULT))
    })
    const { body, headers } = modern(callTool('echo', {}, 'my-id'))
    await app.request(
      '/mcp?url=https://evil.example.com',
      post(body, { token: await tokenFor('Alice'), headers }),
    )
    expect(asked).toEqual(['https://tools.example.com/mcp'])
  })
})

describe('a proxy that cannot be', () => {
  const cases: { name: string; options: Partial<ProxyMcpOptions>; fault: string }[] = [
    {
      name: 'a file',
      options: { upstream: 'file:///etc/passwd' },
      fault: 'upstream must be an http or https URL',
    },
    {
      name: 'a secret in the URL',
      options: { upstream: 'https://me:secret@tools.example.com/mcp' },
      fault: 'upstream must not carry credentials: put them into headers',
    },
    {
      name: 'a header of the connection',
      options: { headers: { Host: 'x' } },
      fault: 'headers.Host cannot be set: leave it out',
    },
    {
      name: 'no name of a header',
      options: { headers: { 'a b': 'x' } },
      fault: 'headers: "a b" is no name of a header',
    },
    {
      name: 'a header of two lines',
      options: { headers: { authorization: 'secret\nx: y' } },
      fault: 'headers.authorization must be text in one line, without characters beyond Latin-1',
    },
    {
      name: 'no time at all',
      options: { timeoutSeconds: 0 },
      fault: 'timeoutSeconds must be a positive integer',
    },
  ]
  it.each(cases)('$name', ({ options, fault }) => {
    const make = () => proxyMcp({ upstream: 'https://tools.example.com/mcp', ...options })
    expect(make).toThrow(new TypeError(`proxyMcp: ${fault}`))
  })
})
