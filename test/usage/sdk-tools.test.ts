// Tools of the official SDKs find the reporter where the SDKs hand them their caller.
import { McpServer as McpServerV1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server'
import type { Handler } from 'hono'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { serveMcp } from '../../src/mcp/serve-mcp.ts'
import type { AuthInfo, McpVariables } from '../../src/variables.ts'
import { resultOf } from '../handlers/answers.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, initialize, post, tokenFor } from '../support/mcp.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

const INFO = { name: 'tools', version: '1.0.0' }

/** A tool that says what it used of two models, and answers. */
function summarize(extra: Record<string, unknown> | undefined) {
  const { usage } = extra as AuthInfo['extra']
  usage!.add({ model: 'small', promptTokens: 100, completionTokens: 20 })
  usage!.add({ model: 'large', cost: '0.03' })
  return { content: [{ type: 'text' as const, text: 'in short' }] }
}

const v2 = (): Handler => {
  const handler = createMcpHandler(() => {
    const server = new McpServer(INFO)
    server.registerTool('summarize_v2', {}, ({ http }) => summarize(http?.authInfo?.extra))
    return server
  })
  return serveMcp(handler)
}

const v1 = (): Handler<{ Variables: McpVariables }> => async (c) => {
  const server = new McpServerV1(INFO)
  server.registerTool('summarize_v1', {}, ({ authInfo }) => summarize(authInfo?.extra))
  const transport = new WebStandardStreamableHTTPServerTransport({})
  await server.connect(transport)
  return await transport.handleRequest(c.req.raw, { authInfo: c.var.auth! })
}

it.each([
  ['v1', v1],
  ['v2', v2],
])('SDK %s', async (sdk, makeHandler) => {
  const app = appWith(database.sql, makeHandler())
  const token = await tokenFor('Alice')
  const opened = await app.request('/mcp', post(initialize(), { token }))
  const session = opened.headers.get('mcp-session-id')!
  await opened.text()
  const response = await app.request('/mcp', post(callTool(`summarize_${sdk}`), { token, session }))
  expect(await resultOf(response)).toMatchObject({ content: [{ text: 'in short' }] })
  await ledgerOf(database.sql).drained()
  const rows = await database.sql`
    select total_tokens as tokens, trim_scale(cost)::text as cost
    from archon_mcp_requests where tool_name = ${`summarize_${sdk}`}`
  expect([...rows]).toEqual([{ tokens: 120, cost: '0.03' }])
})
