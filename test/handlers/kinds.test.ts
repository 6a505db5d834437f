import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { sessionIdOfWire } from '../../src/sessions/wire-id.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, initialize, mcpHeaders, modern, post, tokenFor } from '../support/mcp.ts'
import { messagesOf, readEvents, resultOf } from './answers.ts'
import { KINDS } from './kinds.ts'
import { makeGate, progressOf } from './tools.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

// One user for each test: all of them share the database.
const newUser = async (): Promise<{ token: string; email: string }> => {
  const subject = `user-${crypto.randomUUID()}`
  return { token: await tokenFor(subject), email: `${subject}@example.com` }
}

/** The calls of a user, by method and tool: within a millisecond they have no order. */
const callsOf = async (email: string) => {
  await ledgerOf(database.sql).drained()
  const rows = await database.sql`
    select call.method, call.tool_name as tool, call.status, call.error_message as error,
           call.session_id as session, session.era
    from archon_mcp_requests as call
    join archon_mcp_sessions as session using (session_id)
    where session.user_email = ${email}
    order by call.method, call.tool_name desc`
  return [...rows]
}

describe.each(KINDS)('in front of $name', ({ eras, ids, streams, mount }) => {
  /** A mounted handler, and how often it was asked. */
  function start() {
    const gate = makeGate()
    const mounted = mount(gate)
    let asked = 0
    const app = appWith(database.sql, (c) => {
      asked += 1
      return mounted.handle(c)
    })
    return { ...mounted, gate, app, asked: () => asked }
  }
  type Started = ReturnType<typeof start>

  const send = (app: Started['app'], body: unknown, call: Parameters<typeof post>[1]) =>
    app.request('/mcp', post(body, call))

  /** Opens a session as clients of 2025-11-25 do. */
  async function open({ app }: Started, token: string): Promise<string> {
    const opened = await send(app, initialize(), { token })
    expect(opened.status).toBe(200)
    expect(await resultOf(opened)).toMatchObject({ serverInfo: { name: 'tools' } })
    const session = opened.headers.get('mcp-session-id')!
    const initialized = await send(
      app,
      { jsonrpc: '2.0', method: 'notifications/initialized' },
      { token, session },
    )
    expect(initialized.status).toBe(202)
    return session
  }

  /** Calls a tool in an era: in the session given, or as one that says of itself who it is. */
  async function call({ app }: Started, tool: ReturnType<typeof callTool>, token: string, session?: string) {
    if (session !== undefined) return await send(app, tool, { token, session })
    const { body, headers } = modern(tool)
    return await send(app, body, { token, headers })
  }

  it.each(eras)('tells the tool its user and session, and records every call, in %s', async (era) => {
    const started = start()
    const { token, email } = await newUser()
    const wire = era === '2025-11-25' ? await open(started, token) : undefined
    const whoami = await resultOf(await call(started, callTool('whoami'), token, wire))
    await messagesOf(await call(started, callTool('fail'), token, wire))

    const calls = await callsOf(email)
    const session = calls[0]!['session'] as string
    if (wire !== undefined) expect(session).toBe(await sessionIdOfWire(wire))
    expect(JSON.parse((whoami as { content: [{ text: string }] }).content[0].text)).toEqual({
      email,
      session,
    })
    const own = { session, era }
    expect(calls).toEqual([
      ...(wire === undefined
        ? []
        : [{ ...own, method: 'initialize', tool: null, status: 'success', error: null }]),
      { ...own, method: 'tools/call', tool: 'whoami', status: 'success', error: null },
      { ...own, method: 'tools/call', tool: 'fail', status: 'error', error: 'it failed' },
    ])
    expect(started.sessions()).toEqual(ids === 'adopted' && wire !== undefined ? [wire] : [])
  })

  it('keeps a session from everybody but its user, and never asks the handler', async () => {
    const started = start()
    const { token } = await newUser()
    const session = await open(started, token)
    const asked = started.asked()
    const mallory = (await newUser()).token
    const answers = []
    for (const named of [session, crypto.randomUUID()]) {
      const get = { headers: mcpHeaders({ token: mallory, session: named }) }
      const refused = [
        await call(started, callTool('whoami'), mallory, named),
        await started.app.request('/mcp', get),
        await started.app.request('/mcp', { ...get, method: 'DELETE' }),
      ]
      answers.push(await Promise.all(refused.map(async (answer) => [answer.status, await answer.text()])))
    }
    expect(answers[0]).toEqual(answers[1])
    expect(answers[0]!.map(([status]) => status)).toEqual([404, 404, 404])
    expect(started.asked()).toBe(asked)
    expect(await resultOf(await call(started, callTool('whoami'), token, session))).toBeDefined()
  })

  it('opens a session of its own for whoever says somebody else’s in the handshake', async () => {
    const started = start()
    const session = await open(started, (await newUser()).token)
    const mallory = (await newUser()).token
    const opened = await send(started.app, initialize(), { token: mallory, session })
    await opened.text()
    expect(opened.status).toBe(200)
    expect(opened.headers.get('mcp-session-id')).not.toBe(session)
  })

  it('ends the session, and that of the handler, when the client says so', async () => {
    const started = start()
    const { token } = await newUser()
    const session = await open(started, token)
    const headers = mcpHeaders({ token, session })
    const ended = await started.app.request('/mcp', { method: 'DELETE', headers })
    expect(ended.status).toBe(200)
    expect(started.sessions()).toEqual([])
    const after = await call(started, callTool('whoami'), token, session)
    expect(after.status).toBe(404)
    const rows = await database.sql`
      select status, disconnect_reason from archon_mcp_sessions
      where session_id = ${await sessionIdOfWire(session)}`
    expect([...rows]).toEqual([{ status: 'disconnected', disconnect_reason: 'client_disconnect' }])
  })

  it('records each call of a batch with its own outcome', async () => {
    const started = start()
    const { token, email } = await newUser()
    const session = await open(started, token)
    const batch = [
      callTool('whoami', {}, 'a'),
      { jsonrpc: '2.0', method: 'notifications/roots/list_changed' },
      callTool('fail', {}, 'b'),
      { jsonrpc: '2.0', id: 'c', method: 'no/such/method' },
    ]
    const answers = await messagesOf(await send(started.app, batch, { token, session }))
    expect(new Set(answers.map(({ id }) => id))).toEqual(new Set(['a', 'b', 'c']))
    const [, ...calls] = await callsOf(email)
    expect(calls.map(({ tool, status, error }) => ({ tool, status, error }))).toEqual([
      { tool: null, status: 'error', error: '-32601: Method not found' },
      { tool: 'whoami', status: 'success', error: null },
      { tool: 'fail', status: 'error', error: 'it failed' },
    ])
  })

  it.each(streams ? eras : [])('passes progress on before the result is there, in %s', async (era) => {
    const started = start()
    const { token, email } = await newUser()
    const session = era === '2025-11-25' ? await open(started, token) : undefined
    const wait = callTool('wait')
    const _meta = { progressToken: 'p' }
    const { body, headers } = modern(wait)
    const answer =
      session === undefined
        ? await send(
            started.app,
            { ...body, params: { ...body.params, _meta: { ...body.params._meta, ..._meta } } },
            { token, headers },
          )
        : await send(started.app, { ...wait, params: { ...wait.params, _meta } }, { token, session })
    const events = readEvents(answer)
    expect((await events.next()).value).toMatchObject(progressOf('p'))
    started.gate.open()
    expect((await events.next()).value).toMatchObject({ id: 1, result: { content: [{ text: 'done' }] } })
    expect((await events.next()).done).toBe(true)
    expect((await callsOf(email)).at(-1)).toMatchObject({ tool: 'wait', status: 'success' })
  })

  if (ids !== 'adopted') return

  it('passes on what the handler pushes on the stream of GET', async () => {
    const started = start()
    const { token, email } = await newUser()
    const session = await open(started, token)
    const stream = await started.app.request('/mcp', { headers: mcpHeaders({ token, session }) })
    expect(stream.status).toBe(200)
    const events = readEvents(stream)
    const first = events.next()
    started.announce()
    expect((await first).value).toMatchObject({ method: 'notifications/tools/list_changed' })

    const ended = await started.app.request('/mcp', {
      method: 'DELETE',
      headers: mcpHeaders({ token, session }),
    })
    expect(ended.status).toBe(200)
    expect((await events.next()).done).toBe(true)
    expect((await callsOf(email)).map(({ method }) => method as string)).toEqual(['initialize'])
  })

  it('passes on that the handler has lost the session, and records it', async () => {
    const { token, email } = await newUser()
    const session = await open(start(), token)
    const restarted = start()
    const lost = await call(restarted, callTool('whoami'), token, session)
    expect(lost.status).toBe(404)
    await lost.text()
    expect(restarted.asked()).toBe(1)
    expect((await callsOf(email)).at(-1)).toMatchObject({ tool: 'whoami', status: 'error' })
  })
})
