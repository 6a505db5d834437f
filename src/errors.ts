import type { Context } from 'hono'
import type { DatabaseUnavailableError } from './db/outage.ts'
import { jsonRpcError, type RequestId } from './mcp/json-rpc.ts'

/**
 * Every expected no, with its HTTP status and JSON-RPC code. Codes of our own lie outside -32768..-32000, as
 * the specification asks (2026-07-28 basic/index#error-codes); those inside are the ones the official SDK uses.
 */
const REFUSALS = {
  unauthorized: { status: 401, rpc: 40100, title: 'A bearer token is required' },
  invalid_token: { status: 401, rpc: 40101, title: 'The bearer token is not valid' },
  insufficient_scope: { status: 403, rpc: 40300, title: 'The token lacks a required scope' },
  blocked: { status: 403, rpc: 40301, title: 'This user is blocked' },
  forbidden: { status: 403, rpc: 40302, title: 'Not allowed for this role' },
  origin_not_allowed: { status: 403, rpc: -32000, title: 'Origin not allowed' },
  host_not_allowed: { status: 403, rpc: -32000, title: 'Host not allowed' },
  parse_error: { status: 400, rpc: -32700, title: 'The body is not JSON' },
  invalid_request: { status: 400, rpc: -32600, title: 'Invalid request' },
  method_not_allowed: { status: 405, rpc: 40500, title: 'Method not allowed' },
  body_too_large: { status: 413, rpc: 41300, title: 'The body is too large' },
  unsupported_media_type: { status: 415, rpc: 41500, title: 'Unsupported media type' },
  session_required: { status: 400, rpc: -32000, title: 'Mcp-Session-Id header is required' },
  session_not_found: { status: 404, rpc: -32001, title: 'Session not found' },
  not_found: { status: 404, rpc: 40400, title: 'Not found' },
  conflict: { status: 409, rpc: 40900, title: 'In conflict with what is there' },
  rate_limited: { status: 429, rpc: 42900, title: 'Too many calls' },
  too_many_calls: { status: 429, rpc: 42900, title: 'Too many calls at once' },
  quota_exceeded: { status: 429, rpc: 42901, title: 'A quota is used up' },
  token_in_query: { status: 400, rpc: 40001, title: 'A token in the address' },
  uri_too_long: { status: 414, rpc: 41400, title: 'The address is too long' },
  headers_too_large: { status: 431, rpc: 43100, title: 'The headers are too large' },
  abuse_cap: { status: 503, rpc: 50302, title: 'Far too many requests' },
  auth_unavailable: { status: 503, rpc: 50300, title: 'Tokens cannot be verified right now' },
  database_unavailable: { status: 503, rpc: 50301, title: 'The database is out of reach right now' },
  took_too_long: { status: 503, rpc: 50303, title: 'This takes too long' },
  internal: { status: 500, rpc: -32603, title: 'Internal error' },
} as const satisfies Record<string, { status: number; rpc: number; title: string }>

/** The stable code of a refusal: part of the surface, never renamed. */
export type RefusalCode = keyof typeof REFUSALS

/** All of them. */
export const REFUSAL_CODES = Object.keys(REFUSALS) as [RefusalCode, ...RefusalCode[]]

/** The HTTP status of a refusal. */
export const refusalStatus = (code: RefusalCode): number => REFUSALS[code].status

/** An expected no: data until the edge of the kit turns it into a response. */
export interface Refusal {
  code: RefusalCode
  /** One sentence for people; never a token, a secret or another user's data. */
  detail?: string | undefined
  /** Sent as `Retry-After`. */
  retryAfterSeconds?: number | undefined
  /** For programs: told beside the code, as the `data` of a JSON-RPC error or as members of problem details. */
  data?: Record<string, unknown> | undefined
  /** Further response headers, such as `WWW-Authenticate`. */
  headers?: Record<string, string> | undefined
}

const headersOf = (refusal: Refusal, contentType: string): Record<string, string> => ({
  'content-type': contentType,
  'cache-control': 'no-store',
  ...(refusal.retryAfterSeconds === undefined
    ? {}
    : { 'retry-after': String(Math.ceil(refusal.retryAfterSeconds)) }),
  ...(refusal.code === 'method_not_allowed' ? { allow: 'POST, GET, DELETE' } : {}),
  ...refusal.headers,
})

/** A refusal as the `error` of a JSON-RPC response. */
export function rpcErrorOf(refusal: Refusal): {
  code: number
  message: string
  data: Record<string, unknown>
} {
  const { rpc, title } = REFUSALS[refusal.code]
  const { retryAfterSeconds } = refusal
  const retry = retryAfterSeconds === undefined ? {} : { retry_after_ms: Math.ceil(retryAfterSeconds * 1000) }
  return {
    code: rpc,
    message: refusal.detail ?? title,
    data: { code: refusal.code, ...refusal.data, ...retry },
  }
}

/**
 * A refusal on the MCP endpoint: a JSON-RPC error that echoes the id of the request, or of every request of a batch.
 * @param ids one id (null when it is not known), or an array of them for a batch.
 */
export function mcpRefusal(refusal: Refusal, ids: RequestId | null | RequestId[] = null): Response {
  const { code, message, data } = rpcErrorOf(refusal)
  const body = Array.isArray(ids)
    ? ids.map((id) => jsonRpcError(id, code, message, data))
    : jsonRpcError(ids, code, message, data)
  const { status } = REFUSALS[refusal.code]
  return new Response(JSON.stringify(body), { status, headers: headersOf(refusal, 'application/json') })
}

/**
 * A refusal anywhere else: RFC 9457 problem details with the stable `code` and a `request_id` to quote in a report.
 * @param extra further members, such as the faults of a body.
 * @param requestId one under which the log has more; `requestId` (src/request-id.ts) puts its own in place of any other.
 */
export function problem(
  refusal: Refusal,
  extra: Record<string, unknown> = {},
  requestId: string = crypto.randomUUID(),
): Response {
  const { status, title } = REFUSALS[refusal.code]
  const body = {
    type: 'about:blank',
    title,
    status,
    ...(refusal.detail === undefined ? {} : { detail: refusal.detail }),
    code: refusal.code,
    request_id: requestId,
    ...refusal.data,
    ...extra,
  }
  return new Response(JSON.stringify(body), {
    status,
    headers: headersOf(refusal, 'application/problem+json'),
  })
}

/** The refusal for a database that stayed out of reach. */
export const databaseUnavailable = ({ retryAfterSeconds }: DatabaseUnavailableError): Refusal => ({
  code: 'database_unavailable',
  retryAfterSeconds,
})

/** Puts a response in place of the handler's: assigned over a finished one, it would inherit the old headers. */
export function replaceResponse(c: Context, response: Response): void {
  c.res = undefined
  c.res = response
}

/** Fields that are lists: each limit adds an item. */
const LISTS = new Set(['ratelimit', 'ratelimit-policy'])

/** Adds headers to the handler's response, which may be one whose headers cannot be written. */
export function addHeaders(c: Context, headers: Record<string, string>): void {
  for (const [name, value] of Object.entries(headers)) {
    const known = LISTS.has(name) ? c.res.headers.get(name) : null
    // What a middleware within says of its own limit stays.
    c.header(name, known === null ? value : `${value}, ${known}`)
  }
}

/** What is wrong with an option that counts something (seconds, bytes); nothing where it is left out. */
export const countFaults = (options: Readonly<Record<string, unknown>>): string[] =>
  Object.entries(options)
    .filter(([, value]) => value !== undefined)
    .filter(([, value]) => !(Number.isSafeInteger(value) && Number(value) > 0 && Number(value) < 2 ** 31))
    .map(([name, value]) => `${name} must be a positive integer, got ${String(value)}`)

/** @throws TypeError naming every fault of the options of `what`. */
export function refuseFaults(what: string, faults: string[]): void {
  if (faults.length > 0) throw new TypeError(`${what}: ${faults.join('; ')}`)
}

/** What is wrong with the `sql` option: a client is a function too. */
export const sqlFaults = (sql: unknown): string[] =>
  typeof sql === 'function' ? [] : ['sql must be a postgres.js client, or a function that gives one']
