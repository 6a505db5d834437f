import {
  createMcpHandler,
  type EventStore,
  isLegacyRequest,
  WebStandardStreamableHTTPServerTransport,
} from '@modelcontextprotocol/server'
import type { McpHandler } from '../../src/mcp/serve-mcp.ts'
import { conformanceServers } from './server.ts'

const PREFIX = 'event-'
const idOf = (index: number): string => `${PREFIX}${index}`
const indexOf = (id: string): number => Number(id.slice(PREFIX.length))

/** Keeps every message of a session, so that a client that lost its stream can ask for the rest. */
function memoryEventStore(): EventStore {
  const events: { stream: string; message: Parameters<EventStore['storeEvent']>[1] }[] = []
  return {
    storeEvent: (stream, message) => Promise.resolve(idOf(events.push({ stream, message }) - 1)),
    async replayEventsAfter(lastEventId, { send }) {
      const last = indexOf(lastEventId)
      const stream = events[last]?.stream ?? ''
      for (const [index, event] of events.entries()) {
        if (index > last && event.stream === stream) await send(idOf(index), event.message)
      }
      return stream
    },
    getStreamIdForEventId: (id) => Promise.resolve(events[indexOf(id)]?.stream),
  }
}

const notFound = (): Response =>
  Response.json(
    { jsonrpc: '2.0', id: null, error: { code: -32001, message: 'Session not found' } },
    { status: 404 },
  )

/** Both eras, that of 2025-11-25 with the official transport, which holds its sessions and streams in memory. */
export function sessionHandler(): McpHandler {
  const { bus, makeServer } = conformanceServers()
  const modern = createMcpHandler(makeServer, { bus, legacy: 'reject' })
  const transports = new Map<string, WebStandardStreamableHTTPServerTransport>()

  async function openTransport(): Promise<WebStandardStreamableHTTPServerTransport> {
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => crypto.randomUUID(),
      onsessioninitialized: (id) => void transports.set(id, transport),
      onsessionclosed: (id) => void transports.delete(id),
      eventStore: memoryEventStore(),
      retryInterval: 100,
    })
    await makeServer().connect(transport)
    return transport
  }

  return {
    async fetch(request, options = {}) {
      if (!(await isLegacyRequest(request, options.parsedBody))) return await modern.fetch(request, options)
      const id = request.headers.get('mcp-session-id')
      const transport = id === null ? await openTransport() : transports.get(id)
      return (await transport?.handleRequest(request, options)) ?? notFound()
    },
  }
}
