import type { Handler } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { identityIds } from '../../src/auth/user-id.ts'
import type { McpUserContextOptions } from '../../src/mcp-user-context.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, initialize, ISSUER, modern, post, tokenFor } from '../support/mcp.ts'
import { putQuota } from '../support/quotas.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

const MODES = ['error', 'jsonrpc', 'tool-error'] as const
type Mode = (typeof MODES)[number]

/** The tool `wait` begins a stream and never ends it; whatever else is asked is answered at once. */
const handler: Handler = async (c) => {
  const { id, params } = await c.req.json<{ id: unknown; params?: { name?: string } }>()
  if (params?.name === 'wait') {
    const begun = new TextEncoder().encode(': begun\n\n')
    const stream = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(begun) })
    return new Response(stream, { headers: { 'content-type': 'text/event-stream' } })
  }
  return c.json({ jsonrpc: '2.0', id, result: { content: [] } })
}

type Send = (body: unknown, headers?: Record<string, string>) => Promise<Response>

interface Limit {
  limit: string
  options?: Partial<McpUserContextOptions>
  /** Leaves no room for another call of this user. */
  spend: (send: Send, userId: string) => Promise<unknown>
  retryAfter: RegExp
  policy: string | null
  state: RegExp | null
  code: number
  sentence: RegExp
  data: Record<string, unknown>
}

const LIMITS: Limit[] = [
  {
    limit: 'rate',
    options: { rateLimit: { limit: 4, windowSeconds: 3600 } },
    spend: (send) => send([1, 2, 3, 4].map((id) => callTool('echo', {}, id))),
    retryAfter: /^(900|89\d)$/,
    policy: '"rate";q=4;w=3600',
    state: /^"rate";r=0;t=3(600|59\d)$/,
    code: 42900,
    sentence: /^At most 4 calls in 3600 seconds; wait (15|45) minutes before you call again\.$/,
    data: { code: 'rate_limited', kind: 'rate', limit: 4 },
  },
  {
    limit: 'quota',
    async spend(send, userId) {
      await putQuota(database.sql, { scope: 'user', subject: userId, limit: 9, window: 'total' })
      await putQuota(database.sql, { scope: 'user', subject: userId, limit: 3, window: 'day' })
      await send([1, 2, 3].map((id) => callTool('echo', {}, id)))
    },
    retryAfter: /^\d{1,5}$/,
    policy: '"requests-day";q=3;w=86400',
    state: /^"requests-day";r=0;t=\d{1,5}$/,
    code: 42901,
    sentence:
      /^Your budget of 3 requests a day is used up and comes back at 2\S+Z, in \d+ (hour|minute|second)s?\. Left elsewhere: 6 requests of your total\.$/,
    data: {
      code: 'quota_exceeded',
      kind: 'quota',
      scope: 'user',
      metric: 'requests',
      window: 'day',
      limit: 3,
      elsewhere: [
        { scope: 'user', metric: 'requests', window: 'total', tools: null, models: null, remaining: 6 },
      ],
    },
  },
  {
    limit: 'calls in flight',
    options: { maxCallsInFlight: 1 },
    spend: async (send) => (await send(callTool('wait'))).body!.getReader().read(),
    retryAfter: /^1$/,
    policy: null,
    state: null,
    code: 42900,
    sentence: /^At most 1 call of a user may run at once; try again when one of them has ended\.$/,
    data: { code: 'too_many_calls', kind: 'in_flight', limit: 1 },
  },
]

const CASES = LIMITS.flatMap((limit) => MODES.map((mode) => ({ ...limit, mode })))

/** A user with a session who has no room left. */
async function spent({ options, spend }: Limit, mode: Mode): Promise<Send> {
  const user = `user-${crypto.randomUUID()}`
  const token = await tokenFor(user)
  const app = appWith(database.sql, handler, { ...options, onLimit: mode })
  const opened = await app.request('/mcp', post(initialize(), { token }))
  const session = opened.headers.get('mcp-session-id')!
  const send: Send = async (body, headers = {}) =>
    await app.request('/mcp', post(body, { token, session, headers }))
  await spend(send, (await identityIds(ISSUER, user)).firstId)
  return send
}

/** What every refusal tells programs. */
const dataOf = ({ data }: Limit) => ({
  ...data,
  remaining: 0,
  reset_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  retry_after_ms: expect.any(Number),
})
const errorOf = (limit: Limit, id: unknown) => ({
  jsonrpc: '2.0',
  id,
  error: { code: limit.code, message: expect.stringMatching(limit.sentence), data: dataOf(limit) },
})
const toolErrorOf = (limit: Limit, id: unknown, more = {}) => ({
  jsonrpc: '2.0',
  id,
  result: {
    ...more,
    content: [{ type: 'text', text: expect.stringMatching(limit.sentence) }],
    isError: true,
    _meta: { 'dev.mcp-user-context/refusal': dataOf(limit) },
  },
})

describe.each(CASES)('onLimit $mode, when there is no room in the $limit', (limit) => {
  const { mode } = limit
  const refusalOf = mode === 'tool-error' ? toolErrorOf : errorOf

  it('a call of 2025 is told in a body with its id, and in headers', async () => {
    const send = await spent(limit, mode)
    const refused = await send(callTool('echo', {}, 'the id'))
    expect(refused.status).toBe(mode === 'error' ? 429 : 200)
    expect(refused.headers.get('content-type')).toBe('application/json')
    expect(refused.headers.get('cache-control')).toBe('no-store')
    expect(refused.headers.get('retry-after')).toMatch(limit.retryAfter)
    expect(refused.headers.get('ratelimit-policy')).toBe(limit.policy)
    if (limit.state === null) expect(refused.headers.get('ratelimit')).toBeNull()
    else expect(refused.headers.get('ratelimit')).toMatch(limit.state)
    expect(await refused.json()).toEqual(refusalOf(limit, 'the id'))
  })

  it('a call of 2026 too, whose results say that they are complete', async () => {
    const send = await spent(limit, mode)
    const { body, headers } = modern(callTool('echo', {}, 7))
    const refused = await send(body, headers)
    const expected =
      mode === 'tool-error' ? toolErrorOf(limit, 7, { resultType: 'complete' }) : errorOf(limit, 7)
    expect(await refused.json()).toEqual(expected)
  })

  it('a batch is refused whole, with every id, and only calls of tools have results', async () => {
    const send = await spent(limit, mode)
    const listen = { jsonrpc: '2.0', method: 'notifications/progress' }
    const list = { jsonrpc: '2.0', id: 'list', method: 'tools/list' }
    const refused = await send([callTool('echo', {}, 'a'), listen, list, callTool('echo', {}, 2)])
    expect(refused.status).toBe(mode === 'error' ? 429 : 200)
    expect(await refused.json()).toEqual([refusalOf(limit, 'a'), errorOf(limit, 'list'), refusalOf(limit, 2)])
  })

  it('what is no call of a tool is an error', async () => {
    const send = await spent(limit, mode)
    const refused = await send({ jsonrpc: '2.0', id: 3, method: 'prompts/get', params: { name: 'echo' } })
    expect(refused.status).toBe(mode === 'error' ? 429 : 200)
    expect(await refused.json()).toEqual(errorOf(limit, 3))
  })
})

describe('what can never fit is not told to come back', () => {
  const batch = [callTool('echo', {}, 1), callTool('echo', {}, 2)]
  it.each([
    ['a batch above the burst of a rate', { rateLimit: { limit: 1, windowSeconds: 3600 } }, batch],
    ['a batch above a budget of requests', {}, batch],
  ])('%s', async (_name, options, body) => {
    await using alone = await createTestDatabase()
    if (!('rateLimit' in options)) await putQuota(alone.sql, { limit: 1 })
    const app = appWith(alone.sql, handler, options)
    const token = await tokenFor('Alice')
    const opened = await app.request('/mcp', post(initialize(), { token }))
    const session = opened.headers.get('mcp-session-id')!
    const refused = await app.request('/mcp', post(body, { token, session }))
    expect(refused.status).toBe(429)
    expect(refused.headers.get('retry-after')).toBeNull()
    const nothing = { error: { data: { retry_after_ms: null } } }
    expect(await refused.json()).toMatchObject([nothing, nothing])
  })
})
