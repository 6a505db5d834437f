import { type Context, Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { mcpUserContext } from '../../src/mcp-user-context.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, initialize, mcpApp, modern, optionsFor, post, tokenFor } from '../support/mcp.ts'

let database: TestDatabase
let token: string
let id: string
beforeAll(async () => {
  database = await createTestDatabase()
  token = await tokenFor('Alice')
  const opened = await mcpApp(database.sql).request('/mcp', post(initialize(), { token }))
  await opened.text()
  id = opened.headers.get('mcp-session-id')!
})
afterAll(() => database[Symbol.asyncDispose]())

const callsIn = async () => {
  await ledgerOf(database.sql).drained()
  return await database.owner`
    select call.method, session.era from archon_mcp_requests as call
    left join archon_mcp_sessions as session using (session_id) order by call.timestamp`
}
const lastCall = async () => (await callsIn()).at(-1)

const seen = (c: Context) => {
  const session = (c.var as { session?: { id: string } | null }).session
  const auth = (c.var as { auth?: { extra: { sessionId?: string } } }).auth
  return c.json({
    wire: c.req.header('mcp-session-id') ?? null,
    session: session?.id ?? null,
    tool: auth?.extra.sessionId ?? null,
  })
}

/** A kit that requires no token. */
const open = () =>
  new Hono().all('/mcp', mcpUserContext({ ...optionsFor(database.sql), required: false }), (c) =>
    c.json({ jsonrpc: '2.0', id: 1, result: {} }),
  )

/** What the calls of nobody left. */
const anonymous = async () => {
  await ledgerOf(database.sql).drained()
  return await database.owner`
    select call.tool_name, call.status, session.era, session.user_id, session.user_email
    from archon_mcp_requests as call join archon_mcp_sessions as session using (session_id)
    where call.user_id is null and call.method = 'tools/call' order by call.timestamp`
}

describe('2026-07-28, which has no session on the wire', () => {
  it('ignores the id of a session, and keeps it from the handler', async () => {
    const { body, headers } = modern(callTool('x'))
    const mallory = await tokenFor('Mallory')
    const answers: unknown[] = []
    for (const session of [undefined, id, crypto.randomUUID(), 'junk']) {
      const response = await appWith(database.sql, seen).request(
        '/mcp',
        post(body, { token: mallory, session, headers }),
      )
      expect([response.status, response.headers.get('mcp-session-id')]).toEqual([200, null])
      answers.push(await response.json())
    }
    const derived = (answers[0] as { session: string }).session
    expect(derived).not.toBe(id)
    expect(answers).toEqual(answers.map(() => ({ wire: null, session: derived, tool: derived })))
  })

  for (const method of ['GET', 'DELETE']) {
    it(`${method} with the id of somebody else's session reaches the handler without it`, async () => {
      const headers = {
        authorization: `Bearer ${await tokenFor('Mallory')}`,
        'mcp-session-id': id,
        'mcp-protocol-version': '2026-07-28',
      }
      const response = await appWith(database.sql, seen).request('/mcp', { method, headers })
      expect(await response.json()).toMatchObject({ wire: null })
      const rows = await database.owner`select status from archon_mcp_sessions where session_id = ${id}`
      expect(rows).toEqual([{ status: 'active' }])
    })
  }

  it('GET with a header that names no revision is judged like any other', async () => {
    for (const version of ['zzz', '9', '2026-07-28 ', '2025-11-25']) {
      const headers = {
        authorization: `Bearer ${await tokenFor('Mallory')}`,
        'mcp-session-id': id,
        'mcp-protocol-version': version,
      }
      const response = await appWith(database.sql, seen).request('/mcp', { method: 'GET', headers })
      // Spaces around a header's value are no part of it.
      expect([version, response.status]).toEqual([version, version.trim() === '2026-07-28' ? 200 : 404])
    }
  })

  it('with its header but without its envelope is the handler’s to refuse', async () => {
    const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'whoami' }
    const response = await mcpApp(database.sql).request('/mcp', post(callTool('whoami'), { token, headers }))
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ id: 1, error: { code: -32602 } })
  })

  it('server/discover is a call like any other', async () => {
    const { body, headers } = modern({ ...callTool('x'), method: 'server/discover' })
    const response = await mcpApp(database.sql).request(
      '/mcp',
      post(
        { ...body, params: { _meta: body.params._meta } },
        { token, headers: { ...headers, 'mcp-name': '' } },
      ),
    )
    await response.text()
    expect(await lastCall()).toEqual({ method: 'server/discover', era: '2026-07-28' })
  })
})

describe('2025-11-25', () => {
  it('tells handler and tools the session', async () => {
    const response = await appWith(database.sql, seen).request(
      '/mcp',
      post(callTool('x'), { token, session: id }),
    )
    expect(await response.json()).toEqual({ wire: id, session: id, tool: id })
  })

  it('a notification and a response are no calls, but need a session that lives', async () => {
    const before = (await callsIn()).length
    for (const message of [
      { jsonrpc: '2.0', method: 'notifications/initialized' },
      { jsonrpc: '2.0', id: 1, result: {} },
      [{ jsonrpc: '2.0', method: 'notifications/cancelled', params: {} }],
    ]) {
      const app = appWith(database.sql, (c) => c.body(null, 202))
      expect((await app.request('/mcp', post(message, { token, session: id }))).status).toBe(202)
      expect((await app.request('/mcp', post(message, { token, session: 'unknown' }))).status).toBe(404)
    }
    expect((await callsIn()).length).toBe(before)
  })

  it('GET opens the handler’s stream, in its session or in none', async () => {
    const app = appWith(database.sql, seen)
    const authorization = `Bearer ${token}`
    expect(await (await app.request('/mcp', { headers: { authorization } })).json()).toMatchObject({
      wire: null,
      session: null,
    })
    const within = await app.request('/mcp', { headers: { authorization, 'mcp-session-id': id } })
    expect(await within.json()).toMatchObject({ wire: id, session: id })
  })

  it('GET is 405 where the handler has no stream, and costs no call', async () => {
    const before = (await callsIn()).length
    const headers = { authorization: `Bearer ${token}`, accept: 'text/event-stream' }
    expect((await mcpApp(database.sql).request('/mcp', { headers })).status).toBe(405)
    expect((await callsIn()).length).toBe(before)
  })
})

describe('a caller without a token, where none is required', () => {
  it('has sessions in both eras, of nobody', async () => {
    const opened = await open().request('/mcp', post(initialize(), {}))
    const session = opened.headers.get('mcp-session-id')!
    expect((await open().request('/mcp', post(callTool('old'), { session }))).status).toBe(200)
    const { body, headers } = modern(callTool('new'))
    expect((await open().request('/mcp', post(body, { headers }))).status).toBe(200)
    const nobody = { status: 'success', user_id: null, user_email: null }
    expect(await anonymous()).toEqual([
      { ...nobody, tool_name: 'old', era: '2025-11-25' },
      { ...nobody, tool_name: 'new', era: '2026-07-28' },
    ])
  })

  it("cannot use a user's session, nor a user the session of nobody", async () => {
    expect((await open().request('/mcp', post(callTool('x'), { session: id }))).status).toBe(404)
    const opened = await open().request('/mcp', post(initialize(), {}))
    const session = opened.headers.get('mcp-session-id')!
    expect((await open().request('/mcp', post(callTool('x'), { token, session }))).status).toBe(404)
  })

  it('is refused with a bad token all the same', async () => {
    expect((await open().request('/mcp', post(initialize(), { token: 'bad' }))).status).toBe(401)
  })
})

const program = () => tokenFor('Cron', { sub: undefined, role: 'service_role' })

describe('programs and anonymous callers, who are no users', () => {
  it('keep their sessions apart', async () => {
    const app = mcpApp(database.sql, { required: false })
    const opened = await app.request('/mcp', post(initialize(), { token: await program() }))
    const session = opened.headers.get('mcp-session-id')!
    const call = callTool('echo', { text: 'x' })
    expect((await app.request('/mcp', post(call, { session }))).status).toBe(404)
    expect(
      (await app.request('/mcp', { method: 'DELETE', headers: { 'mcp-session-id': session } })).status,
    ).toBe(404)
    expect((await app.request('/mcp', post(call, { token: await program(), session }))).status).toBe(200)

    const anonymous = (await app.request('/mcp', post(initialize(), {}))).headers.get('mcp-session-id')!
    const taken = await app.request('/mcp', post(call, { token: await program(), session: anonymous }))
    expect(taken.status).toBe(404)
    expect((await app.request('/mcp', post(call, { session: anonymous }))).status).toBe(200)
  })

  it('have derived sessions of their own', async () => {
    const app = mcpApp(database.sql, { required: false })
    const { body, headers } = modern(callTool('echo', { text: 'x' }), { name: 'nightly', version: '1' })
    await (await app.request('/mcp', post(body, { headers }))).text()
    await (await app.request('/mcp', post(body, { token: await program(), headers }))).text()
    const sessions = await database.sql`
      select from archon_mcp_sessions where client_name = 'nightly' and user_id is null`
    expect(sessions).toHaveLength(2)
  })
})
