import type { Context } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { createSessionManager } from '../../src/sessions/session-manager.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, initialize, post, tokenFor } from '../support/mcp.ts'

let database: TestDatabase
let alice: string
let mallory: string
beforeAll(async () => {
  database = await createTestDatabase()
  alice = await tokenFor('Alice')
  mallory = await tokenFor('Mallory')
})
afterAll(() => database[Symbol.asyncDispose]())

/** A kit in front of a handler that answers every request, and the ids that reached it. */
function kit(
  handler: (c: Context) => Response | Promise<Response> = (c) =>
    c.json({ jsonrpc: '2.0', id: 1, result: {} }),
) {
  const reached: (string | undefined)[] = []
  const app = appWith(database.sql, (c) => {
    reached.push(c.req.header('mcp-session-id'))
    return handler(c)
  })
  const send = async (init: RequestInit) => {
    const response = await app.request('/mcp', init)
    return {
      status: response.status,
      headers: [...response.headers],
      id: response.headers.get('mcp-session-id'),
      body: await response.text(),
    }
  }
  return { send, reached, app }
}

const bare = (method: string, token: string, session?: string, headers: Record<string, string> = {}) => ({
  method,
  headers: {
    authorization: `Bearer ${token}`,
    ...(session === undefined ? {} : { 'mcp-session-id': session }),
    ...headers,
  },
})

const rowOf = async (id: string | null) =>
  (await database.owner`select * from archon_mcp_sessions where session_id = ${id}`)[0]
const sessions = async () =>
  (await database.owner<{ count: number }[]>`select count(*)::integer from archon_mcp_sessions`)[0]!.count
const calls = async () => {
  await ledgerOf(database.sql).drained()
  return (await database.owner<{ count: number }[]>`select count(*)::integer from archon_mcp_requests`)[0]!
    .count
}

async function open(token: string): Promise<string> {
  const { id } = await kit().send(post(initialize(), { token }))
  return id!
}

describe('initialize', () => {
  it('mints a session for its user and client', async () => {
    const { id, status } = await kit().send(post(initialize('Claude Code', '2.1'), { token: alice }))
    expect(status).toBe(200)
    expect(id).toMatch(/^[0-9a-f-]{36}$/)
    expect(await rowOf(id)).toMatchObject({
      client_type: 'Claude',
      client_name: 'Claude Code',
      client_version: '2.1',
      era: '2025-11-25',
      protocol_version: '2025-11-25',
      user_email: 'alice@example.com',
      user_name: 'Alice',
      status: 'active',
      timeout_seconds: 86_400,
      metadata: { name: 'Claude Code', version: '2.1' },
    })
  })

  for (const [kind, wireId] of [
    ['a UUID', crypto.randomUUID()],
    ['no UUID', `handler-${crypto.randomUUID()}`],
  ] as const) {
    it(`adopts the id that the handler gave: ${kind}`, async () => {
      const { send, reached } = kit((c) =>
        c.json({ jsonrpc: '2.0', id: 1, result: {} }, 200, { 'mcp-session-id': wireId }),
      )
      expect((await send(post(initialize(), { token: alice }))).id).toBe(wireId)
      expect((await send(post(callTool('x'), { token: alice, session: wireId }))).status).toBe(200)
      expect((await send(post(callTool('x'), { token: mallory, session: wireId }))).status).toBe(404)
      expect(reached).toEqual([undefined, wireId])
    })
  }

  it('does not adopt an id that is taken, nor tell it', async () => {
    const taken = await open(alice)
    const { app } = kit((c) =>
      c.json({ jsonrpc: '2.0', id: 1, result: {} }, 200, { 'mcp-session-id': taken }),
    )
    let message = ''
    app.onError((error, c) => {
      message = error.message
      return c.text('', 500)
    })
    const response = await app.request('/mcp', post(initialize(), { token: mallory }))
    expect([response.status, response.headers.get('mcp-session-id')]).toEqual([500, null])
    expect(message).toContain('not its own to give')
  })

  it('opens a new session although it carries a stale id, which the handler does not see', async () => {
    const stale = await open(alice)
    const { send, reached } = kit()
    for (const session of [stale, crypto.randomUUID(), 'junk']) {
      const { status, id } = await send(post(initialize(), { token: alice, session }))
      expect(status).toBe(200)
      expect(id).not.toBe(session)
    }
    expect(reached).toEqual([undefined, undefined, undefined])
  })

  const failures: { name: string; handler: (c: Context) => Response }[] = [
    { name: 'HTTP 400', handler: (c) => c.json({}, 400) },
    { name: 'HTTP 500', handler: (c) => c.text('', 500) },
    {
      name: 'a JSON-RPC error with HTTP 200',
      handler: (c) => c.json({ jsonrpc: '2.0', id: 'init', error: { code: -32602, message: 'no' } }),
    },
    {
      name: 'an exception',
      handler: () => {
        throw new Error('x')
      },
    },
  ]
  for (const { name, handler } of failures) {
    it(`that fails opens none: ${name}`, async () => {
      const before = await sessions()
      const { send, app } = kit(handler)
      app.onError((_error, c) => c.text('', 500))
      expect((await send(post(initialize(), { token: alice }))).id).toBeNull()
      expect(await sessions()).toBe(before)
    })
  }
})

describe('a session that cannot be used', () => {
  const cases: { name: string; make: () => Promise<string>; token?: string }[] = [
    { name: 'another unknown one', make: async () => crypto.randomUUID() },
    { name: 'no UUID', make: async () => 'unknown' },
    { name: 'no id at all', make: async () => 'not an id' },
    { name: "somebody else's", make: () => open(alice) },
    {
      name: 'ended',
      make: async () => {
        const id = await open(mallory)
        await createSessionManager(database.sql).endSession(id, 'admin')
        return id
      },
    },
    {
      name: 'expired',
      make: async () => {
        const id = await open(mallory)
        await database.owner`update archon_mcp_sessions set last_activity = now() - interval '25 hours' where session_id = ${id}`
        return id
      },
    },
  ]
  const requests: { kind: string; init: (session: string) => RequestInit }[] = [
    { kind: 'a call', init: (session) => post(callTool('x'), { token: mallory, session }) },
    { kind: 'a batch', init: (session) => post([callTool('x')], { token: mallory, session }) },
    {
      kind: 'a notification',
      init: (session) => post({ jsonrpc: '2.0', method: 'notifications/x' }, { token: mallory, session }),
    },
    { kind: 'GET', init: (session) => bare('GET', mallory, session) },
    { kind: 'DELETE', init: (session) => bare('DELETE', mallory, session) },
  ]
  for (const { name, make } of cases) {
    it(`is answered like an unknown id, byte for byte: ${name}`, async () => {
      const session = await make()
      const { send, reached } = kit()
      const before = await calls()
      for (const { kind, init } of requests) {
        const unknown = await send(init(crypto.randomUUID()))
        expect(unknown.status, kind).toBe(404)
        expect(await send(init(session)), kind).toEqual(unknown)
      }
      expect(reached).toEqual([])
      expect(await calls()).toBe(before)
    })
  }

  it('is 404 with the code that clients know, and the id of the request', async () => {
    const { body } = await kit().send(
      post(callTool('x', {}, 'my-id'), { token: alice, session: crypto.randomUUID() }),
    )
    expect(JSON.parse(body)).toEqual({
      jsonrpc: '2.0',
      id: 'my-id',
      error: { code: -32001, message: 'Session not found', data: { code: 'session_not_found' } },
    })
  })

  it('is 400 when it is missing', async () => {
    const { send, reached } = kit()
    for (const message of [
      callTool('x'),
      { jsonrpc: '2.0', method: 'notifications/x' },
      { jsonrpc: '2.0', id: 1, result: {} },
    ]) {
      const { status, body } = await send(post(message, { token: alice }))
      expect([status, JSON.parse(body).error.code]).toEqual([400, -32000])
    }
    expect(reached).toEqual([])
  })

  it('is not even looked at without a token: 401', async () => {
    const session = await open(alice)
    expect((await kit().send(post(callTool('x'), { session }))).status).toBe(401)
  })
})

describe('DELETE', () => {
  const handlers: { name: string; handler: (c: Context) => Response; status: number }[] = [
    { name: 'knows no DELETE', handler: (c) => c.text('', 405), status: 200 },
    { name: 'does not know the session', handler: (c) => c.text('', 404), status: 200 },
    { name: 'has ended its own session', handler: (c) => c.body(null, 204), status: 204 },
  ]
  for (const { name, handler, status } of handlers) {
    it(`ends the session when the handler ${name}: ${status}, then 404`, async () => {
      const session = await open(alice)
      const { send, reached } = kit(handler)
      expect((await send(bare('DELETE', alice, session))).status).toBe(status)
      expect(reached).toEqual([session])
      expect(await rowOf(session)).toMatchObject({
        status: 'disconnected',
        disconnect_reason: 'client_disconnect',
      })
      expect((await send(bare('DELETE', alice, session))).status).toBe(404)
      expect((await send(post(callTool('x'), { token: alice, session }))).status).toBe(404)
      expect(reached).toEqual([session])
    })
  }

  it('without an id is the handler’s to answer', async () => {
    expect((await kit((c) => c.text('', 405)).send(bare('DELETE', alice))).status).toBe(405)
  })

  it("does not end somebody else's session", async () => {
    const session = await open(alice)
    await kit().send(bare('DELETE', mallory, session))
    expect(await rowOf(session)).toMatchObject({ status: 'active' })
  })
})
