import type { Context, Handler } from 'hono'
import { proxy } from 'hono/proxy'
import { jsonRpcError, type RequestId, requestIds } from './json-rpc.ts'
import type { MessageVariables } from './read-message.ts'

/** The server that `proxyMcp()` governs. */
export interface ProxyMcpOptions {
  /** URL of the MCP server to govern. */
  upstream: string
  /** Headers to add, such as the credentials of this kit at the upstream server. @default none */
  headers?: Record<string, string>
}

// What the protocol says in headers. The client's token is for us alone: passing it on is forbidden
// (spec 2026-07-28 basic/authorization, "Token Passthrough").
const FORWARDED = /^(accept|content-type|last-event-id|traceparent|tracestate|mcp-.*)$/

// Meant for this kit, not for its clients: cookies would land beside the dashboard's, and a challenge would send them
// to an authorization server that is not ours.
const NOT_FOR_CLIENTS = ['set-cookie', 'www-authenticate']

/** 502 with a JSON-RPC error that echoes the ids of the message. */
function badGateway(c: Context, message: string): Response {
  const ids = requestIds((c.var as Partial<MessageVariables>).message ?? null)
  const error = (id: RequestId | null) => jsonRpcError(id, 50200, message)
  return c.json(Array.isArray(ids) ? ids.map(error) : error(ids), 502)
}

/**
 * Governs an MCP server that runs elsewhere: every request goes there without the caller's token.
 * @returns a Hono handler; 502 with a JSON-RPC error when the upstream server cannot be reached, or refuses this one.
 * @example
 * ```ts
 * app.all('/mcp', mcpUserContext(options), proxyMcp({ upstream: 'http://127.0.0.1:3000/mcp' }))
 * ```
 */
export function proxyMcp({ upstream, headers = {} }: ProxyMcpOptions): Handler {
  const url = new URL(upstream)
  return async function proxyMcp(c: Context) {
    const { raw } = c.req
    const forwarded = new Headers([...raw.headers].filter(([name]) => FORWARDED.test(name)))
    for (const [name, value] of Object.entries(headers)) forwarded.set(name, value)
    const body = raw.method === 'GET' || raw.method === 'HEAD' ? null : await raw.arrayBuffer()
    let response: Response
    try {
      response = await proxy(url, {
        method: raw.method,
        headers: forwarded,
        body,
        signal: raw.signal,
        redirect: 'manual',
      })
    } catch {
      return badGateway(c, 'The upstream MCP server cannot be reached')
    }
    if (response.status >= 300 && response.status < 400) {
      // Followed, it would take the body, and our credentials, wherever it likes.
      await response.body?.cancel()
      return badGateway(c, 'The upstream MCP server redirects: give the URL that it redirects to')
    }
    if (response.status === 401) {
      await response.body?.cancel()
      return badGateway(c, 'The upstream MCP server does not accept the credentials of this one')
    }
    for (const name of NOT_FOR_CLIENTS) response.headers.delete(name)
    return response
  }
}
