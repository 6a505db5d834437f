import type { Context } from 'hono'
import { matchedRoutes } from 'hono/route'
import { newCallId } from '../ledger/call-id.ts'
import type { CallToOpen, Estimate } from '../ledger/types.ts'
import type { RequestId } from '../mcp/json-rpc.ts'
import type { McpMessage } from '../mcp/message.ts'

export const DEFAULT_HOLD_SECONDS = 300

/** A call of this request: what is sent to the ledger, and the id that its response carries. */
export interface MeteredCall {
  call: CallToOpen
  /** The JSON-RPC id; null for an HTTP request of kind `api`. */
  rpcId: RequestId | null
  /** What the tool was called with. */
  arguments?: unknown
}

/** What is known of a tool before it is called. */
export type Expect = (tool: string | null) => { estimate?: Estimate; holdSeconds?: number }

/** The size of a call; the calls of a batch share one body. */
const sizeOf = (message: McpMessage | null): { bytes?: number } =>
  message?.bytes === undefined || message.batch ? {} : { bytes: message.bytes }

/**
 * The calls that a message makes: one for each request in it.
 * @param server of several behind one kit; their tools may have the same names.
 */
export const callsOf = (
  message: McpMessage | null,
  holdSeconds = DEFAULT_HOLD_SECONDS,
  expect: Expect = () => ({}),
  server?: string,
): MeteredCall[] =>
  (message?.requests ?? []).map(({ id, method, tool: own, arguments: given }) => {
    const tool = server === undefined || own === null ? own : `${server}/${own}`
    return {
      call: { id: newCallId(), method, tool, kind: 'mcp', holdSeconds, ...sizeOf(message), ...expect(own) },
      rpcId: id,
      arguments: given,
    }
  })

/** What a route is for: a pattern such as `GET /reports/:id`, and never the path itself, which names things. */
function routeOf(c: Context): string {
  const routes = matchedRoutes(c)
  // Middleware counts as a route for all methods.
  const route = routes.findLast(({ method }) => method !== 'ALL') ?? routes.at(-1)
  return `${c.req.method} ${route?.path ?? '/*'}`
}

/** The call that an HTTP request is. */
export function apiCall(
  c: Context,
  holdSeconds = DEFAULT_HOLD_SECONDS,
  expect: Expect = () => ({}),
): MeteredCall {
  const { method } = c.req
  const tool = routeOf(c)
  return {
    call: { id: newCallId(), method, tool, kind: 'api', holdSeconds, ...expect(tool) },
    rpcId: null,
  }
}
