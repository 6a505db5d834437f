// How a limit refuses is nobody else's business: the pieces alone, refusals that are no limit, and a wrong option.
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { userContext } from '../../src/auth/user-context.ts'
import type { OnLimit } from '../../src/limit-answer.ts'
import { rateLimit } from '../../src/limits/rate-limit.ts'
import { mcpUserContext } from '../../src/mcp-user-context.ts'
import { quota } from '../../src/quota.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callTool, mcpApp, optionsFor, post, tokenFor } from '../support/mcp.ts'
import { putQuota } from '../support/quotas.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

const MODES = ['error', 'jsonrpc', 'tool-error'] as const

/** The mode, what is asked, and how it is answered when there is no room. */
const answers = [
  ['error', 'tools/call', 429, { error: { code: expect.any(Number) } }],
  ['jsonrpc', 'tools/call', 200, { error: { code: expect.any(Number) } }],
  ['tool-error', 'tools/call', 200, { result: { isError: true } }],
  ['tool-error', 'tools/list', 200, { error: { code: expect.any(Number) } }],
] as const

const pieces = [
  {
    piece: 'rateLimit()',
    mount: (onLimit: OnLimit) => rateLimit({ limit: 1, windowSeconds: 60, onLimit }),
  },
  {
    piece: 'quota()',
    mount: (onLimit: OnLimit) => quota({ sql: database.sql, onLimit }),
  },
]

describe.each(pieces)('$piece alone', ({ piece, mount }) => {
  it.each(answers)('answers as %s: %s with HTTP %i', async (onLimit, method, status, answer) => {
    await putQuota(database.sql, { scope: 'each_user', limit: 1, window: 'total' })
    const app = new Hono()
      .use(userContext(optionsFor(database.sql)), mount(onLimit))
      .post('/mcp', (c) => c.json({ jsonrpc: '2.0', id: 1, result: {} }))
    const token = await tokenFor(`${piece} ${onLimit} ${method}`)
    const body = { jsonrpc: '2.0', id: 1, method, params: { name: 'echo' } }
    expect((await app.request('/mcp', post(body, { token }))).status).toBe(200)
    const refused = await app.request('/mcp', post(body, { token }))
    expect(refused.status).toBe(status)
    expect(refused.headers.get('retry-after') === null).toBe(piece === 'quota()')
    expect(await refused.json()).toMatchObject({ id: 1, ...answer })
  })
})

const others = [
  ['a token is missing', {}, 401, 40100],
  ['the token is no token', { token: 'none' }, 401, 40101],
  ['the session is unknown', { session: crypto.randomUUID() }, 404, -32001],
  ['the session is missing', {}, 400, -32000],
  ['the body is no JSON', { body: 'none' }, 400, -32700],
] as const

describe.each(others)(
  'when %s',
  (name, call: { token?: string; session?: string; body?: string }, status, code) => {
    it.each(MODES)(`onLimit %s leaves HTTP ${status} and the error as they are`, async (onLimit) => {
      const app = mcpApp(database.sql, { onLimit })
      const token = name === 'a token is missing' ? undefined : (call.token ?? (await tokenFor('Alice')))
      const refused = await app.request(
        '/mcp',
        post(call.body ?? callTool('echo', {}, 5), { ...call, token }),
      )
      expect(refused.status).toBe(status)
      expect(await refused.json()).toMatchObject({ error: { code } })
    })
  },
)

describe('a wrong onLimit stops the start', () => {
  const onLimit = 'shrug' as OnLimit
  const fault = 'onLimit must be error, tool-error or jsonrpc, got shrug'
  const starts = [
    ['mcpUserContext', () => mcpUserContext({ ...optionsFor(database.sql), onLimit })],
    ['quota', () => quota({ sql: database.sql, onLimit })],
    ['rateLimit', () => rateLimit({ limit: 1, windowSeconds: 1, onLimit })],
  ] as const
  it.each(starts)('of %s()', (name, start) => {
    expect(start).toThrow(new TypeError(`${name}: ${fault}`))
  })
})
