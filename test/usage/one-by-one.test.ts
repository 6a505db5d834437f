import { type Handler, Hono, type MiddlewareHandler } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { userContext } from '../../src/auth/user-context.ts'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { mcpUserContext } from '../../src/mcp-user-context.ts'
import { session } from '../../src/sessions/session.ts'
import { meter } from '../../src/usage/meter.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callTool, initialize, modern, optionsFor, post, tokenFor } from '../support/mcp.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

const answer = ({ id }: { id?: unknown }) => ({ jsonrpc: '2.0', id, result: { content: [] } })

const json: Handler = async (c) => {
  if (c.req.method !== 'POST') return c.body(null, 405)
  const body = await c.req.json<{ id?: unknown } | { id?: unknown }[]>()
  return c.json(Array.isArray(body) ? body.map(answer) : answer(body))
}
const stream: Handler = async (c) => {
  const response = (await json(c, async () => {})) as Response
  return new Response(`data: ${await response.text()}\n\n`, {
    headers: { 'content-type': 'text/event-stream' },
  })
}

const stacked = (middlewares: MiddlewareHandler[], handler: Handler) => {
  const app = new Hono()
  for (const middleware of middlewares) app.use(middleware)
  return app.all('/mcp', handler)
}
const oneByOne = () => [
  userContext(optionsFor(database.sql)),
  session({ sql: database.sql }),
  meter({ sql: database.sql }),
]
const allAtOnce = () => [mcpUserContext(optionsFor(database.sql))]

/** What one user's clients of both eras leave behind. */
async function traces(name: string, app: Hono) {
  const token = await tokenFor(name)
  const send = async (init: RequestInit) => {
    const response = await app.request('/mcp', init)
    await response.text()
    return response
  }
  const opened = await send(post(initialize(), { token }))
  const session = opened.headers.get('mcp-session-id')!
  const initialized = { jsonrpc: '2.0', method: 'notifications/initialized' }
  const statuses = [
    (await send(post(initialized, { token, session }))).status,
    (await send(post(callTool('echo'), { token, session }))).status,
    (await send(post([callTool('a', {}, 1), callTool('b', {}, 2)], { token, session }))).status,
    (await send(post(callTool('echo'), { token }))).status,
    (await send(post(callTool('echo'), { token, session: crypto.randomUUID() }))).status,
    (await send(post('not json', { token, session }))).status,
    (await send(post(modern(callTool('echo')).body, { token }))).status,
    (
      await send({
        method: 'DELETE',
        headers: { authorization: `Bearer ${token}`, 'mcp-session-id': session },
      })
    ).status,
    (await send(post(callTool('late'), { token, session }))).status,
  ]
  await ledgerOf(database.sql).drained()
  const email = `${name.toLowerCase()}@example.com`
  const calls = await database.owner`
    select call.method, call.tool_name, call.status, call.error_message, call.kind, call.client_type, session.era
    from archon_mcp_requests as call
    join archon_mcp_users as u using (user_id)
    left join archon_mcp_sessions as session using (session_id)
    where u.email = ${email} order by call.timestamp, call.tool_name`
  const sessions = await database.owner`
    select session.client_name, session.era, session.status, session.disconnect_reason,
           session.user_id = u.user_id as own
    from archon_mcp_sessions as session join archon_mcp_users as u on u.email = session.user_email
    where session.user_email = ${email} order by session.era`
  return { statuses, calls: [...calls], sessions: [...sessions] }
}

describe('userContext(), session() and meter() one by one', () => {
  for (const [kind, handler] of [
    ['JSON', json],
    ['SSE', stream],
  ] as const) {
    it(`leave the same rows as mcpUserContext(), with ${kind}`, async () => {
      const apart = await traces(`Apart-${kind}`, stacked(oneByOne(), handler))
      expect(apart).toEqual(await traces(`Together-${kind}`, stacked(allAtOnce(), handler)))
      expect(apart.statuses).toEqual([200, 200, 200, 400, 404, 400, 200, 200, 404])
      expect(apart.calls.map((row) => [row['method'], row['client_type']])).toEqual([
        ['initialize', 'Claude'],
        ['tools/call', 'Claude'],
        ['tools/call', 'Claude'],
        ['tools/call', 'Claude'],
        ['tools/call', 'Cursor'],
      ])
    })
  }

  it('session() alone knows the row of the user who opens a session, and refuses one who is blocked', async () => {
    const app = stacked(oneByOne().slice(0, 2), json)
    const subject = crypto.randomUUID()
    // Somebody else holds the id that this subject would get.
    await database.owner`
      insert into archon_mcp_users (user_id, issuer, subject) values (${subject}, 'https://other.example.com', 's')`
    const token = await tokenFor('Taken', { sub: subject })
    const opened = await app.request('/mcp', post(initialize(), { token }))
    const rows = await database.owner`
      select u.subject from archon_mcp_sessions join archon_mcp_users as u using (user_id)
      where session_id = ${opened.headers.get('mcp-session-id')}`
    expect(rows).toEqual([{ subject }])
    await database.owner`update archon_mcp_users set blocked_at = now() where subject = ${subject}`
    expect((await app.request('/mcp', post(initialize(), { token }))).status).toBe(403)
  })

  it('meter() alone records calls without a session', async () => {
    const app = stacked([userContext(optionsFor(database.sql)), meter({ sql: database.sql })], json)
    await (await app.request('/mcp', post(callTool('alone'), { token: await tokenFor('Alice') }))).text()
    await ledgerOf(database.sql).drained()
    const rows = await database.owner`
      select status, session_id, email from archon_mcp_requests join archon_mcp_users using (user_id)
      where tool_name = 'alone'`
    expect(rows).toEqual([{ status: 'success', session_id: null, email: 'alice@example.com' }])
  })
})

describe('the wrong order of mounting', () => {
  const cases: { name: string; middlewares: () => MiddlewareHandler[]; body: unknown }[] = [
    {
      name: 'session() first, initialize',
      middlewares: () => [session({ sql: database.sql })],
      body: initialize(),
    },
    {
      name: 'session() first, a call',
      middlewares: () => [session({ sql: database.sql })],
      body: modern(callTool('x')).body,
    },
    { name: 'meter() first', middlewares: () => [meter({ sql: database.sql })], body: callTool('x') },
    {
      name: 'meter() of an API first',
      middlewares: () => [meter({ sql: database.sql, kind: 'api' })],
      body: callTool('x'),
    },
  ]
  for (const { name, middlewares, body } of cases) {
    it(`is named: ${name}`, async () => {
      const app = stacked(middlewares(), json)
      let message = ''
      app.onError((error, c) => {
        message = error.message
        return c.text('', 500)
      })
      await app.request('/mcp', post(body, {}))
      expect(message).toBe('c.var.caller is not set: mount userContext() before this middleware')
    })
  }
})
