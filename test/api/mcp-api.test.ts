import { Hono } from 'hono'
import { describe, expect, it, vi } from 'vitest'
import { optionsFor } from '../support/mcp.ts'
import { connectHere } from '../support/database.ts'
import { apiApp, expectProblem, refusesStrangers, send, serviceToken, useApi, userToken } from './support.ts'
import { mcpApi } from '../../src/api/mcp-api.ts'

const api = useApi()

describe('mcpApi', () => {
  refusesStrangers(api, 'GET /unknown')

  it('answers 404 to a known caller on an unknown route', async () => {
    const token = await userToken('Alice')
    expectProblem(await send(api.app, 'GET /unknown', { token }), 404, 'not_found')
    expectProblem(await send(api.app, 'PUT /me', { token, body: {} }), 404, 'not_found')
    expectProblem(await send(api.app, 'GET ', { token }), 404, 'not_found')
  })

  it('asks for the scopes that /mcp asks for', async () => {
    const app = apiApp(api.sql, { requiredScopes: ['mcp'] })
    const answer = await send(app, 'GET /me', { token: await userToken('Alice') })
    expectProblem(answer, 403, 'insufficient_scope')
    expect(answer.headers.get('www-authenticate')).toContain('scope="mcp"')
  })

  it('refuses a user who is blocked, and one whose tokens are revoked', async () => {
    const token = await userToken('Blair')
    expect((await send(api.app, 'GET /me', { token })).status).toBe(200)
    await api.sql`update archon_mcp_users set blocked_at = now() where subject = 'blair'`
    expectProblem(await send(api.app, 'GET /me', { token }), 403, 'blocked')
    await api.sql`update archon_mcp_users set blocked_at = null, revoked_at = now() where subject = 'blair'`
    const revoked = await send(api.app, 'GET /me', { token })
    expectProblem(revoked, 401, 'invalid_token')
    expect(revoked.headers.get('www-authenticate')).toContain('error="invalid_token"')
  })

  it('keeps answers out of caches', async () => {
    const { headers } = await send(api.app, 'GET /me', { token: await userToken('Alice') })
    expect(headers.get('cache-control')).toBe('no-store')
  })

  it('stops the start on wrong options', () => {
    expect(() => apiApp(api.sql, { resource: '/mcp' })).toThrow(TypeError)
  })
})

describe('mcpApi: pages of strangers', () => {
  const origin = 'https://app.example.com'

  it('answers a foreign Origin and a foreign Host with a problem', async () => {
    const token = await userToken('Alice')
    const fromPage = await send(api.app, 'GET /me', { token, headers: { origin } })
    expectProblem(fromPage, 403, 'origin_not_allowed')
    const rebound = await send(api.app, 'GET /me', { token, headers: { host: 'evil.example' } })
    expectProblem(rebound, 403, 'host_not_allowed')
  })

  it('lets allowed pages use every method, and read refusals', async () => {
    const app = apiApp(api.sql, { allowedOrigins: [origin] })
    const preflight = await send(app, 'OPTIONS /clients', {
      headers: { origin, 'access-control-request-method': 'PATCH' },
    })
    expect(preflight.status).toBe(204)
    expect(preflight.headers.get('access-control-allow-methods')).toBe('GET,POST,PUT,PATCH,DELETE,OPTIONS')
    const refused = await send(app, 'GET /clients', { headers: { origin } })
    expect(refused.status).toBe(401)
    expect(refused.headers.get('access-control-allow-origin')).toBe(origin)
  })
})

describe('mcpApi: when something fails', () => {
  it('answers 503 with Retry-After while the database is out', async () => {
    const unreachable = await connectHere('postgres://nobody@127.0.0.1:1/nothing', { connectTimeout: 1 })
    const answer = await send(apiApp(unreachable), 'GET /clients', { token: await userToken('Alice') })
    expectProblem(answer, 503, 'database_unavailable')
    expect(answer.headers.get('retry-after')).toBe('2')
    await unreachable.end({ timeout: 0 })
  }, 15_000)

  it('answers 503 when Postgres gives a report up, and says what to ask instead', async () => {
    const token = await userToken('Alice')
    const refused = await api.database.owner.begin(async (lock) => {
      await lock`lock table archon_llm_pricing in access exclusive mode`
      const answer = send(api.app, 'GET /pricing', { token })
      // As the statement timeout does, but not after half a minute.
      await vi.waitFor(async () => {
        const [given] = await lock<[{ up: boolean | null }]>`
          select bool_or(pg_cancel_backend(waiting.pid)) as up
          from pg_stat_activity as waiting
          where pg_backend_pid() = any (pg_blocking_pids(waiting.pid))`
        expect(given.up).toBe(true)
      }, 10_000)
      return await answer
    })
    expectProblem(refused, 503, 'took_too_long')
    expect(refused.body).toMatchObject({ detail: expect.stringContaining('fewer days') as string })
  })

  it('answers 500 without a reason, and tells the log once under the same id', async () => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {})
    try {
      const token = await serviceToken()
      const sql = api.sql
      const app = new Hono().route(
        '/api/mcp',
        mcpApi({
          ...optionsFor(sql),
          sql: () => {
            throw new Error('no such binding')
          },
        }),
      )
      const answer = await send(app, 'POST /initialize', {
        token,
        body: { client_info: { secret: 'tell nobody' } },
      })
      expectProblem(answer, 500, 'internal')
      expect(JSON.stringify(answer.body)).not.toContain('binding')
      expect(log).toHaveBeenCalledOnce()
      const said = String(log.mock.calls[0]?.[0])
      expect(said).toContain(answer.body.request_id)
      expect(said).toContain('POST /api/mcp/initialize')
      expect(said).not.toContain('tell nobody')
      expect(said).not.toContain(token)
    } finally {
      log.mockRestore()
    }
  })
})
