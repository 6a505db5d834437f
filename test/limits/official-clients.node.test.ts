// What the callers of the official clients see of a limit, over HTTP.
import {
  Client as ClientV2,
  StreamableHTTPClientTransport as TransportV2,
} from '@modelcontextprotocol/client'
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { OnLimit } from '../../src/limit-answer.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { mcpApp, tokenFor } from '../support/mcp.ts'
import { putQuota } from '../support/quotas.ts'
import { serveHere, type Served } from '../support/serve.ts'

/** What the tests do with a client, whichever it is. */
interface OfficialClient {
  call(name: string): Promise<unknown>
  listTools(): Promise<unknown>
  /** What a client does beside its work, and no limit counts. */
  stayConnected(): Promise<void>
  /** Ends its session, where it has one, and itself. */
  end(): Promise<void>
}
type Connect = (url: URL, token: string) => Promise<OfficialClient>

const INFO = { name: 'Claude Code', version: '1.0.0' }
const request = (token: string) => ({ requestInit: { headers: { authorization: `Bearer ${token}` } } })

const connectV1: Connect = async (url, token) => {
  const client = new ClientV1(INFO)
  const transport = new TransportV1(url, request(token))
  await client.connect(transport)
  return {
    call: (name) => client.callTool({ name, arguments: { text: 'x' } }),
    listTools: () => client.listTools(),
    stayConnected: async () => void (await client.ping()),
    async end() {
      await transport.terminateSession()
      await client.close()
    },
  }
}

const connectV2 =
  (mode: 'legacy' | 'auto'): Connect =>
  async (url, token) => {
    const client = new ClientV2(INFO, { versionNegotiation: { mode } })
    const transport = new TransportV2(url, request(token))
    await client.connect(transport)
    return {
      call: (name) => client.callTool({ name, arguments: { text: 'x' } }),
      listTools: () => client.listTools(),
      async stayConnected() {
        if (mode === 'legacy') await client.ping()
        else await (await client.listen({ toolsListChanged: true })).close()
      },
      async end() {
        await transport.terminateSession()
        await client.close()
      },
    }
  }

const MODES: OnLimit[] = ['error', 'jsonrpc', 'tool-error']
const LIMITS = [
  { limit: 'quota', tool: 'echo', code: 42901, sentence: 'Your budget of 1 request in total is used up' },
  { limit: 'rate', tool: 'whoami', code: 42900, sentence: 'At most 1 call in 3600 seconds' },
]
const CLIENTS = [
  { client: 'client v1', era: '2025-11-25', connect: connectV1 },
  { client: 'client v2 in legacy mode', era: '2025-11-25', connect: connectV2('legacy') },
  { client: 'client v2 in auto mode', era: '2026-07-28', connect: connectV2('auto') },
]
const PAIRS = CLIENTS.flatMap((client) => LIMITS.map((limit) => ({ ...client, ...limit })))

let database: TestDatabase
/** Where nobody may call anything. */
let closed: TestDatabase
let served: Served
beforeAll(async () => {
  database = await createTestDatabase()
  await putQuota(database.sql, { scope: 'each_user', tools: ['echo'], limit: 1, window: 'total' })
  await putQuota(database.sql, { scope: 'each_user', tools: ['whoami'], limit: 1, windowSeconds: 3600 })
  closed = await createTestDatabase()
  await putQuota(closed.sql, { scope: 'each_user', limit: 0, window: 'total' })
  // A server for each mode, under the path of its name.
  served = await serveHere(() => {
    const app = new Hono()
    for (const onLimit of MODES) {
      app.route(`/${onLimit}`, mcpApp(database.sql, { onLimit }))
      app.route(`/closed/${onLimit}`, mcpApp(closed.sql, { onLimit }))
    }
    return app.fetch
  })
})
afterAll(async () => {
  await served[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
  await closed[Symbol.asyncDispose]()
})

const endpoint = (path: string) => new URL(`/${path}/mcp`, served.origin)

/** What the caller sees of the second call, which no limit has room for. */
async function secondCall(mode: OnLimit, connect: Connect, tool: string): Promise<unknown> {
  const client = await connect(endpoint(mode), await tokenFor(`user-${crypto.randomUUID()}`))
  expect(await client.call(tool)).toMatchObject({ content: [{ type: 'text' }] })
  const seen = await client.call(tool).catch((error: unknown) => error)
  await client.end()
  return seen
}

describe.each(PAIRS)('$client, past its $limit', ({ client, connect, tool, code, sentence, limit }) => {
  it('throws the HTTP status with the whole refusal, where onLimit is error', async () => {
    const error = await secondCall('error', connect, tool)
    const isV1 = client === 'client v1'
    expect(error).toMatchObject(isV1 ? { code: 429 } : { status: 429 })
    // v1 has the body in its message, v2 beside it.
    const { message, data } = error as Error & { data?: { text: string } }
    const text = isV1 ? message : data!.text
    expect(JSON.parse(text.slice(text.indexOf('{')))).toMatchObject({
      error: { code, message: expect.stringContaining(sentence), data: { kind: limit, limit: 1 } },
    })
  })

  it('throws the JSON-RPC error, where onLimit is jsonrpc', async () => {
    const error = await secondCall('jsonrpc', connect, tool)
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({
      code,
      message: expect.stringContaining(sentence),
      data: { kind: limit, limit: 1, remaining: 0 },
    })
  })

  it('returns a result that the model reads, where onLimit is tool-error', async () => {
    expect(await secondCall('tool-error', connect, tool)).toMatchObject({
      isError: true,
      content: [{ type: 'text', text: expect.stringContaining(sentence) }],
      _meta: { 'dev.mcp-user-context/refusal': { kind: limit, limit: 1, remaining: 0 } },
    })
  })
})

describe.each(CLIENTS)('$client, whose user has nothing left at all', ({ connect, era }) => {
  it.each(MODES)('connects, stays and ends, and cannot list the tools, where onLimit is %s', async (mode) => {
    const user = `user-${crypto.randomUUID()}`
    const client = await connect(endpoint(`closed/${mode}`), await tokenFor(user))
    await client.stayConnected()
    await expect(client.listTools()).rejects.toThrow(mode === 'error' ? /429/ : /budget of 0 requests/)
    await client.stayConnected()
    await client.end()
    const calls = await closed.sql`
      select distinct session.era, call.counted
      from archon_mcp_requests as call join archon_mcp_sessions as session using (session_id)
      where session.user_name = ${user}`
    // A 429 at server/discover would have made it a client of 2025.
    expect([...calls]).toEqual([{ era, counted: false }])
  })
})
