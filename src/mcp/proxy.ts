import type { Context, Handler } from 'hono'
import { jsonRpcError, requestIds } from './json-rpc.ts'
import type { McpMessage, MessageFault } from './message.ts'
import { headerFaults, targetFaults } from './proxy-faults.ts'
import { readMessage } from './read-message.ts'
import { bodyTextOf, requestOf } from './read-request.ts'
import { judgeAnswer } from './upstream-answer.ts'
import { clientLeft, faultResponse, timedOut, unreachable, type UpstreamFault } from './upstream-fault.ts'
import {
  ASSERTION_HEADER,
  assertionFaults,
  createAssertionSigner,
  type UserAssertionOptions,
} from './user-assertion.ts'

/** The server that `proxyMcp()` governs. */
export interface ProxyMcpOptions {
  /** URL of the MCP server to govern. It is all that decides where requests go. */
  upstream: string
  /** Headers to add, such as the credentials of this kit at the upstream server. @default none */
  headers?: Record<string, string>
  /**
   * Tells the upstream server who is calling, in `User-Context-Assertion`: a JWT (ES256) that holds for a minute, for
   * this server alone. Anonymous callers and programs have none. @default nobody is told
   */
  assertion?: UserAssertionOptions
  /** Seconds that an answer may take to begin, or a JSON one to end; a stream may last. @default 300 */
  timeoutSeconds?: number
  /** Told why an answer could not be passed on; the error of `fetch` where there is one. @default nothing */
  onFault?: (fault: UpstreamFault, error?: unknown) => void
  /**
   * Asks the upstream server, such as a Worker's service binding. Node's own cuts a stream that is silent for five
   * minutes.
   * @default the runtime's fetch
   */
  fetch?: (url: string, init: RequestInit) => Promise<Response>
}

const DEFAULT_TIMEOUT_SECONDS = 300

// What the protocol says in headers. The client's token is for us alone: passing it on is forbidden
// (spec 2026-07-28 basic/authorization, "Token Passthrough").
const FORWARDED = /^(accept|content-type|last-event-id|traceparent|tracestate|mcp-.*)$/

/**
 * Governs a Streamable HTTP MCP server that runs elsewhere, in any language and of either era. Every request goes
 * there without the caller's token, and streams pass as they come; sessions that it holds are adopted.
 * @returns a Hono handler. An upstream server that is down, slow, redirects or answers with what is no MCP becomes a
 *   JSON-RPC error that echoes the id: HTTP 502, or 504 for one that took too long.
 * @throws TypeError at creation, naming every fault of the options.
 * @example
 * ```ts
 * app.all('/mcp', mcpUserContext(options), proxyMcp({ upstream: 'http://127.0.0.1:3000/mcp' }))
 * ```
 */
export function proxyMcp(options: ProxyMcpOptions): Handler {
  const { upstream, headers = {}, assertion, timeoutSeconds = DEFAULT_TIMEOUT_SECONDS, onFault } = options
  const faults = [
    ...targetFaults(upstream, timeoutSeconds),
    ...headerFaults(headers),
    ...(assertion === undefined ? [] : assertionFaults(assertion)),
  ]
  if (faults.length > 0) throw new TypeError(`proxyMcp: ${faults.join('; ')}`)
  const sign = assertion && createAssertionSigner(assertion, upstream)

  async function headersFor(c: Context): Promise<Headers> {
    const sent = new Headers([...requestOf(c).headers].filter(([name]) => FORWARDED.test(name)))
    for (const [name, value] of Object.entries(headers)) sent.set(name, value)
    const user = c.get('user') as { id: string } | null | undefined
    if (sign !== undefined && user) sent.set(ASSERTION_HEADER, await sign(user))
    return sent
  }

  return async function proxyMcp(c: Context) {
    const message = await readMessage(c)
    if (message !== null && 'code' in message) return notMcp(message)
    const sent = await headersFor(c)
    const { method } = c.req
    const deadline = startDeadline(c, message, timeoutSeconds)
    const refuse = (fault: UpstreamFault, error?: unknown): Response => {
      onFault?.(fault, error)
      return faultResponse(fault, requestIds(message))
    }
    try {
      // Looked up at each call: the runtime's fetch may be replaced, as tests do.
      const response = await (options.fetch ?? fetch)(upstream, {
        method,
        headers: sent,
        body: message === null ? null : (bodyTextOf(c) ?? (await c.req.raw.text())),
        signal: deadline.signal,
        redirect: 'manual',
      })
      const asked = { method, message, named: sent.has('mcp-session-id') }
      const answer = await judgeAnswer(response, asked)
      if ('fault' in answer) return refuse(answer.fault)
      if (answer.unread) c.set('passesUnread', true)
      return answer.response
    } catch (error) {
      if (deadline.left()) return faultResponse(clientLeft, requestIds(message))
      return refuse(deadline.passed() ? timedOut(timeoutSeconds) : unreachable, error)
    } finally {
      deadline.end()
    }
  }
}

/** Without the kit in front nobody has refused it before. */
function notMcp({ code, detail, id }: MessageFault): Response {
  const status = { body_too_large: 413, unsupported_media_type: 415, method_not_allowed: 405 } as const
  const rpc = code === 'parse_error' ? -32_700 : -32_600
  return Response.json(jsonRpcError(id, rpc, detail), {
    status: code in status ? status[code as keyof typeof status] : 400,
  })
}

/**
 * What ends the exchange before its answer has begun: time, and a client that left, which in 2026-07-28 is how it
 * cancels. In 2025-11-25 that is no cancel (basic/transports, "Disconnection"): the upstream server is heard out.
 */
function startDeadline(c: Context, message: McpMessage | null, seconds: number) {
  const controller = new AbortController()
  let ended: 'passed' | 'left' | undefined
  const endBy = (how: typeof ended) => (): void => {
    ended ??= how
    controller.abort()
  }
  const timer = setTimeout(endBy('passed'), seconds * 1000)
  const { signal } = requestOf(c)
  if (message?.era !== '2025-11-25') signal.addEventListener('abort', endBy('left'), { once: true })
  return {
    signal: controller.signal,
    passed: () => ended === 'passed',
    left: () => ended === 'left',
    end: () => clearTimeout(timer),
  }
}
