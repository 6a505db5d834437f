import { afterAll, beforeAll, expect, it } from 'vitest'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callTool, initialize, mcpApp, modern, post, tokenFor } from '../support/mcp.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

it('knows a 2025 client by its session and records each call', async () => {
  const app = mcpApp(database.sql)
  const token = await tokenFor('Alice')
  const opened = await app.request('/mcp', post(initialize(), { token }))
  expect(opened.status).toBe(200)
  await opened.text()
  const session = opened.headers.get('mcp-session-id')!
  const called = await app.request('/mcp', post(callTool('whoami'), { token, session }))
  expect(called.status).toBe(200)
  const text = await called.text()
  expect(text).toContain('alice@example.com')
  const failed = await app.request('/mcp', post(callTool('fail'), { token, session }))
  await failed.text()
  await ledgerOf(database.sql).drained()
  const rows = await database.sql`
    select method, tool_name, status, error_message, session_id, kind, client_type from archon_mcp_requests order by request_id`
  expect(rows).toMatchObject([
    { method: 'initialize', status: 'success', session_id: session, kind: 'mcp' },
    {
      method: 'tools/call',
      tool_name: 'whoami',
      status: 'success',
      session_id: session,
      client_type: 'Claude',
    },
    { method: 'tools/call', tool_name: 'fail', status: 'error', error_message: 'it failed' },
  ])
  const unknown = await app.request('/mcp', post(callTool('echo'), { token, session: crypto.randomUUID() }))
  const foreign = await app.request(
    '/mcp',
    post(callTool('echo'), { token: await tokenFor('Mallory'), session }),
  )
  expect(unknown.status).toBe(404)
  expect(foreign.status).toBe(404)
  expect(await foreign.text()).toBe(await unknown.text())
  expect([...foreign.headers]).toEqual([...unknown.headers])
})

it('derives a session for a 2026 client', async () => {
  const app = mcpApp(database.sql)
  const token = await tokenFor('Bob')
  const { body, headers } = modern(callTool('whoami'))
  const called = await app.request('/mcp', post(body, { token, headers }))
  expect(await called.json()).toMatchObject({ result: { content: [{ type: 'text' }] } })
  expect(called.headers.get('mcp-session-id')).toBeNull()
  await ledgerOf(database.sql).drained()
  const rows =
    await database.sql`select client_type, era, user_email from archon_mcp_sessions where user_email = 'bob@example.com'`
  expect(rows).toMatchObject([{ client_type: 'Cursor', era: '2026-07-28' }])
})
