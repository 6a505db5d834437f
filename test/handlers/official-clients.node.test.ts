import {
  Client as ClientV2,
  StreamableHTTPClientTransport as TransportV2,
} from '@modelcontextprotocol/client'
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js'
import { Hono } from 'hono'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { proxyMcp } from '../../src/mcp/proxy.ts'
import type { McpVariables } from '../../src/variables.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, tokenFor } from '../support/mcp.ts'
import { serveHere } from '../support/serve.ts'
import type { HandlerContext } from './by-hand.ts'
import { type Kind, KINDS } from './kinds.ts'
import { makeGate } from './tools.ts'

/** What the tests do with a client, whichever it is. */
interface OfficialClient {
  call(name: string): Promise<unknown>
  /** Waits for progress, calls back, and then for the result. */
  callWithProgress(name: string, onProgress: () => void): Promise<unknown>
  /** Listens for what the server pushes, where that is not done by itself. */
  listen(): Promise<void>
  /** Ends its session, where it has one, and itself. */
  end(): Promise<void>
}
type Connect = (url: URL, token: string, onToolsChanged: () => void) => Promise<OfficialClient>

const INFO = { name: 'Claude Code', version: '1.0.0' }
const request = (token: string) => ({ requestInit: { headers: { authorization: `Bearer ${token}` } } })

const connectV1: Connect = async (url, token, onToolsChanged) => {
  const client = new ClientV1(INFO)
  client.setNotificationHandler(ToolListChangedNotificationSchema, onToolsChanged)
  const transport = new TransportV1(url, request(token))
  await client.connect(transport)
  return {
    call: (name) => client.callTool({ name }),
    callWithProgress: (name, onprogress) => client.callTool({ name }, undefined, { onprogress }),
    listen: () => Promise.resolve(),
    async end() {
      await transport.terminateSession()
      await client.close()
    },
  }
}

const connectV2 =
  (mode: 'legacy' | 'auto'): Connect =>
  async (url, token, onToolsChanged) => {
    const client = new ClientV2(INFO, { versionNegotiation: { mode } })
    client.setNotificationHandler('notifications/tools/list_changed', onToolsChanged)
    const transport = new TransportV2(url, request(token))
    await client.connect(transport)
    return {
      call: (name) => client.callTool({ name }),
      callWithProgress: (name, onprogress) => client.callTool({ name }, { onprogress }),
      async listen() {
        if (mode === 'auto') await client.listen({ toolsListChanged: true })
      },
      async end() {
        await transport.terminateSession()
        await client.close()
      },
    }
  }

const CLIENTS: { client: string; era: Kind['eras'][number]; connect: Connect }[] = [
  { client: 'client v1', era: '2025-11-25', connect: connectV1 },
  { client: 'client v2', era: '2025-11-25', connect: connectV2('legacy') },
  { client: 'client v2', era: '2026-07-28', connect: connectV2('auto') },
]

// Under Bun, @hono/node-server cannot copy a request as that gateway does; there Bun serves by itself.
const works = ({ name, streams }: Kind): boolean =>
  streams && !('bun' in process.versions && name.startsWith('a gateway'))

const pairs = KINDS.filter(works).flatMap((kind) =>
  CLIENTS.filter(({ era }) => kind.eras.includes(era)).map((client) => ({ ...kind, ...client })),
)

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

/** Behind the kit itself, or behind a proxy, as any server elsewhere. */
const places = ['here', 'elsewhere'] as const
const placed = pairs.flatMap((pair) => places.map((place) => ({ ...pair, place })))

it.each(placed)(
  '$client of $era works in front of $name, $place',
  async ({ mount, ids, era, connect, place }) => {
    const gate = makeGate()
    const mounted = mount(gate)
    let streams = 0
    async function handle(c: HandlerContext): Promise<Response> {
      const answer = await mounted.handle(c)
      if (c.req.method === 'GET' && answer.ok) streams += 1
      return answer
    }
    const upstream = new Hono<{ Variables: McpVariables }>().all('/tools', handle)
    await using elsewhere = await serveHere(() => upstream.fetch)
    const app = appWith(
      database.sql,
      place === 'here' ? handle : proxyMcp({ upstream: `${elsewhere.origin}/tools` }),
    )
    await using served = await serveHere(() => app.fetch)
    const user = `user-${crypto.randomUUID()}`
    let announced = 0
    const client = await connect(new URL('/mcp', served.origin), await tokenFor(user), () => (announced += 1))

    const told = JSON.stringify(await client.call('whoami'))
    // A server elsewhere is not told by the token, which stays here.
    expect(told.includes(`${user}@example.com`)).toBe(place === 'here')
    expect(await client.call('fail')).toMatchObject({ isError: true })
    // The result waits for the progress, so it would never come through anything that holds messages back.
    expect(await client.callWithProgress('wait', gate.open)).toMatchObject({ content: [{ text: 'done' }] })

    if (ids === 'adopted' || era === '2026-07-28') {
      await client.listen()
      if (era === '2025-11-25') await expect.poll(() => streams).toBe(1)
      mounted.announce()
      await expect.poll(() => announced).toBe(1)
    }
    await client.end()
    expect(mounted.sessions()).toEqual([])

    const calls = async (): Promise<unknown> => {
      const rows = await database.sql`
      select tool_name as tool, call.status, session.era, session.disconnect_reason as ended
      from archon_mcp_requests as call
      join archon_mcp_sessions as session using (session_id)
      where session.user_name = ${user} and method = 'tools/call'
      order by tool_name`
      return [...rows]
    }
    const common = { era, ended: era === '2025-11-25' ? 'client_disconnect' : null }
    await expect.poll(calls).toEqual([
      { ...common, tool: 'fail', status: 'error' },
      { ...common, tool: 'wait', status: 'success' },
      { ...common, tool: 'whoami', status: 'success' },
    ])
  },
)
