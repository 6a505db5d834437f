import {
  Client as ClientV2,
  StreamableHTTPClientTransport as TransportV2,
} from '@modelcontextprotocol/client'
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { proxyMcp } from '../../src/mcp/proxy.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, tokenFor } from '../support/mcp.ts'
import { type Served, serveHere } from '../support/serve.ts'
import { startEverything, type UpstreamProcess } from '../support/upstream-process.ts'

// The reference server of the protocol's authors, as anybody starts it: SDK v1 with sessions and an event store.
let everything: UpstreamProcess
let database: TestDatabase
let served: Served

beforeAll(async () => {
  everything = await startEverything()
  database = await createTestDatabase()
  const app = appWith(database.sql, proxyMcp({ upstream: everything.url }))
  served = await serveHere(() => app.fetch)
})
afterAll(async () => {
  await served?.[Symbol.asyncDispose]()
  await everything?.[Symbol.asyncDispose]()
  await database?.[Symbol.asyncDispose]()
})

type Fetch = (url: string | URL, init?: RequestInit) => Promise<Response>

/** What the tests do with a client, whichever it is. */
interface Client {
  tools(): Promise<string[]>
  call(
    name: string,
    args?: Record<string, unknown>,
    onProgress?: () => void,
    signal?: AbortSignal,
  ): Promise<unknown>
  resources(): Promise<{ uri: string }[]>
  read(uri: string): Promise<unknown>
  end(): Promise<void>
}
type Connect = (token: string, fetch?: Fetch) => Promise<Client>

const INFO = { name: 'Cursor', version: '2.0' }
// After the tool has ended: this server forgets which stream was taken up, and sends there what is stored by then.
const reconnectionOptions = {
  initialReconnectionDelay: 700,
  maxReconnectionDelay: 700,
  reconnectionDelayGrowFactor: 1,
  maxRetries: 5,
}
const optionsWith = (token: string, fetch?: Fetch) => ({
  requestInit: { headers: { authorization: `Bearer ${token}` } },
  reconnectionOptions,
  ...(fetch === undefined ? {} : { fetch }),
})
const url = () => new URL('/mcp', served.origin)

const connectV1: Connect = async (token, fetch) => {
  const client = new ClientV1(INFO)
  const transport = new TransportV1(url(), optionsWith(token, fetch))
  await client.connect(transport)
  return {
    tools: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: (name, args = {}, onprogress, signal) =>
      client.callTool({ name, arguments: args }, undefined, {
        ...(onprogress === undefined ? {} : { onprogress }),
        ...(signal === undefined ? {} : { signal }),
      }),
    resources: async () => (await client.listResources()).resources,
    read: (uri) => client.readResource({ uri }),
    async end() {
      await transport.terminateSession()
      await client.close()
    },
  }
}

const connectV2: Connect = async (token, fetch) => {
  const client = new ClientV2(INFO)
  const transport = new TransportV2(url(), optionsWith(token, fetch))
  await client.connect(transport)
  return {
    tools: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: (name, args = {}, onprogress, signal) =>
      client.callTool(
        { name, arguments: args },
        {
          ...(onprogress === undefined ? {} : { onprogress }),
          ...(signal === undefined ? {} : { signal }),
        },
      ),
    resources: async () => (await client.listResources()).resources,
    read: (uri) => client.readResource({ uri }),
    async end() {
      await transport.terminateSession()
      await client.close()
    },
  }
}

/** What is on record of a user's calls of tools. */
const callsOf = async (user: string): Promise<unknown> => [
  ...(await database.owner`
    select call.tool_name as tool, call.status, call.error_message as error
    from archon_mcp_requests as call
    join archon_mcp_users as known using (user_id)
    where known.name = ${user} and call.tool_name is not null
    order by call.request_id`),
]

const LONG = 'trigger-long-running-operation'

/** A network that is cut once, in the middle of a stream, after the first progress was seen. */
function cutOnce(): Fetch {
  let cut = false
  return async (target, init) => {
    const response = await fetch(target, init)
    if (cut || init?.method !== 'POST' || response.body === null) return response
    const reader = response.body.getReader()
    let seen = ''
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        const { done, value } = await reader.read()
        if (done) return controller.close()
        seen += new TextDecoder().decode(value)
        controller.enqueue(value)
        if (cut || !seen.includes('notifications/progress')) return
        cut = true
        await reader.cancel()
        controller.error(new Error('the network is gone'))
      },
    })
    return new Response(body, response)
  }
}

describe.each([
  { client: 'v1', connect: connectV1 },
  { client: 'v2', connect: connectV2 },
])('server-everything behind the gateway, with client $client', ({ client: version, connect }) => {
  const user = (name: string) => `${name} ${version}`

  it('shows its tools and resources, and runs them', async () => {
    const client = await connect(await tokenFor(user('Tess')))
    expect(await client.tools()).toEqual(expect.arrayContaining(['echo', 'get-sum', LONG]))
    expect(await client.call('echo', { message: 'héllo' })).toMatchObject({
      content: [{ type: 'text', text: 'Echo: héllo' }],
    })
    const resources = await client.resources()
    expect(resources.length).toBeGreaterThan(0)
    expect(await client.read(resources[0]!.uri)).toMatchObject({ contents: [{ uri: resources[0]!.uri }] })
    await client.end()
    await expect.poll(() => callsOf(user('Tess'))).toEqual([{ tool: 'echo', status: 'success', error: null }])
  })

  it('tells its progress while it works', async () => {
    const client = await connect(await tokenFor(user('Pia')))
    let steps = 0
    const result = client.call(LONG, { duration: 0.3, steps: 3 }, () => (steps += 1))
    await expect.poll(() => steps).toBeGreaterThan(0)
    expect(await result).toMatchObject({ content: [{ text: expect.stringContaining('completed') }] })
    expect(steps).toBe(3)
    await client.end()
  })

  it('is told of a cancel', async () => {
    const client = await connect(await tokenFor(user('Cleo')))
    const abort = new AbortController()
    let steps = 0
    const call = client.call(LONG, { duration: 2, steps: 20 }, () => (steps += 1), abort.signal)
    await expect.poll(() => steps).toBeGreaterThan(0)
    abort.abort('enough')
    await expect(call).rejects.toThrow('enough')
    await client.end()
    await expect
      .poll(() => callsOf(user('Cleo')), { timeout: 5000 })
      .toMatchObject([{ tool: LONG, status: 'error' }])
  })

  it('ends its session with ours', async () => {
    const token = await tokenFor(user('Dora'))
    let session: string | null = null
    const client = await connect(token, async (target, init) => {
      const response = await fetch(target, init)
      session ??= response.headers.get('mcp-session-id')
      return response
    })
    await client.end()
    const headers = { accept: 'application/json, text/event-stream', 'content-type': 'application/json' }
    const ask = (at: string, more: Record<string, string>) =>
      fetch(at, {
        method: 'POST',
        headers: { ...headers, ...more, 'mcp-session-id': session! },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' }),
      })
    expect((await ask(url().href, { authorization: `Bearer ${token}` })).status).toBe(404)
    expect((await ask(everything.url, {})).status).toBe(400)
  })

  it('goes on where a stream was cut, and the call is on record as it ended', async () => {
    const client = await connect(await tokenFor(user('Rex')), cutOnce())
    let steps = 0
    const result = await client.call(LONG, { duration: 0.6, steps: 6 }, () => (steps += 1))
    expect(result).toMatchObject({ content: [{ text: expect.stringContaining('completed') }] })
    expect(steps).toBe(6)
    await client.end()
    await expect.poll(() => callsOf(user('Rex'))).toEqual([{ tool: LONG, status: 'success', error: null }])
  })
})
