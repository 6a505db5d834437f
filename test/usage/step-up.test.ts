// A tool that wants a scope which the token lacks answers 403 with a challenge (spec 2026-07-28 basic/authorization,
// "Step-Up Authorization Flow"); the client asks its user and comes again with the same call.
import { createMcpHandler, McpServer, requireScopes } from '@modelcontextprotocol/server'
import { Hono } from 'hono'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { identityIds } from '../../src/auth/user-id.ts'
import { userContext } from '../../src/auth/user-context.ts'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { serveMcp } from '../../src/mcp/serve-mcp.ts'
import { quota } from '../../src/quota.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import {
  appWith,
  callTool,
  initialize,
  ISSUER,
  modern,
  optionsFor,
  post,
  RESOURCE,
  tokenFor,
} from '../support/mcp.ts'
import { budgetsOf, differences, putQuota } from '../support/quotas.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

const CHALLENGE =
  'Bearer error="insufficient_scope", error_description="Insufficient scope", scope="files:write", resource_metadata="http://127.0.0.1:8787/.well-known/oauth-protected-resource/mcp"'

const server = (): McpServer => {
  const server = new McpServer({ name: 'files', version: '1' })
  server.registerTool('write', { scopeChallenge: requireScopes('files:write') }, () => ({
    content: [{ type: 'text', text: 'written' }],
  }))
  return server
}

const budgetOf = async (user: string) =>
  await putQuota(database.sql, {
    scope: 'user',
    subject: (await identityIds(ISSUER, user.toLowerCase())).firstId,
    limit: 1,
    window: 'total',
  })

const callsOf = async (user: string): Promise<unknown[]> => [
  ...(await database.sql`
    select call.status, error_message as error, counted, total_tokens as tokens
    from archon_mcp_requests as call join archon_mcp_users as u using (user_id)
    where u.name = ${user} and call.method <> 'initialize'
    order by timestamp`),
]

it.each(['2025-11-25', '2026-07-28'])(
  'a call whose token lacks a scope costs no request; the one after the step-up does (%s)',
  async (era) => {
    const user = `Stepping up in ${era}`
    const budget = await budgetOf(user)
    const app = appWith(database.sql, serveMcp(createMcpHandler(server)))
    const call = async (scope: string): Promise<Response> => {
      const token = await tokenFor(user, { scope })
      if (era === '2026-07-28') {
        const { body, headers } = modern(callTool('write'))
        return await app.request('/mcp', post(body, { token, headers }))
      }
      const opened = await app.request('/mcp', post(initialize(), { token }))
      const session = opened.headers.get('mcp-session-id')!
      return await app.request('/mcp', post(callTool('write'), { token, session }))
    }

    const refused = await call('files:read')
    expect(refused.status).toBe(403)
    expect(refused.headers.get('www-authenticate')).toBe(CHALLENGE)
    await refused.text()
    await ledgerOf(database.sql).drained()
    expect(await budgetsOf(database.sql, budget)).toMatchObject([{ used: '0', held: '0' }])

    expect(await (await call('files:read files:write')).text()).toContain('written')
    await ledgerOf(database.sql).drained()
    expect(await budgetsOf(database.sql, budget)).toMatchObject([{ used: '1', held: '0' }])
    expect(await callsOf(user)).toMatchObject([
      { status: 'error', error: 'insufficient_scope', counted: false, tokens: 0 },
      { status: 'success', error: null, counted: true },
    ])
    expect(await differences(database.sql)).toEqual([])
  },
)

it('so it is on any route', async () => {
  const user = 'Stepping up anywhere'
  const budget = await budgetOf(user)
  const app = new Hono()
    .use(userContext(optionsFor(database.sql)), quota({ sql: database.sql, kind: 'api' }))
    .get('/files', (c) =>
      c.text('no', 403, { 'www-authenticate': 'Bearer error="insufficient_scope", scope="files:write"' }),
    )
    .get('/private', (c) => c.text('no', 403))
  const headers = { authorization: `Bearer ${await tokenFor(user)}` }
  await (await app.request(new URL('/files', RESOURCE), { headers })).text()
  await ledgerOf(database.sql).drained()
  expect(await budgetsOf(database.sql, budget)).toMatchObject([{ used: '0', held: '0' }])
  // Any other no is an answer, and costs one.
  await (await app.request(new URL('/private', RESOURCE), { headers })).text()
  await ledgerOf(database.sql).drained()
  expect(await budgetsOf(database.sql, budget)).toMatchObject([{ used: '1', held: '0' }])
})
