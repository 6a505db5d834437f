import type { Context } from 'hono'
import { offerAgain, requestOf } from './read-request.ts'
import { type McpMessage, type MessageFault, parseMessage } from './message.ts'

/** Set by whoever first reads the MCP message of a request. */
export interface MessageVariables {
  /** What the body says, or null for GET and DELETE, which have none. */
  message: McpMessage | null
  /** The body as JSON, for handlers that take it parsed. */
  parsedBody: unknown
}

/** The bound of the official SDK's servers. */
export const MAX_BODY_BYTES = 4 * 1024 * 1024

/**
 * Reads the MCP message of a request, once: the first to ask parses the body, the others find it in `c.var`.
 * `c.req.raw` is from then on a request with the same body, so that a handler may read it again.
 * @param options.maxBodyBytes bound of the body in bytes. Default 4 MiB.
 * @returns the message; null for a request without one (GET, DELETE); or why it is none.
 */
export async function readMessage(
  c: Context,
  { maxBodyBytes = MAX_BODY_BYTES }: { maxBodyBytes?: number } = {},
): Promise<McpMessage | MessageFault | null> {
  const known = c.get('message') as McpMessage | null | undefined
  if (known !== undefined) return known
  if (['GET', 'HEAD', 'DELETE'].includes(c.req.method)) {
    c.set('message', null)
    return null
  }
  // A handler may take a call that comes by any other method, and nobody would have counted it.
  if (c.req.method !== 'POST') {
    return { code: 'method_not_allowed', detail: 'The methods of MCP are POST, GET and DELETE.', id: null }
  }
  if (!/^application\/json\s*(;|$)/i.test(c.req.header('content-type') ?? '')) {
    return { code: 'unsupported_media_type', detail: 'Content-Type must be application/json.', id: null }
  }
  // A middleware in front may have read it by `c.req`, which keeps it.
  const text = c.req.raw.bodyUsed ? await c.req.text() : await readBounded(c.req.raw, maxBodyBytes)
  if (text === null) {
    return { code: 'body_too_large', detail: `The body has ${maxBodyBytes} bytes at most.`, id: null }
  }
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return { code: 'parse_error', detail: 'The body is not JSON.', id: null }
  }
  const message = parseMessage(body, requestOf(c).headers.get('mcp-protocol-version'))
  if ('code' in message) return message
  message.bytes = Number(requestOf(c).headers.get('content-length') ?? text.length)
  offerAgain(c, text)
  c.set('message', message)
  c.set('parsedBody', body)
  return message
}

/** The body as text, or null when it is larger than the bound; no more than the bound is ever held. */
async function readBounded(request: Request, maxBytes: number): Promise<string | null> {
  const announced = request.headers.get('content-length')
  if (announced !== null) {
    // The HTTP server holds the sender to the announced length, and the runtime has a faster way to read it.
    return Number(announced) <= maxBytes ? await request.text() : null
  }
  if (request.body === null) return ''
  const decoder = new TextDecoder()
  const reader = (request.body as ReadableStream<Uint8Array>).getReader()
  let text = ''
  let bytes = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    bytes += value.byteLength
    if (bytes > maxBytes) {
      await reader.cancel()
      return null
    }
    text += decoder.decode(value, { stream: true })
  }
}
