// Tools of 2026 may ask for input before they answer (SEP-2322): the same call again, and one request in all.
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { identityIds } from '../../src/auth/user-id.ts'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { serveMcp } from '../../src/mcp/serve-mcp.ts'
import { registerRoundTools, verifyState } from '../conformance/round-tools.ts'
import { resultOf } from '../handlers/answers.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, ISSUER, modern, post, tokenFor } from '../support/mcp.ts'
import { budgetsOf, differences, putQuota } from '../support/quotas.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

const TOOL = 'test_input_required_result_elicitation'
const CAPABILITIES = { 'io.modelcontextprotocol/clientCapabilities': { elicitation: { form: {} } } }

/** Sends the call of a user to a server that answers so, and gives the result. */
async function clientOf(user: string, responseMode: 'auto' | 'sse') {
  const handler = createMcpHandler(
    () => {
      const server = new McpServer(
        { name: 'rounds', version: '1' },
        { requestState: { verify: verifyState } },
      )
      registerRoundTools(server)
      return server
    },
    { responseMode },
  )
  const serve = serveMcp(handler)
  const app = appWith(database.sql, (c, next) => {
    c.var.usage!.add({ promptTokens: 10 })
    return serve(c, next)
  })
  const token = await tokenFor(user)
  return async (more: Record<string, unknown>): Promise<unknown> => {
    const { body, headers } = modern(callTool(TOOL))
    const params = { ...body.params, ...more, _meta: { ...body.params._meta, ...CAPABILITIES } }
    const response = await app.request('/mcp', post({ ...body, params }, { token, headers }))
    const result = await resultOf(response)
    await ledgerOf(database.sql).drained()
    return result
  }
}

it.each(['auto', 'sse'] as const)(
  'a round that asks costs no request, the answer one, where answers are %s',
  async (mode) => {
    const user = `Asked by ${mode}`
    const budget = {
      scope: 'user',
      subject: (await identityIds(ISSUER, user.toLowerCase())).firstId,
    } as const
    const requests = await putQuota(database.sql, { ...budget, limit: 1, window: 'total' })
    const tokens = await putQuota(database.sql, { ...budget, metric: 'tokens', limit: 100, window: 'total' })
    const call = await clientOf(user, mode)

    expect(await call({})).toMatchObject({ resultType: 'input_required' })
    expect(await budgetsOf(database.sql, requests)).toMatchObject([{ used: '0', held: '0' }])
    const inputResponses = { user_name: { action: 'accept', content: { name: 'Ada' } } }
    expect(await call({ inputResponses })).toMatchObject({ content: [{ text: 'Hello, Ada!' }] })
    expect(await budgetsOf(database.sql, requests)).toMatchObject([{ used: '1', held: '0' }])
    // What a round uses is paid for all the same.
    expect(await budgetsOf(database.sql, tokens)).toMatchObject([{ used: '20', held: '0' }])
    expect(await differences(database.sql)).toEqual([])

    const rows = await database.sql`
    select status, counted, total_tokens as tokens
    from archon_mcp_requests join archon_mcp_users as u using (user_id)
    where u.name = ${user} order by timestamp`
    expect([...rows]).toEqual([
      { status: 'success', counted: false, tokens: 10 },
      { status: 'success', counted: true, tokens: 10 },
    ])
  },
)
