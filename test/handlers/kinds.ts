import { StreamableHTTPTransport } from '@hono/mcp'
import { WebStandardStreamableHTTPServerTransport as TransportV1 } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import {
  createMcpHandler,
  isLegacyRequest,
  WebStandardStreamableHTTPServerTransport,
} from '@modelcontextprotocol/server'
import { Hono } from 'hono'
import { serveMcp } from '../../src/mcp/serve-mcp.ts'
import type { McpVariables } from '../../src/variables.ts'
import { answerByHand, type HandlerContext } from './by-hand.ts'
import { type Gate, makeServer, makeServerV1 } from './tools.ts'

/** A handler to mount behind the kit. */
export interface Mounted {
  handle: (c: HandlerContext) => Response | Promise<Response>
  /** The ids of the sessions that it holds itself. */
  sessions: () => string[]
  /** Tells those who listen that the tools have changed. */
  announce: () => void
}

/** What stands behind the kit, and what it can do by itself. */
export interface Kind {
  name: string
  eras: ('2025-11-25' | '2026-07-28')[]
  /** Whose ids the sessions of 2025-11-25 have: ours, or those of the handler. */
  ids: 'minted' | 'adopted'
  /** Whether it sends messages before the result. */
  streams: boolean
  mount: (gate: Gate) => Mounted
}

const notFound = (): Response =>
  Response.json(
    { jsonrpc: '2.0', id: null, error: { code: -32001, message: 'Session not found' } },
    { status: 404 },
  )

/** What the transports of both SDKs and of @hono/mcp have in common. */
interface Held<T> {
  transport: T
  server: { sendToolListChanged(): void }
}
interface Hooks {
  sessionIdGenerator: () => string
  onsessioninitialized: (id: string) => void
  onsessionclosed: (id: string) => void
}

/** One transport for each session, in memory, as the examples of the SDKs show it. */
function holdSessions<T>(
  makeId: () => string,
  open: (hooks: Hooks) => Promise<Held<T>>,
  handle: (transport: T, c: HandlerContext) => Promise<Response | undefined>,
): Mounted {
  const held = new Map<string, Held<T>>()
  async function openSession(): Promise<Held<T>> {
    const opened: Held<T> = await open({
      sessionIdGenerator: makeId,
      onsessioninitialized: (id) => void held.set(id, opened),
      onsessionclosed: (id) => void held.delete(id),
    })
    return opened
  }
  return {
    async handle(c) {
      const id = c.req.header('mcp-session-id')
      const session = id === undefined ? await openSession() : held.get(id)
      return (session && (await handle(session.transport, c))) ?? notFound()
    },
    sessions: () => [...held.keys()],
    announce: () => {
      for (const { server } of held.values()) server.sendToolListChanged()
    },
  }
}

const onlyPost = (c: HandlerContext, answer: () => Promise<Response>): Response | Promise<Response> =>
  c.req.method === 'POST' ? answer() : new Response(null, { status: 405, headers: { allow: 'POST' } })

const holdsNone = { sessions: () => [], announce: () => {} }

function sessionTransport(gate: Gate): Mounted {
  const modern = createMcpHandler(() => makeServer(gate), { legacy: 'reject' })
  const legacy = holdSessions(
    () => crypto.randomUUID(),
    async (hooks) => {
      const transport = new WebStandardStreamableHTTPServerTransport(hooks)
      const server = makeServer(gate)
      await server.connect(transport)
      return { transport, server }
    },
    (transport, c) => transport.handleRequest(c.req.raw, { authInfo: c.var.auth! }),
  )
  return {
    handle: async (c) =>
      (await isLegacyRequest(c.req.raw))
        ? await legacy.handle(c)
        : await modern.fetch(c.req.raw, { authInfo: c.var.auth! }),
    sessions: legacy.sessions,
    announce: () => {
      legacy.announce()
      modern.notify.toolsChanged()
    },
  }
}

const honoSessions = (gate: Gate, options: { enableJsonResponse?: boolean }): Mounted =>
  holdSessions(
    () => crypto.randomUUID(),
    async (hooks) => {
      const transport = new StreamableHTTPTransport({ ...hooks, ...options })
      const server = makeServerV1(gate)
      await server.connect(transport)
      return { transport, server }
    },
    (transport, c) => transport.handleRequest(c),
  )

export const KINDS: Kind[] = [
  {
    name: 'createMcpHandler of SDK v2',
    eras: ['2025-11-25', '2026-07-28'],
    ids: 'minted',
    streams: true,
    mount(gate) {
      const handler = createMcpHandler(() => makeServer(gate))
      const handle = serveMcp(handler) as (c: HandlerContext) => Promise<Response>
      return { handle, sessions: () => [], announce: () => handler.notify.toolsChanged() }
    },
  },
  {
    name: 'the session transport of SDK v2',
    eras: ['2025-11-25', '2026-07-28'],
    ids: 'adopted',
    streams: true,
    mount: sessionTransport,
  },
  {
    name: 'the session transport of SDK v1',
    eras: ['2025-11-25'],
    ids: 'adopted',
    streams: true,
    mount: (gate) =>
      holdSessions(
        // No UUID: an id is any visible ASCII.
        () => `v1/${crypto.randomUUID()}!`,
        async (hooks) => {
          const transport = new TransportV1(hooks)
          const server = makeServerV1(gate)
          await server.connect(transport)
          return { transport, server }
        },
        (transport, c) => transport.handleRequest(c.req.raw, { authInfo: c.var.auth! }),
      ),
  },
  {
    name: '@hono/mcp with sessions',
    eras: ['2025-11-25'],
    ids: 'adopted',
    streams: true,
    mount: (gate) => honoSessions(gate, {}),
  },
  {
    name: '@hono/mcp with sessions, in JSON',
    eras: ['2025-11-25'],
    ids: 'adopted',
    streams: false,
    mount: (gate) => honoSessions(gate, { enableJsonResponse: true }),
  },
  {
    name: '@hono/mcp without sessions',
    eras: ['2025-11-25'],
    ids: 'minted',
    streams: true,
    mount(gate) {
      const transport = new StreamableHTTPTransport()
      const server = makeServerV1(gate)
      return {
        ...holdsNone,
        async handle(c) {
          if (!server.isConnected()) await server.connect(transport)
          return (await transport.handleRequest(c)) ?? notFound()
        },
      }
    },
  },
  {
    name: 'a handler that reads c.req.raw',
    eras: ['2025-11-25', '2026-07-28'],
    ids: 'minted',
    streams: false,
    mount: () => ({
      ...holdsNone,
      handle: (c) => onlyPost(c, async () => answerByHand(c, await c.req.raw.json())),
    }),
  },
  {
    name: 'a handler that reads c.req',
    eras: ['2025-11-25', '2026-07-28'],
    ids: 'minted',
    streams: false,
    mount: () => ({
      ...holdsNone,
      handle: (c) => onlyPost(c, async () => answerByHand(c, await c.req.json())),
    }),
  },
  {
    name: 'a gateway that sends c.req.raw on',
    eras: ['2025-11-25', '2026-07-28'],
    ids: 'adopted',
    streams: true,
    mount(gate) {
      const behind = sessionTransport(gate)
      const upstream = new Hono<{ Variables: McpVariables }>().all('/tools', (c) => behind.handle(c))
      return {
        ...behind,
        async handle(c) {
          const request = new Request('http://upstream.internal/tools', c.req.raw)
          request.headers.delete('authorization')
          request.headers.set('x-user-email', c.var.user?.email ?? '')
          request.headers.set('x-session', c.var.session?.id ?? '')
          return await upstream.fetch(request)
        },
      }
    },
  },
]
