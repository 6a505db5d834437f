import { mcpRefusal, type Refusal, rpcErrorOf } from './errors.ts'
import { jsonRpcError, requestIds } from './mcp/json-rpc.ts'
import type { McpMessage, RequestPart } from './mcp/message.ts'

/**
 * How a call that a limit refuses is answered. `error`: HTTP 429 with a JSON-RPC error, which clients throw.
 * `jsonrpc`: the same error with HTTP 200, for clients that hide the body of a 429. `tool-error`: a result with
 * `isError`, which the model reads; what is no tool's call is answered as `jsonrpc`.
 */
export type OnLimit = 'error' | 'tool-error' | 'jsonrpc'

const MODES = new Set<unknown>(['error', 'tool-error', 'jsonrpc', undefined])

/** What is wrong with the option. */
export const onLimitFaults = (onLimit: unknown): string[] =>
  MODES.has(onLimit) ? [] : [`onLimit must be error, tool-error or jsonrpc, got ${String(onLimit)}`]

/** Refusals that are about how much, not about who: those of which a client should hear in its own way. */
const LIMITS = new Set<Refusal['code']>(['rate_limited', 'too_many_calls', 'quota_exceeded'])

/**
 * The response to a refused message.
 * @param message echoes its ids; null where there is none.
 */
export function refuseMessage(
  refusal: Refusal,
  message: McpMessage | null,
  onLimit: OnLimit = 'error',
): Response {
  const response = mcpRefusal(refusal, requestIds(message))
  if (onLimit === 'error' || message === null || !LIMITS.has(refusal.code)) return response
  const { code, message: text, data } = rpcErrorOf(refusal)
  const answer = ({ id, method }: RequestPart) =>
    onLimit === 'tool-error' && method === 'tools/call'
      ? { jsonrpc: '2.0', id, result: toolError(text, data, message) }
      : jsonRpcError(id, code, text, data)
  const answers = message.requests.map(answer)
  return new Response(JSON.stringify(message.batch ? answers : answers[0]), { headers: response.headers })
}

/** A tool's own error (spec 2026-07-28 server/tools, "Error Handling"), which the client shows to the model. */
const toolError = (text: string, data: unknown, { era }: McpMessage) => ({
  ...(era === '2026-07-28' ? { resultType: 'complete' } : {}),
  content: [{ type: 'text', text }],
  isError: true,
  _meta: { 'dev.mcp-user-context/refusal': data },
})
