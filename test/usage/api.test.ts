import { type Handler, Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { userContext } from '../../src/auth/user-context.ts'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { meter } from '../../src/usage/meter.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { optionsFor, tokenFor } from '../support/mcp.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

/** The row that one request to an API leaves. */
async function rowOf(method: string, id: string, handler: Handler, sent = method) {
  const app = new Hono()
    .use(userContext({ ...optionsFor(database.sql), refuse: 'problem' }))
    .use(meter({ sql: database.sql, kind: 'api' }))
    .on(method, '/things/:id', handler)
  app.onError((_error, c) => c.text('', 500))
  const headers = { authorization: `Bearer ${await tokenFor('Alice')}` }
  const response = await app.request(`/things/${id}`, { method: sent, headers })
  await response.text().catch(() => {})
  await ledgerOf(database.sql).drained()
  const rows = await database.owner`
    select kind, method, tool_name, status, error_message as error, email
    from archon_mcp_requests join archon_mcp_users using (user_id)`
  await database.owner`delete from archon_mcp_requests`
  return { response, rows: [...rows] }
}

describe('a request of any other route', () => {
  const alice = { kind: 'api', email: 'alice@example.com' }
  const cases: { name: string; method?: string; handler: Handler; status: string; error: string | null }[] = [
    { name: 'ok', handler: (c) => c.json({}), status: 'success', error: null },
    { name: 'text', handler: (c) => c.text('hello'), status: 'success', error: null },
    { name: 'empty', method: 'DELETE', handler: (c) => c.body(null, 204), status: 'success', error: null },
    { name: 'moved', handler: (c) => c.redirect('/'), status: 'success', error: null },
    { name: 'missing', handler: (c) => c.json({}, 404), status: 'error', error: 'HTTP 404' },
    { name: 'broken', handler: (c) => c.json({}, 503), status: 'error', error: 'HTTP 503' },
    {
      name: 'json-rpc',
      handler: (c) => c.json({ jsonrpc: '2.0', id: 1, error: { code: 1, message: 'not read here' } }),
      status: 'success',
      error: null,
    },
    {
      name: 'thrown',
      handler: () => {
        throw new Error('x')
      },
      status: 'error',
      error: 'the handler threw',
    },
    {
      name: 'cut-off',
      handler: () =>
        new Response(new ReadableStream({ pull: (controller) => controller.error(new Error('x')) })),
      status: 'error',
      error: 'the response broke off',
    },
  ]
  for (const { name, method = 'GET', handler, status, error } of cases) {
    it(`${name} is one call of kind api: ${status}`, async () => {
      const { rows } = await rowOf(method, name, handler)
      expect(rows).toEqual([{ ...alice, method, tool_name: `${method} /things/:id`, status, error }])
    })
  }

  it('with HEAD, whose body nobody reads, is closed too', async () => {
    const { rows } = await rowOf('GET', 'head', (c) => c.text('hello'), 'HEAD')
    expect(rows).toMatchObject([{ method: 'HEAD', tool_name: 'HEAD /things/:id', status: 'success' }])
  })

  it('by a user who is blocked is refused with a problem, and leaves no row', async () => {
    await rowOf('GET', 'first', (c) => c.text('hello'))
    await database.owner`update archon_mcp_users set blocked_at = now()`
    const { response, rows } = await rowOf('GET', 'blocked', (c) => c.text('hello'))
    await database.owner`update archon_mcp_users set blocked_at = null`
    expect(response.status).toBe(403)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(rows).toEqual([])
  })
})

describe('the route of a request', () => {
  const cases: { name: string; app: (app: Hono) => Hono; path: string; tool: string }[] = [
    {
      name: 'is its pattern',
      app: (app) => app.get('/users/:id', (c) => c.text('')),
      path: '/users/7',
      tool: 'GET /users/:id',
    },
    {
      name: 'is that of the whole app, below others',
      app: (app) =>
        app.route(
          '/v1',
          new Hono().get('/users/:id', (c) => c.text('')),
        ),
      path: '/v1/users/7',
      tool: 'GET /v1/users/:id',
    },
    {
      name: 'is the handler, and no middleware after it',
      app: (app) => app.get('/users/:id', (c) => c.text('')).use('/users/*', (_c, next) => next()),
      path: '/users/7',
      tool: 'GET /users/:id',
    },
    {
      name: 'that is for all methods is told with the one that came',
      app: (app) => app.all('/any', (c) => c.text('')),
      path: '/any',
      tool: 'GET /any',
    },
    {
      name: 'that nobody handles is where it was metered, and no path',
      app: (app) => app,
      path: '/users/7',
      tool: 'GET /*',
    },
  ]
  it.each(cases)('$name', async ({ app, path, tool }) => {
    const metered = new Hono()
      .use(userContext({ ...optionsFor(database.sql), refuse: 'problem' }))
      .use(meter({ sql: database.sql, kind: 'api' }))
    const headers = { authorization: `Bearer ${await tokenFor('Alice')}` }
    await (await app(metered as unknown as Hono).request(path, { headers })).text()
    await ledgerOf(database.sql).drained()
    const rows = await database.owner`select method, tool_name from archon_mcp_requests`
    await database.owner`delete from archon_mcp_requests`
    expect([...rows]).toEqual([{ method: 'GET', tool_name: tool }])
  })
})
