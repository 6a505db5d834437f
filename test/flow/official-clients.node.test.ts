import {
  Client as ClientV2,
  StreamableHTTPClientTransport as TransportV2,
} from '@modelcontextprotocol/client'
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mcpApi } from '../../src/api/mcp-api.ts'
import { mcpMetadata } from '../../src/auth/mcp-metadata.ts'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { mcpUserContext } from '../../src/mcp-user-context.ts'
import { serveMcp } from '../../src/mcp/serve-mcp.ts'
import { sampleTools } from '../../src/trial/tools.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { ISSUER, SECRET, tokenFor } from '../support/mcp.ts'
import { serveHere, type Served } from '../support/serve.ts'

/** What the three clients have in common. */
interface OfficialClient {
  listTools(): Promise<{ tools: { name: string }[] }>
  callTool(params: { name: string; arguments: Record<string, unknown> }): Promise<unknown>
  close(): Promise<void>
}

const info = (name: string) => ({ name, version: '1.0.0' })
const request = (token: string) => ({ requestInit: { headers: { authorization: `Bearer ${token}` } } })

const clients: {
  name: string
  era: string
  connect: (url: URL, token: string) => Promise<OfficialClient>
}[] = [
  {
    name: 'client v2 in its default mode',
    era: '2025-11-25',
    async connect(url, token) {
      const client = new ClientV2(info('Claude Code'))
      await client.connect(new TransportV2(url, request(token)))
      return client
    },
  },
  {
    name: 'client v2 in auto mode',
    era: '2026-07-28',
    async connect(url, token) {
      const client = new ClientV2(info('Cursor'), { versionNegotiation: { mode: 'auto' } })
      await client.connect(new TransportV2(url, request(token)))
      return client
    },
  },
  {
    name: 'sdk v1',
    era: '2025-11-25',
    async connect(url, token) {
      const client = new ClientV1(info('Windsurf'))
      await client.connect(new TransportV1(url, request(token)))
      return client
    },
  },
]

describe('the official clients', () => {
  let database: TestDatabase
  let served: Served

  beforeAll(async () => {
    database = await createTestDatabase()
    served = await serveHere((origin) => {
      const resource = `${origin}/mcp`
      const options = {
        sql: database.sql,
        tokens: { secret: SECRET, issuer: ISSUER, audience: resource },
        resource,
      }
      return new Hono()
        .route('/', mcpMetadata(options))
        .route('/api/mcp', mcpApi(options))
        .all('/mcp', mcpUserContext(options), serveMcp(sampleTools)).fetch
    })
  })
  afterAll(async () => {
    await served[Symbol.asyncDispose]()
    await database[Symbol.asyncDispose]()
  })

  const url = (): URL => new URL('/mcp', served.origin)
  const token = (name: string, claims = {}) => tokenFor(name, { aud: url().href, ...claims })

  it.each(clients)('$name lists the tools and is known by name', async ({ name, era, connect }) => {
    const client = await connect(url(), await token(name))
    const { tools } = await client.listTools()
    expect(tools.map((tool) => tool.name)).toEqual(['whoami', 'echo', 'slow', 'fail', 'secret'])
    const answer = (await client.callTool({ name: 'whoami', arguments: {} })) as {
      content: [{ text: string }]
    }
    expect(JSON.parse(answer.content[0].text)).toMatchObject({ user: { name, role: 'member' } })
    await client.close()

    await ledgerOf(database.sql).drained()
    const calls = await database.sql`
      select distinct call.status, session.era
      from archon_mcp_requests as call
      join archon_mcp_sessions as session using (session_id)
      where call.tool_name = 'whoami' and session.user_name = ${name}`
    expect([...calls]).toEqual([{ status: 'success', era }])
  })

  it.each(clients)('$name shows its caller the failure of a tool', async ({ connect }) => {
    const client = await connect(url(), await token('Fay'))
    expect(await client.callTool({ name: 'fail', arguments: {} })).toMatchObject({ isError: true })
    await client.close()
  })

  it.each(clients)('$name is refused without a good token', async ({ connect }) => {
    await expect(connect(url(), 'no token')).rejects.toThrow()
  })

  it('their sessions are listed with the user', async () => {
    const headers = { authorization: `Bearer ${await token('Root', { app_metadata: { role: 'admin' } })}` }
    const response = await fetch(new URL('/api/mcp/clients', served.origin), { headers })
    const { clients: listed } = (await response.json()) as { clients: Record<string, unknown>[] }
    for (const { name } of clients) {
      const email = `${name.toLowerCase()}@example.com`
      expect(listed).toContainEqual(
        expect.objectContaining({
          user_email: email,
          user_name: name,
          user_id: expect.any(String),
          status: 'active',
        }),
      )
    }
  })
})
