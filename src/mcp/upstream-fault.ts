import { jsonRpcError, type JsonRpcError, type RequestId } from './json-rpc.ts'

/** Why an upstream server gave no answer that can be passed on; the stable code of the error's data. */
export type UpstreamReason =
  | 'upstream_unreachable'
  | 'upstream_timeout'
  | 'upstream_redirects'
  | 'upstream_unauthorized'
  | 'upstream_refused'
  | 'upstream_invalid'
  | 'client_left'

/** What is told of it; never where the upstream server is, nor what it said. */
export interface UpstreamFault {
  reason: UpstreamReason
  /** HTTP status of the answer to the client. */
  status: number
  message: string
  headers?: Record<string, string>
}

/** JSON-RPC codes of our own, outside -32768..-32000 (spec 2026-07-28 basic/index#error-codes). */
const BAD_GATEWAY = 50_200
/** The record says timeout of a call that ends with it. */
export const GATEWAY_TIMEOUT = 50_400
const CODES: Partial<Record<number, number>> = {
  504: GATEWAY_TIMEOUT,
  499: 49_900,
  // As the official SDKs say that a session is not found.
  404: -32_001,
}

export const unreachable: UpstreamFault = {
  reason: 'upstream_unreachable',
  status: 502,
  message: 'The upstream MCP server cannot be reached',
}

/** Nobody reads it but the record. */
export const clientLeft: UpstreamFault = {
  reason: 'client_left',
  status: 499,
  message: 'cancelled: the client left before the result',
}

export const timedOut = (seconds: number): UpstreamFault => ({
  reason: 'upstream_timeout',
  status: 504,
  message: `The upstream MCP server did not answer within ${seconds} seconds`,
})

export const redirects: UpstreamFault = {
  reason: 'upstream_redirects',
  status: 502,
  message: 'The upstream MCP server redirects: give the URL that it redirects to',
}

export const unauthorized: UpstreamFault = {
  reason: 'upstream_unauthorized',
  status: 502,
  message: 'The upstream MCP server does not accept the credentials of this one',
}

export const invalid = (what: string): UpstreamFault => ({
  reason: 'upstream_invalid',
  status: 502,
  message: `The upstream MCP server ${what}`,
})

/**
 * A refusal without a JSON-RPC error in it.
 * @param named the request names a session: 404 then says that it is gone, and else that nothing is there.
 */
export function refused({ status, headers }: Response, named: boolean): UpstreamFault {
  const retryAfter = headers.get('retry-after')
  const gone = status === 404 && named
  return {
    reason: 'upstream_refused',
    // What the client did wrong is told as it is; a 404 makes clients begin a new session.
    status: status >= 500 || (status === 404 && !named) ? 502 : status,
    message: `The upstream MCP server ${gone ? 'does not know the session' : 'refused'}: HTTP ${status}`,
    ...(retryAfter === null ? {} : { headers: { 'retry-after': retryAfter } }),
  }
}

/** The error of one request. */
export const errorOf = ({ reason, status, message }: UpstreamFault, id: RequestId | null): JsonRpcError => {
  const code = CODES[status] ?? BAD_GATEWAY
  return jsonRpcError(id, code, message, { code: reason })
}

/** The answer to the client: a JSON-RPC error that echoes the id, or one for every id of a batch. */
export function faultResponse(fault: UpstreamFault, ids: RequestId | null | RequestId[]): Response {
  const body = Array.isArray(ids) ? ids.map((id) => errorOf(fault, id)) : errorOf(fault, ids)
  return Response.json(body, { status: fault.status, headers: fault.headers ?? {} })
}
