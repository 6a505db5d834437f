import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { userContext } from '../../src/auth/user-context.ts'
import { rateLimit, type RateLimitOptions } from '../../src/limits/rate-limit.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callTool, initialize, mcpApp, modern, optionsFor, post, tokenFor } from '../support/mcp.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

const NOW = new Date('2026-01-01T00:00:00Z')
const two = { limit: 2, windowSeconds: 3600 }

describe('mcpUserContext({ rateLimit })', () => {
  it('tells what is left, and answers 429 with Retry-After once the rate is spent', async () => {
    const app = mcpApp(database.sql, { rateLimit: two })
    const token = await tokenFor('Quick')
    const ask = async (id: number) => {
      const { body, headers } = modern(callTool('echo', { text: 'x' }, id))
      return await app.request('/mcp', post(body, { token, headers }))
    }
    const first = await ask(1)
    expect(first.status).toBe(200)
    expect(first.headers.get('ratelimit-policy')).toBe('"rate";q=2;w=3600')
    expect(first.headers.get('ratelimit')).toBe('"rate";r=1;t=1800')
    expect((await ask(2)).headers.get('ratelimit')).toMatch(/^"rate";r=0;t=3(600|599)$/)

    const refused = await ask(3)
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(1790)
    expect(refused.headers.get('ratelimit')).toMatch(/^"rate";r=0;/)
    expect(await refused.json()).toMatchObject({
      id: 3,
      error: {
        code: 42900,
        message: expect.stringMatching(
          /^At most 2 calls in 3600 seconds; wait 30 minutes before you call again\.$/,
        ),
        data: {
          code: 'rate_limited',
          kind: 'rate',
          limit: 2,
          remaining: 0,
          reset_at: expect.any(String),
          retry_after_ms: expect.any(Number),
        },
      },
    })
    const rows = await database.sql`
      select from archon_mcp_requests join archon_mcp_users using (user_id) where name = 'Quick'`
    expect(rows).toHaveLength(2)
  })

  it('lets a client connect, and close, when the rate is spent', async () => {
    const app = mcpApp(database.sql, { rateLimit: { limit: 1, windowSeconds: 3600 } })
    const token = await tokenFor('Spent')
    const opened = await app.request('/mcp', post(initialize(), { token }))
    const session = opened.headers.get('mcp-session-id')!
    expect(
      (await app.request('/mcp', post(callTool('echo', { text: 'x' }), { token, session }))).status,
    ).toBe(200)
    expect(
      (await app.request('/mcp', post(callTool('echo', { text: 'x' }), { token, session }))).status,
    ).toBe(429)
    expect((await app.request('/mcp', post(initialize(), { token }))).status).toBe(200)
    const ping = { jsonrpc: '2.0', id: 9, method: 'ping' }
    expect((await app.request('/mcp', post(ping, { token, session }))).status).toBe(200)
    const headers = { authorization: `Bearer ${token}`, 'mcp-session-id': session }
    expect((await app.request('/mcp', { method: 'DELETE', headers })).status).toBe(200)
  })
})

const alone: { name: string; options: () => Partial<RateLimitOptions> }[] = [
  { name: 'in the database', options: () => ({ sql: database.sql }) },
  { name: 'in memory', options: () => ({ now: () => NOW }) },
]

describe.each(alone)('rateLimit() alone, $name', ({ name, options }) => {
  it('holds the user on any route', async () => {
    const app = new Hono()
      .use(userContext({ ...optionsFor(database.sql), refuse: 'problem' }))
      .use(rateLimit({ ...two, ...options(), kind: 'api' }))
      .get('/', (c) => c.text('here'))
    const get = async (user: string) => {
      const token = await tokenFor(`${user}-${name}`)
      return await app.request('/', { headers: { authorization: `Bearer ${token}` } })
    }
    expect((await get('Api')).headers.get('ratelimit')).toMatch(/^"rate";r=1;/)
    expect((await get('Api')).status).toBe(200)
    const refused = await get('Api')
    expect(refused.status).toBe(429)
    expect(refused.headers.get('content-type')).toBe('application/problem+json')
    expect(refused.headers.get('retry-after')).toBe('1800')
    expect(await refused.json()).toMatchObject({ code: 'rate_limited', kind: 'rate', limit: 2 })
    expect((await get('Other')).status).toBe(200)
  })

  it('counts each request of a batch, and leaves discovery alone', async () => {
    const app = new Hono()
      .use(userContext(optionsFor(database.sql)))
      .use(rateLimit({ ...two, ...options() }))
      .post('/', (c) => c.text('here'))
    const token = await tokenFor(`Batch-${name}`)
    const send = (body: unknown) => app.request('/', post(body, { token }))
    expect((await send(initialize())).headers.get('ratelimit')).toBeNull()
    expect((await send([callTool('a', {}, 1), callTool('b', {}, 2)])).status).toBe(200)
    const refused = await send([callTool('a', {}, 3), callTool('b', {}, 4)])
    expect(refused.status).toBe(429)
    expect(await refused.json()).toMatchObject([{ id: 3 }, { id: 4 }])
  })
})

it('holds whom a key names, without anybody being known', async () => {
  const app = new Hono()
    .use(rateLimit({ ...two, kind: 'api', now: () => NOW, key: (c) => c.req.header('x-team') ?? null }))
    .get('/', (c) => c.text('here'))
  const get = async (team?: string) => {
    const headers: Record<string, string> = team === undefined ? {} : { 'x-team': team }
    return (await app.request('/', { headers })).status
  }
  expect([await get('a'), await get('a'), await get('a'), await get('b')]).toEqual([200, 200, 429, 200])
  expect([await get(), await get(), await get()]).toEqual([200, 200, 200])
})

it.each([
  [{ limit: 0, windowSeconds: 60 }, 'limit must be a positive integer, got 0'],
  [{ limit: 1, windowSeconds: -1 }, 'windowSeconds must be a positive integer, got -1'],
  [{ limit: 1, windowSeconds: 60, burst: 1.5 }, 'burst must be a positive integer, got 1.5'],
  [{ limit: 1 } as RateLimitOptions, 'windowSeconds is missing'],
])('%j stops the start', (options, fault) => {
  expect(() => rateLimit(options)).toThrow(`rateLimit: ${fault}`)
})
