import type { RequestId } from './json-rpc.ts'

/** The two protocol eras: with sessions on the wire, and without. */
export type Era = '2025-11-25' | '2026-07-28'

/** What a client says of itself: `params.clientInfo` of initialize, or the `_meta` of each modern request. */
export interface ClientInfo {
  name: string
  version: string | null
  /** As it was sent, whole. */
  raw: Record<string, unknown>
  capabilities: Record<string, unknown> | null
  protocolVersion: string | null
}

/** One JSON-RPC request of a message: what becomes a call. */
export interface RequestPart {
  id: RequestId
  method: string
  /** `params.name` of tools/call. The body decides, never the `Mcp-Name` header (SEP-2243). */
  tool: string | null
  /** `params.arguments` of tools/call. */
  arguments?: unknown
}

/** One POST body, read once. */
export interface McpMessage {
  era: Era
  requests: RequestPart[]
  /** The body was an array; refusals then echo every id in an array. */
  batch: boolean
  /** True when the message opens a session (2025 era). */
  initialize: boolean
  client: ClientInfo | null
  /** Size of the body as it came. */
  bytes?: number
}

/** Why a body is no MCP message; a refusal with the id of the request where it has one. */
export interface MessageFault {
  code: 'parse_error' | 'invalid_request' | 'body_too_large' | 'unsupported_media_type' | 'method_not_allowed'
  detail: string
  id: RequestId | null
}

// As archon_mcp_counts() in the database has them.
const UNCOUNTED = new Set(['initialize', 'server/discover', 'ping', 'subscriptions/listen'])

/** Whether a limit counts a request: one that a client needs to connect does not, and a subscription is no work. */
export const isCounted = (method: string): boolean => !UNCOUNTED.has(method)

/** As many as the official SDK's servers take in one POST. */
export const MAX_BATCH_SIZE = 100

// spec 2026-07-28 basic/index, the _meta table: what each request says in place of a handshake.
const PROTOCOL_VERSION_KEY = 'io.modelcontextprotocol/protocolVersion'
const CLIENT_INFO_KEY = 'io.modelcontextprotocol/clientInfo'
const CLIENT_CAPABILITIES_KEY = 'io.modelcontextprotocol/clientCapabilities'

// Revisions are dates, so their order is that of the strings.
/** Whether the `MCP-Protocol-Version` header names the era without sessions. */
export const isModern = (version: string | null): boolean =>
  version !== null && /^\d{4}-\d{2}-\d{2}$/.test(version) && version >= '2026-07-28'

type Fields = Record<string, unknown>
const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isId = (value: unknown): value is RequestId => typeof value === 'string' || Number.isSafeInteger(value)
const text = (value: unknown): string | null => (typeof value === 'string' ? value : null)

const fault = (detail: string, body?: unknown): MessageFault => ({
  code: 'invalid_request',
  detail,
  id: isObject(body) && isId(body['id']) ? body['id'] : null,
})

type Part = { kind: 'request' | 'notification' | 'response'; body: Fields }

/** JSON-RPC 2.0 sections 4 and 5, with the ids that MCP allows. */
function readPart(body: unknown): Part | MessageFault {
  if (!isObject(body)) return fault('A JSON-RPC message is an object.')
  if (body['jsonrpc'] !== '2.0') return fault('jsonrpc must be "2.0".', body)
  if (body['method'] === undefined && isId(body['id']) && ('result' in body || isObject(body['error']))) {
    return { kind: 'response', body }
  }
  if (typeof body['method'] !== 'string' || body['method'] === '') {
    return fault('method must be a string that is not empty.', body)
  }
  if (body['params'] !== undefined && !isObject(body['params']))
    return fault('params must be an object.', body)
  if (!('id' in body)) return { kind: 'notification', body }
  return isId(body['id']) ? { kind: 'request', body } : fault('id must be a string or an integer.')
}

/** `params._meta`, where the messages of 2026-07-28 say what those before said in the handshake. */
function metaOf({ params }: Fields): Fields {
  const meta = isObject(params) ? params['_meta'] : undefined
  return isObject(meta) ? meta : {}
}

function requestPart(body: Fields): RequestPart {
  const method = body['method'] as string
  const id = body['id'] as RequestId
  const params = body['params']
  if (method !== 'tools/call' || !isObject(params)) return { id, method, tool: null }
  return { id, method, tool: text(params['name']), arguments: params['arguments'] }
}

/** What is known of a client, whatever it sent. */
export function clientInfoOf(info: unknown, capabilities?: unknown, protocolVersion?: unknown): ClientInfo {
  const raw = isObject(info) ? info : {}
  return {
    name: text(raw['name']) ?? '',
    version: text(raw['version']),
    raw,
    capabilities: isObject(capabilities) ? capabilities : null,
    protocolVersion: text(protocolVersion),
  }
}

/**
 * Reads a parsed POST body.
 * @param protocolVersion the `MCP-Protocol-Version` header, which names the era where the body does not: a modern
 *   header without its envelope is the modern handler's to refuse, not a 2025 request without a session.
 * @returns the message, or why it is none. A batch belongs to the older era: 2026-07-28 has none.
 */
export function parseMessage(
  body: unknown,
  protocolVersion: string | null = null,
): McpMessage | MessageFault {
  if (Array.isArray(body)) return parseBatch(body, isModern(protocolVersion))
  const part = readPart(body)
  if ('code' in part) return part
  const params = isObject(part.body['params']) ? part.body['params'] : {}
  const meta = metaOf(part.body)
  const modern = part.kind !== 'response' && (PROTOCOL_VERSION_KEY in meta || isModern(protocolVersion))
  const initialize = !modern && part.kind === 'request' && part.body['method'] === 'initialize'
  return {
    era: modern ? '2026-07-28' : '2025-11-25',
    requests: part.kind === 'request' ? [requestPart(part.body)] : [],
    batch: false,
    initialize,
    client: modern
      ? clientInfoOf(meta[CLIENT_INFO_KEY], meta[CLIENT_CAPABILITIES_KEY], meta[PROTOCOL_VERSION_KEY])
      : initialize
        ? clientInfoOf(params['clientInfo'], params['capabilities'], params['protocolVersion'])
        : null,
  }
}

function parseBatch(body: unknown[], modern: boolean): McpMessage | MessageFault {
  if (body.length === 0) return fault('A batch must not be empty.')
  if (body.length > MAX_BATCH_SIZE) return fault(`A batch has ${MAX_BATCH_SIZE} messages at most.`)
  const requests: RequestPart[] = []
  for (const element of body) {
    const part = readPart(element)
    if ('code' in part) return { ...part, id: null }
    if (modern || PROTOCOL_VERSION_KEY in metaOf(part.body)) return fault('2026-07-28 has no batches.')
    if (part.kind === 'request') requests.push(requestPart(part.body))
  }
  if (new Set(requests.map(({ id }) => id)).size < requests.length) {
    return fault('Every request of a batch needs an id of its own.')
  }
  if (requests.some(({ method }) => method === 'initialize')) {
    return fault('initialize must not be part of a batch.')
  }
  return { era: '2025-11-25', requests, batch: true, initialize: false, client: null }
}
