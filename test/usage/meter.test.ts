import type { Context } from 'hono'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, modern, post, tokenFor } from '../support/mcp.ts'

let database: TestDatabase
let token: string
beforeAll(async () => {
  database = await createTestDatabase()
  token = await tokenFor('Alice')
})
afterAll(() => database[Symbol.asyncDispose]())

const result = (id: unknown = 1) => ({ jsonrpc: '2.0', id, result: { content: [] } })
const event = (message: unknown) =>
  new TextEncoder().encode(`event: message\ndata: ${JSON.stringify(message)}\n\n`)
const SSE = { headers: { 'content-type': 'text/event-stream' } }
const sse = (...messages: unknown[]) =>
  new Response(
    new ReadableStream<Uint8Array>({
      start(controller) {
        for (const message of messages) controller.enqueue(event(message))
        controller.close()
      },
    }),
    SSE,
  )

/** Sends one call of 2026 to a kit in front of this handler. */
async function call(tool: string, handler: (c: Context) => Response | Promise<Response>): Promise<Response> {
  const app = appWith(database.sql, handler)
  app.onError((_error, c) => c.text('it broke', 500))
  const { body, headers } = modern(callTool(tool))
  return await app.request('/mcp', post(body, { token, headers }))
}

const rowsOf = async (tool: string) => {
  await ledgerOf(database.sql).drained()
  return await database.owner`
    select status, error_message as error from archon_mcp_requests where tool_name = ${tool} order by request_id`
}

const broken = () =>
  new ReadableStream<Uint8Array>({
    pull: (controller) => controller.error(new Error('disk full')),
  })

describe('how a call ended', () => {
  const cases: { name: string; handler: (c: Context) => Response; status: string; error: string | null }[] = [
    { name: 'a JSON result', handler: (c) => c.json(result()), status: 'success', error: null },
    { name: 'an SSE result', handler: () => sse(result()), status: 'success', error: null },
    {
      name: 'progress, then a result',
      handler: () => sse({ jsonrpc: '2.0', method: 'notifications/progress' }, result()),
      status: 'success',
      error: null,
    },
    {
      name: 'a JSON-RPC error with HTTP 200',
      handler: (c) => c.json({ jsonrpc: '2.0', id: 1, error: { code: -32602, message: 'bad' } }),
      status: 'error',
      error: '-32602: bad',
    },
    {
      name: 'a JSON-RPC error in a stream',
      handler: () => sse({ jsonrpc: '2.0', id: 1, error: { code: 7, message: 'bad' } }),
      status: 'error',
      error: '7: bad',
    },
    {
      name: 'isError',
      handler: (c) =>
        c.json({ jsonrpc: '2.0', id: 1, result: { isError: true, content: [{ text: 'no disk' }] } }),
      status: 'error',
      error: 'no disk',
    },
    { name: 'HTTP 500', handler: (c) => c.text('broken', 500), status: 'error', error: 'HTTP 500' },
    {
      name: 'HTTP 500 as JSON',
      handler: (c) => c.json({ message: 'x' }, 500),
      status: 'error',
      error: 'HTTP 500',
    },
    {
      name: 'a result with HTTP 404',
      handler: (c) => c.json({ jsonrpc: '2.0', id: 1, error: { code: -32601, message: 'no' } }, 404),
      status: 'error',
      error: '-32601: no',
    },
    {
      name: 'no content',
      handler: () => new Response(null, { status: 202 }),
      status: 'error',
      error: 'no result',
    },
    {
      name: 'a result for somebody else',
      handler: (c) => c.json(result(2)),
      status: 'error',
      error: 'no result',
    },
    { name: 'an empty stream', handler: () => sse(), status: 'error', error: 'no result' },
    { name: 'HTML', handler: (c) => c.html('<p>'), status: 'error', error: 'no result' },
    {
      name: 'a stream that breaks off',
      handler: () => new Response(broken(), SSE),
      status: 'error',
      error: 'the response broke off',
    },
    {
      name: 'JSON that breaks off',
      handler: () => new Response(broken(), { headers: { 'content-type': 'application/json' } }),
      status: 'error',
      error: 'the response broke off',
    },
    {
      name: 'a handler that throws',
      handler: () => {
        throw new Error('a secret')
      },
      status: 'error',
      error: 'the handler threw',
    },
  ]
  for (const { name, handler, status, error } of cases) {
    it(`${name}: ${status}`, async () => {
      const response = await call(name, handler)
      await response.text().catch(() => {})
      expect(await rowsOf(name)).toEqual([{ status, error }])
    })
  }

  it('is each its own in a batch', async () => {
    const app = appWith(database.sql, (c) =>
      c.json([
        result('a'),
        { jsonrpc: '2.0', id: 'b', error: { code: 1, message: 'no' } },
        { jsonrpc: '2.0', id: 'c', result: { isError: true } },
      ]),
    )
    const opened = await app.request('/mcp', {
      ...post(JSON.parse('{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}'), { token }),
    })
    const session = opened.headers.get('mcp-session-id')!
    const batch = ['a', 'b', 'c', 'd'].map((id) => callTool(`batched-${id}`, {}, id))
    const response = await app.request('/mcp', post(batch, { token, session }))
    expect(await response.json()).toHaveLength(3)
    expect(await rowsOf('batched-a')).toEqual([{ status: 'success', error: null }])
    expect(await rowsOf('batched-b')).toEqual([{ status: 'error', error: '1: no' }])
    expect(await rowsOf('batched-c')).toEqual([{ status: 'error', error: 'tool error' }])
    expect(await rowsOf('batched-d')).toEqual([{ status: 'error', error: 'no result' }])
  })

  it('is recorded with its duration and what it was', async () => {
    await (await call('detailed', (c) => c.json(result()))).text()
    await ledgerOf(database.sql).drained()
    const rows = await database.owner`
      select method, kind, duration_ms >= 0 as timed, client_type, session_id is not null as in_session,
             email, hold_expires_at
      from archon_mcp_requests join archon_mcp_users using (user_id) where tool_name = 'detailed'`
    expect(rows).toEqual([
      {
        method: 'tools/call',
        kind: 'mcp',
        timed: true,
        client_type: 'Cursor',
        in_session: true,
        email: 'alice@example.com',
        hold_expires_at: null,
      },
    ])
  })
})

describe('an answer that passes', () => {
  it('is what the handler said: status, headers and body', async () => {
    const response = await call('plain', (c) => c.json(result(), 203, { 'x-tool': 'yes' }))
    expect([response.status, response.headers.get('x-tool')]).toEqual([203, 'yes'])
    expect(await response.json()).toEqual(result())
  })

  it('is on record before the handler runs', async () => {
    let seen: unknown
    const response = await call('early', async (c) => {
      seen = await database.owner`select status from archon_mcp_requests where tool_name = 'early'`
      return c.json(result())
    })
    await response.text()
    expect(seen).toEqual([{ status: 'open' }])
  })

  it('streams: the first chunk is there while the handler still writes, and the call is open', async () => {
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined
    const response = await call(
      'streaming',
      () =>
        new Response(
          new ReadableStream<Uint8Array>({
            start: (given) => {
              controller = given
              given.enqueue(event({ jsonrpc: '2.0', method: 'notifications/progress' }))
            },
          }),
          SSE,
        ),
    )
    const reader = response.body!.getReader()
    expect((await reader.read()).done).toBe(false)
    expect(await rowsOf('streaming')).toEqual([{ status: 'open', error: null }])
    controller!.enqueue(event(result()))
    controller!.close()
    while (!(await reader.read()).done);
    expect(await rowsOf('streaming')).toEqual([{ status: 'success', error: null }])
  })

  const leaving: { name: string; before: unknown[]; status: string; error: string | null }[] = [
    {
      name: 'before its result',
      before: [{ jsonrpc: '2.0', method: 'notifications/progress' }],
      status: 'error',
      error: 'cancelled: the client left before the result',
    },
    { name: 'after its result', before: [result()], status: 'success', error: null },
  ]
  for (const { name, before, status, error } of leaving) {
    it(`that is cancelled ${name} closes the call: ${status}`, async () => {
      const tool = `left ${name}`
      const response = await call(
        tool,
        () =>
          new Response(
            new ReadableStream<Uint8Array>({
              start: (controller) => before.forEach((message) => controller.enqueue(event(message))),
            }),
            SSE,
          ),
      )
      const reader = response.body!.getReader()
      await reader.read()
      await reader.cancel()
      expect(await rowsOf(tool)).toEqual([{ status, error }])
    })
  }

  it('with a result too large to be read is taken for a success', async () => {
    const large = {
      jsonrpc: '2.0',
      id: 1,
      result: { content: [{ type: 'text', text: 'x'.repeat(5 * 1024 * 1024) }] },
    }
    const response = await call('large', () => sse(large))
    expect((await response.arrayBuffer()).byteLength).toBeGreaterThan(5 * 1024 * 1024)
    expect(await rowsOf('large')).toEqual([{ status: 'success', error: null }])
  })
})

it('holds the call of a stream for as long as it is open', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  try {
    const pipe = new TransformStream<Uint8Array, Uint8Array>()
    const writer = pipe.writable.getWriter()
    const response = await call('patient', () => new Response(pipe.readable, SSE))
    const text = response.text()
    await database.owner`update archon_mcp_requests set hold_expires_at = now() where tool_name = 'patient'`
    vi.advanceTimersByTime(150_000)
    const isHeld = async () => {
      const [row] = await database.owner<{ held: boolean }[]>`
        select hold_expires_at > now() + interval '4 minutes' as held from archon_mcp_requests where tool_name = 'patient'`
      return row?.held
    }
    await expect.poll(isHeld).toBe(true)
    void writer.write(event(result()))
    void writer.close()
    await text
    expect(vi.getTimerCount()).toBe(0)
    expect(await rowsOf('patient')).toEqual([{ status: 'success', error: null }])
  } finally {
    vi.useRealTimers()
  }
})
