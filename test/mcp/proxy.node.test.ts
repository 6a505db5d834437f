import { Hono } from 'hono'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { proxyMcp } from '../../src/mcp/proxy.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, initialize, modern, post, tokenFor } from '../support/mcp.ts'
import { type Served, serveHere } from '../support/serve.ts'

interface Seen {
  method: string
  headers: Record<string, string>
  body: unknown
}

let database: TestDatabase
let upstream: Served
let seen: Seen[] = []
/** What the upstream server answers next. */
let answer: (body: { id?: unknown }) => Response

beforeAll(async () => {
  database = await createTestDatabase()
  upstream = await serveHere(() => async (request) => {
    const text = await request.text()
    const body: unknown = text === '' ? null : JSON.parse(text)
    seen.push({ method: request.method, headers: Object.fromEntries(request.headers), body })
    return answer(body ?? {})
  })
})
afterEach(() => {
  seen = []
})
afterAll(async () => {
  await upstream[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

const result = ({ id }: { id?: unknown }) => Response.json({ jsonrpc: '2.0', id, result: { content: [] } })
const governed = (more: { headers?: Record<string, string> } = {}) =>
  appWith(database.sql, proxyMcp({ upstream: `${upstream.origin}/mcp`, ...more }))

const lastCall = async () => {
  await ledgerOf(database.sql).drained()
  const rows = await database.owner`
    select tool_name, status, error_message, session_id from archon_mcp_requests order by request_id desc limit 1`
  return rows[0]
}

describe('a proxied server', () => {
  it('is asked what the client asked, and its answer is the answer', async () => {
    answer = result
    const { body, headers } = modern(callTool('echo', { text: 'héllo' }))
    const response = await governed().request('/mcp', post(body, { token: await tokenFor('Alice'), headers }))
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({ jsonrpc: '2.0', id: 1, result: { content: [] } })
    expect(seen).toMatchObject([{ method: 'POST', body, headers }])
    expect(await lastCall()).toMatchObject({ tool_name: 'echo', status: 'success' })
  })

  it("never sees the client's token, cookies or address", async () => {
    answer = result
    const { body, headers } = modern(callTool('echo'))
    const init = post(body, {
      token: await tokenFor('Alice'),
      headers: {
        ...headers,
        cookie: 'a=b',
        'x-forwarded-for': '1.2.3.4',
        'proxy-authorization': 'Basic eA==',
      },
    })
    await (await governed().request('/mcp', init)).text()
    const { headers: forwarded } = seen[0]!
    expect(Object.keys(forwarded).filter((name) => /auth|cookie|forwarded/.test(name))).toEqual([])
    expect(JSON.stringify(forwarded)).not.toContain('eyJ')
  })

  it('is given the credentials of the kit itself', async () => {
    answer = result
    const { body, headers } = modern(callTool('echo'))
    const app = governed({ headers: { authorization: 'Bearer of-the-kit' } })
    await (await app.request('/mcp', post(body, { token: await tokenFor('Alice'), headers }))).text()
    expect(seen[0]!.headers['authorization']).toBe('Bearer of-the-kit')
  })

  it('gives the session its id, and is told of its end', async () => {
    const id = 'upstream-session-1'
    answer = (body) => {
      const response = result(body)
      response.headers.set('mcp-session-id', id)
      return response
    }
    const app = governed()
    const token = await tokenFor('Alice')
    const opened = await app.request('/mcp', post(initialize(), { token }))
    expect(opened.headers.get('mcp-session-id')).toBe(id)
    await opened.text()
    answer = result
    await (await app.request('/mcp', post(callTool('echo'), { token, session: id }))).text()
    answer = () => new Response(null, { status: 204 })
    const headers = { authorization: `Bearer ${token}`, 'mcp-session-id': id }
    expect((await app.request('/mcp', { method: 'DELETE', headers })).status).toBe(204)
    expect(seen.map(({ method, headers: sent }) => [method, sent['mcp-session-id']])).toEqual([
      ['POST', undefined],
      ['POST', id],
      ['DELETE', id],
    ])
    const foreign = post(callTool('echo'), { token: await tokenFor('Mallory'), session: id })
    expect((await app.request('/mcp', foreign)).status).toBe(404)
    expect(seen).toHaveLength(3)
  })

  it('streams: what it has said arrives while it goes on', async () => {
    const progress = 'data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n'
    const end = 'data: {"jsonrpc":"2.0","id":1,"result":{"content":[]}}\n\n'
    const encoder = new TextEncoder()
    let release: (() => void) | undefined
    answer = () =>
      new Response(
        new ReadableStream<Uint8Array>({
          start(controller) {
            controller.enqueue(encoder.encode(progress))
            release = () => {
              controller.enqueue(encoder.encode(end))
              controller.close()
            }
          },
        }),
        { headers: { 'content-type': 'text/event-stream' } },
      )
    const { body, headers } = modern(callTool('slow'))
    const response = await governed().request('/mcp', post(body, { token: await tokenFor('Alice'), headers }))
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
    expect((await reader.read()).value).toBe(progress)
    release!()
    expect((await reader.read()).value).toBe(end)
    expect((await reader.read()).done).toBe(true)
    expect(await lastCall()).toMatchObject({ tool_name: 'slow', status: 'success' })
  })

  it('may compress: the answer says only what is still true of it', async () => {
    answer = (body) => {
      const text = JSON.stringify({ jsonrpc: '2.0', id: body.id, result: { content: [] } })
      const compressed = new Response(text).body!.pipeThrough(new CompressionStream('gzip'))
      return new Response(compressed, {
        headers: {
          'content-type': 'application/json',
          'content-encoding': 'gzip',
          connection: 'x-hop',
          'x-hop': '1',
        },
      })
    }
    const { body, headers } = modern(callTool('echo'))
    const response = await governed().request('/mcp', post(body, { token: await tokenFor('Alice'), headers }))
    for (const name of ['content-encoding', 'content-length', 'connection', 'x-hop', 'transfer-encoding']) {
      expect([name, response.headers.get(name)]).toEqual([name, null])
    }
    expect(await response.json()).toMatchObject({ id: 1, result: {} })
  })

  it('that refuses is heard', async () => {
    answer = ({ id }) =>
      Response.json({ jsonrpc: '2.0', id, error: { code: -32601, message: 'no such' } }, { status: 404 })
    const { body, headers } = modern(callTool('gone'))
    const response = await governed().request('/mcp', post(body, { token: await tokenFor('Alice'), headers }))
    expect(response.status).toBe(404)
    expect(await response.json()).toMatchObject({ error: { code: -32601 } })
    expect(await lastCall()).toMatchObject({ status: 'error', error_message: '-32601: no such' })
  })
})

describe('a proxied server that misbehaves', () => {
  it('is not followed where it redirects: the body would go wherever it likes', async () => {
    answer = () => Response.redirect(`${upstream.origin}/elsewhere`, 307)
    const { body, headers } = modern(callTool('echo'))
    const response = await governed().request('/mcp', post(body, { token: await tokenFor('Alice'), headers }))
    expect(response.status).toBe(502)
    expect(await response.json()).toMatchObject({
      id: 1,
      error: { message: 'The upstream MCP server redirects: give the URL that it redirects to' },
    })
    expect(seen).toHaveLength(1)
  })

  it('may die in the middle of a JSON answer, and leaves none of its headers on ours', async () => {
    answer = () => {
      const body = new ReadableStream({
        pull: (controller) => controller.error(new Error('gone')),
      })
      return new Response(body, { headers: { 'content-type': 'application/json', 'x-upstream': 'yes' } })
    }
    const { body, headers } = modern(callTool('echo'))
    const response = await governed().request('/mcp', post(body, { token: await tokenFor('Alice'), headers }))
    expect(response.status).toBeGreaterThanOrEqual(500)
    expect(response.headers.get('x-upstream')).toBeNull()
    expect(await lastCall()).toMatchObject({ status: 'error' })
  })
})

describe('a proxied server that wants a token', () => {
  it('is a bad gateway: the client could not give it one', async () => {
    const challenge = { 'www-authenticate': 'Bearer resource_metadata="https://evil.example.com"' }
    answer = () => new Response('no', { status: 401, headers: challenge })
    const { body, headers } = modern(callTool('echo'))
    const response = await governed().request('/mcp', post(body, { token: await tokenFor('Alice'), headers }))
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([502, null])
    expect(await response.json()).toMatchObject({ id: 1, error: { code: 50_200 } })
  })

  it('sets no cookies on the origin of the kit', async () => {
    answer = (body) => {
      const response = result(body)
      response.headers.append('set-cookie', 'session=evil')
      return response
    }
    const { body, headers } = modern(callTool('echo'))
    const response = await governed().request('/mcp', post(body, { token: await tokenFor('Alice'), headers }))
    expect([response.status, response.headers.get('set-cookie')]).toEqual([200, null])
  })
})

describe('a proxied server that is not there', () => {
  it('is a 502 that echoes the id, and an error on record', async () => {
    const app = appWith(database.sql, proxyMcp({ upstream: 'http://127.0.0.1:9/mcp' }))
    const { body, headers } = modern(callTool('echo', {}, 'my-id'))
    const response = await app.request('/mcp', post(body, { token: await tokenFor('Alice'), headers }))
    expect(response.status).toBe(502)
    expect(await response.json()).toMatchObject({ jsonrpc: '2.0', id: 'my-id', error: { code: 50_200 } })
    expect(await lastCall()).toMatchObject({
      status: 'error',
      error_message: expect.stringContaining('50200'),
    })
  })

  it('opens no session', async () => {
    const app = appWith(database.sql, proxyMcp({ upstream: 'http://127.0.0.1:9/mcp' }))
    const response = await app.request('/mcp', post(initialize(), { token: await tokenFor('Alice') }))
    expect([response.status, response.headers.get('mcp-session-id')]).toEqual([502, null])
  })

  it('is a 502 without the kit in front too', async () => {
    const app = new Hono().all('/mcp', proxyMcp({ upstream: 'http://127.0.0.1:9/mcp' }))
    const response = await app.request('/mcp', post(callTool('echo'), {}))
    expect(response.status).toBe(502)
    expect(await response.json()).toMatchObject({ id: 1 })
  })

  it('cannot be configured: what is no URL is refused at once', () => {
    expect(() => proxyMcp({ upstream: 'not a url' })).toThrow(TypeError)
  })
})
