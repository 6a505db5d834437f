import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { identityIds } from '../../src/auth/user-id.ts'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { mcpUserContext, type McpUserContextOptions } from '../../src/mcp-user-context.ts'
import { messagesOf } from '../handlers/answers.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import {
  appWith,
  callTool,
  initialize,
  ISSUER,
  mcpHeaders,
  modern,
  optionsFor,
  post,
  tokenFor,
} from '../support/mcp.ts'
import { counting } from '../support/ledger.ts'
import { putQuota } from '../support/quotas.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

/** A server that answers whatever reaches it. */
const appOf = (options: Partial<McpUserContextOptions>) =>
  appWith(database.sql, (c) => c.json({ jsonrpc: '2.0', id: 1, result: {} }), options)
type App = ReturnType<typeof appOf>

interface Connection {
  token: string
  session: string
}

async function connect(app: App, token: string): Promise<Connection> {
  const opened = await app.request('/mcp', post(initialize(), { token }))
  return { token, session: opened.headers.get('mcp-session-id')! }
}

const rpc = (method: string) => ({ jsonrpc: '2.0', id: 1, method })
const notification = { jsonrpc: '2.0', method: 'notifications/initialized' }
const modernOf = (method: string, { token }: Connection) => {
  const { body } = modern({ ...callTool('echo'), method })
  return post(body, { token, headers: { 'mcp-protocol-version': '2026-07-28', 'mcp-method': method } })
}

/** What no limit counts, in both eras. */
const UNCOUNTED: [string, (connection: Connection) => RequestInit][] = [
  ['initialize', ({ token }) => post(initialize(), { token })],
  ['server/discover', (connection) => modernOf('server/discover', connection)],
  ['subscriptions/listen', (connection) => modernOf('subscriptions/listen', connection)],
  ['ping', (connection) => post(rpc('ping'), connection)],
  ['a batch of pings', (connection) => post([rpc('ping'), { ...rpc('ping'), id: 2 }], connection)],
  ['a notification', (connection) => post(notification, connection)],
  ['an answer', (connection) => post({ jsonrpc: '2.0', id: 1, result: {} }, connection)],
  ['GET', (connection) => ({ headers: mcpHeaders(connection) })],
  ['DELETE', (connection) => ({ method: 'DELETE', headers: mcpHeaders(connection) })],
]

/** What limits count, whatever it is. */
const COUNTED: [string, (connection: Connection) => RequestInit][] = [
  ['tools/call', (connection) => post(callTool('echo'), connection)],
  ['tools/list', (connection) => post(rpc('tools/list'), connection)],
  ['a method nobody knows', (connection) => post(rpc('nobody/knows'), connection)],
  ['a ping beside a call', (connection) => post([{ ...rpc('ping'), id: 2 }, callTool('echo')], connection)],
  ['tools/call of 2026', (connection) => modernOf('tools/call', connection)],
]

interface Spent {
  limit: string
  options: Partial<McpUserContextOptions>
  /** Leaves no room in the limit. */
  spend: (app: App, connection: Connection, userId: string) => Promise<unknown>
}
const SPENT: Spent[] = [
  {
    limit: 'a rate',
    options: { rateLimit: { limit: 1, windowSeconds: 3600 } },
    spend: async (app, connection) => await app.request('/mcp', post(callTool('echo'), connection)),
  },
  {
    limit: 'a quota',
    options: {},
    spend: (_app, _connection, userId) =>
      putQuota(database.sql, { scope: 'user', subject: userId, limit: 0, window: 'total' }),
  },
  {
    limit: 'the calls in flight',
    options: { maxCallsInFlight: 1 },
    spend: (_app, _connection, userId) => database.owner`
      insert into archon_mcp_requests (method, kind, status, user_id, hold_expires_at)
      values ('tools/call', 'mcp', 'open', ${userId}, now() + interval '1 hour')`,
  },
]

describe.each(SPENT)('when there is no room in $limit', ({ options, spend }) => {
  async function spent(): Promise<{ app: App; connection: Connection }> {
    const user = `user-${crypto.randomUUID()}`
    const app = appOf(options)
    const connection = await connect(app, await tokenFor(user))
    await spend(app, connection, (await identityIds(ISSUER, user)).firstId)
    return { app, connection }
  }

  it.each(UNCOUNTED)('%s passes, again and again, and tells of no limit', async (_name, request) => {
    const { app, connection } = await spent()
    const first = await app.request('/mcp', request(connection))
    expect([first.status, first.headers.get('ratelimit')]).toEqual([200, null])
    // Who has ended the session has no second one to end.
    const second = await app.request('/mcp', request(await connect(app, connection.token)))
    expect(second.status).toBe(200)
  })

  it.each(COUNTED)('%s is refused', async (_name, request) => {
    const { app, connection } = await spent()
    expect((await app.request('/mcp', request(connection))).status).toBe(429)
  })
})

describe('what no limit counts has a cap of its own', () => {
  it.each(UNCOUNTED)('%s is answered 503 past it, and costs the database nothing', async (_name, request) => {
    const { sql, statements } = counting(database.sql)
    const app = appOf({ sql, maxUncountedPerMinute: 2 })
    const connection = await connect(app, await tokenFor(`user-${crypto.randomUUID()}`))
    expect((await app.request('/mcp', post(rpc('ping'), connection))).status).toBe(200)
    await ledgerOf(sql).drained()

    const before = statements()
    const refused = await app.request('/mcp', request(connection))
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toMatch(/^(30|29|60|59)$/)
    const [first] = await messagesOf(refused)
    expect(first).toMatchObject({ error: { code: 50302, data: { code: 'abuse_cap' } } })
    expect(statements()).toBe(before)
  })

  it('says so, with the id', async () => {
    const app = appOf({ maxUncountedPerMinute: 1 })
    const connection = await connect(app, await tokenFor('Looping'))
    const refused = await app.request('/mcp', post({ ...rpc('ping'), id: 'a ping' }, connection))
    expect(await refused.json()).toEqual({
      jsonrpc: '2.0',
      id: 'a ping',
      error: {
        code: 50302,
        message: 'More than 1 requests in 60 seconds that no limit counts: is this client in a loop?',
        data: { code: 'abuse_cap', retry_after_ms: expect.any(Number) },
      },
    })
  })

  it('which leaves calls alone, and other users, and programs their own', async () => {
    const app = appOf({ maxUncountedPerMinute: 1 })
    const send = async (body: unknown, token?: string, session?: string) =>
      (await app.request('/mcp', post(body, { token, session }))).status
    const { token, session } = await connect(app, await tokenFor('Busy'))
    expect(await send(rpc('ping'), token, session)).toBe(503)
    expect(await send(callTool('echo'), token, session)).toBe(200)
    expect(await send(initialize(), await tokenFor('Calm'))).toBe(200)
    const program = await tokenFor('Program', { role: 'service_role', sub: undefined })
    expect(await send(initialize(), program)).toBe(200)
    expect(await send(initialize(), program)).toBe(503)
  })

  it('in which each request of a batch counts', async () => {
    const app = appOf({ maxUncountedPerMinute: 5 })
    const connection = await connect(app, await tokenFor('Batching'))
    const batch = Array.from({ length: 4 }, (_, id) => ({ ...rpc('ping'), id }))
    expect((await app.request('/mcp', post(batch, connection))).status).toBe(200)
    expect((await app.request('/mcp', post(rpc('ping'), connection))).status).toBe(503)
  })

  it('in which strangers share nothing: one of them cannot shut the door for all', async () => {
    const app = appOf({ maxUncountedPerMinute: 1, required: false })
    for (const _time of [1, 2, 3]) {
      expect((await app.request('/mcp', post(initialize(), {}))).status).toBe(200)
    }
  })

  it.each([0, -1, 1.5, Number.NaN])('of which %d stops the start', (maxUncountedPerMinute) => {
    expect(() => mcpUserContext({ ...optionsFor(database.sql), maxUncountedPerMinute })).toThrow(
      `mcpUserContext: maxUncountedPerMinute must be a positive integer, got ${maxUncountedPerMinute}`,
    )
  })
})
