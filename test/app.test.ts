import type { Handler, Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type AppParts, createApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { createTestDatabase, type TestDatabase } from './support/database.ts'
import { callTool, ISSUER, modern, optionsFor, post, RESOURCE, SECRET, tokenFor } from './support/mcp.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

const PEER = '192.0.2.1'
const config = readConfig(
  {
    PUBLIC_URL: RESOURCE,
    JWT_ISSUER: ISSUER,
    SUPABASE_JWT_SECRET: SECRET,
    DATABASE_URL: 'postgres://app@db/app',
  },
  'node',
)

/** The deployable app, with tools that do as they are told. */
function appWith(
  handler: Handler = (c) => c.json({ jsonrpc: '2.0', id: 1, result: {} }),
  parts: Partial<AppParts> = {},
): Hono {
  const { sql, tokens } = optionsFor(database.sql)
  return createApp(config, {
    sql,
    tokens,
    handler,
    cookieKey: 'k'.repeat(32),
    peerOf: () => PEER,
    ...parts,
  })
}

interface Told {
  request_id?: string
  code?: string
  error?: { code: number; message: string; data: { code: string; request_id: string } }
}
const told = async (response: Response): Promise<Told> => await response.json<Told>()

async function call(app: Hono, headers: Record<string, string> = {}): Promise<Response> {
  const request = modern(callTool('echo'))
  const token = await tokenFor('Alice')
  return await app.request('/mcp', post(request.body, { token, headers: { ...request.headers, ...headers } }))
}

describe('createApp: the edge', () => {
  const routes = [
    '/health',
    '/mcp',
    '/.well-known/oauth-protected-resource',
    '/api/mcp/me',
    '/api/mcp/openapi.json',
    '/dashboard',
    '/nothing',
  ]
  it.each(routes)('gives every answer of %s an id, and headers that make it safe to open', async (path) => {
    const { headers } = await appWith().request(path, { headers: { 'x-request-id': 'of-the-proxy' } })
    expect(headers.get('x-request-id')).toBe('of-the-proxy')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('content-security-policy')).toMatch(/default-src 'none'.*frame-ancestors 'none'/)
  })

  it('lets pages read the id', async () => {
    const { headers } = await appWith().request('/api/mcp/me', {
      headers: { origin: new URL(RESOURCE).origin },
    })
    expect(headers.get('access-control-expose-headers')).toContain('X-Request-Id')
  })

  it.each(['/api/mcp/me', '/nothing', '/nothing?access_token=x'])(
    'tells it in the problem of %s',
    async (path) => {
      const response = await appWith().request(path)
      expect(response.headers.get('content-type')).toBe('application/problem+json')
      expect((await told(response)).request_id).toBe(response.headers.get('x-request-id'))
    },
  )

  it('tells it in the JSON-RPC errors of the endpoint, of its own and of the edge', async () => {
    for (const [path, code] of [
      ['/mcp', 'unauthorized'],
      ['/mcp?access_token=x', 'token_in_query'],
    ] as const) {
      const response = await appWith().request(path, post(callTool('echo'), {}))
      const { error } = await told(response)
      expect(error?.data).toMatchObject({ code, request_id: response.headers.get('x-request-id') })
    }
  })

  it('leaves the answers of tools as they are, whatever they say', async () => {
    const body = { jsonrpc: '2.0', id: 1, error: { code: 1, message: 'no', data: { request_id: 'theirs' } } }
    const app = appWith(() => Response.json(body, { status: 400, headers: { 'x-request-id': 'upstream' } }))
    const response = await call(app)
    expect(await response.json()).toEqual(body)
    expect(response.headers.get('x-request-id')).toMatch(/^[\da-f-]{36}$/)
  })

  it('never holds a load balancer, and holds everybody else at that address', async () => {
    const app = appWith()
    const clock = vi.spyOn(Date, 'now').mockReturnValue(Date.now())
    try {
      for (let i = 0; i < 600; i++) await app.request('/nothing')
      const refused = await call(app)
      expect(refused.status).toBe(503)
      expect((await told(refused)).error?.data.code).toBe('abuse_cap')
      expect((await app.request('/api/mcp/me')).status).toBe(503)
      expect((await app.request('/health')).status).toBe(200)
    } finally {
      clock.mockRestore()
    }
  })
})

describe('createApp: when something fails', () => {
  it('says nothing of the reason, and the log has it under the same id', async () => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {})
    try {
      const app = appWith(() => {
        throw new Error('select secret from archon_mcp_users')
      })
      const response = await call(app, { 'x-request-id': 'quote-me' })
      expect(response.status).toBe(500)
      const text = await response.text()
      expect(JSON.parse(text)).toMatchObject({
        error: { data: { code: 'internal', request_id: 'quote-me' } },
      })
      expect(text).not.toMatch(/select|archon|stack|\.ts/)
      expect(String(log.mock.calls[0]?.[0])).toMatch(
        /POST \/mcp failed \(request_id quote-me\): Error: select/,
      )
    } finally {
      log.mockRestore()
    }
  })
})
