import type { Context, Handler } from 'hono'
import { requestOf } from './read-request.ts'

/** What is handed on with the request: the verified token and the body, which was parsed once. */
export interface McpHandlerOptions {
  authInfo?: {
    token: string
    clientId: string
    scopes: string[]
    expiresAt?: number
    resource?: URL
    extra?: Record<string, unknown>
  }
  parsedBody?: unknown
}

/** A fetch-shaped MCP handler, such as `createMcpHandler()` of the official SDK v2 makes. */
export interface McpHandler {
  fetch(request: Request, options?: McpHandlerOptions): Response | Promise<Response>
}

/**
 * Serves an MCP handler behind the kit: its tools find the user in `authInfo.extra.user`, and the body is not
 * parsed a second time.
 * @returns a Hono handler that answers what the MCP handler answers.
 * @example
 * ```ts
 * app.all('/mcp', mcpUserContext(options), serveMcp(createMcpHandler(() => makeServer())))
 * ```
 */
export const serveMcp = (handler: McpHandler): Handler =>
  function serveMcp(c: Context) {
    const auth = c.get('auth') as McpHandlerOptions['authInfo']
    const parsedBody: unknown = c.get('parsedBody')
    return handler.fetch(requestOf(c), {
      ...(auth === undefined ? {} : { authInfo: auth }),
      ...(parsedBody === undefined ? {} : { parsedBody }),
    })
  }
