import { guardEvents } from './event-guard.ts'
import type { RequestId } from './json-rpc.ts'
import type { McpMessage } from './message.ts'
import { errorOf, invalid, redirects, refused, unauthorized, type UpstreamFault } from './upstream-fault.ts'

/** What was asked of an upstream server. */
export interface Asked {
  method: string
  /** Null for GET and DELETE. */
  message: McpMessage | null
  /** Whether it named a session of 2025-11-25. */
  named: boolean
}

/** An answer to pass on, or why there is none. */
export type Answer = { response: Response; unread?: true } | { fault: UpstreamFault }

// Everything else is between the upstream server and this kit: cookies, CORS and policies would speak for our origin,
// and a challenge would send clients to an authorization server that is not ours.
const FOR_CLIENTS =
  /^(content-(type|language)|cache-control|allow|retry-after|ratelimit(-policy)?|x-request-id|traceresponse|mcp-.*)$/

const headersOf = (response: Response): Headers =>
  new Headers([...response.headers].filter(([name]) => FOR_CLIENTS.test(name)))

const passed = (response: Response, body: BodyInit | null): Answer => ({
  response: new Response(body, { status: response.status, headers: headersOf(response) }),
})

/** A larger JSON answer passes unread. */
const MAX_JSON_BYTES = 4 * 1024 * 1024

/** A body as text when it is short enough, or else as the stream that it was. */
async function readShort(response: Response): Promise<string | ReadableStream<Uint8Array>> {
  const length = response.headers.get('content-length')
  const isShort = length !== null && Number(length) <= MAX_JSON_BYTES
  // Of a compressed body the length says nothing; of another one the runtime has a faster way to read it.
  if (response.body === null || (isShort && !response.headers.has('content-encoding')))
    return await response.text()
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  const decoder = new TextDecoder()
  const chunks: Uint8Array[] = []
  let bytes = 0
  let text = ''
  while (bytes <= MAX_JSON_BYTES) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    text += decoder.decode(value, { stream: true })
    chunks.push(value)
    bytes += value.byteLength
  }
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = chunks.shift()
      if (next !== undefined) return controller.enqueue(next)
      const { done, value } = await reader.read()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: (reason) => reader.cancel(reason),
  })
}

type Fields = Record<string, unknown>
const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isResponse = (value: unknown): value is Fields =>
  isObject(value) && value['jsonrpc'] === '2.0' && ('result' in value || isObject(value['error']))

function parsed(text: string): unknown[] {
  try {
    const body: unknown = JSON.parse(text)
    return Array.isArray(body) ? (body as unknown[]) : [body]
  } catch {
    return []
  }
}

/** A JSON answer: every request of the message must find its response in it. */
async function judgeJson(response: Response, ids: readonly RequestId[], named: boolean): Promise<Answer> {
  const text = await readShort(response)
  if (typeof text !== 'string') return { ...passed(response, text), unread: true }
  const answers = parsed(text).filter(isResponse)
  if (!response.ok) {
    return answers.length > 0 ? passed(response, text) : { fault: refused(response, named) }
  }
  if (answers.length === 0) return { fault: invalid('answered with what is no JSON-RPC response') }
  const answered = new Set(answers.map(({ id }) => id))
  if (ids.every((id) => answered.has(id))) return passed(response, text)
  const [only] = answers
  // An error for nobody in particular would leave a client waiting for its own.
  if (ids.length === 1 && answers.length === 1 && only!['id'] == null && 'error' in only!) {
    return passed(response, JSON.stringify({ ...only, id: ids[0] }))
  }
  return { fault: invalid('answered another request than this one') }
}

const lost = (id: RequestId, brokeOff: boolean): unknown =>
  errorOf(invalid(`${brokeOff ? 'broke off' : 'ended'} its answer before the result`), id)

/** The answer, once its body, which nobody reads, is given up. */
async function dropped(response: Response, answer: Answer): Promise<Answer> {
  await response.body?.cancel().catch(() => {})
  return answer
}

/**
 * What becomes of an upstream server's answer: passed on where it is MCP, and else told as a fault. Redirects are not
 * followed: whoever answers there would get the body, and our credentials.
 */
export async function judgeAnswer(response: Response, { method, message, named }: Asked): Promise<Answer> {
  const { status, ok, headers } = response
  const ids = message?.requests.map(({ id }) => id) ?? []
  const type = /^[^;\s]*/.exec(headers.get('content-type') ?? '')![0].toLowerCase()
  if (isRedirect(status)) return await dropped(response, { fault: redirects })
  if (status === 401 || status === 407) return await dropped(response, { fault: unauthorized })
  if (type === 'application/json' && (ids.length > 0 || !ok)) return await judgeJson(response, ids, named)
  if (!ok) {
    // Without a stream to offer, or sessions to end, a server says 405.
    return await dropped(
      response,
      method === 'POST' ? { fault: refused(response, named) } : passed(response, null),
    )
  }
  if (type === 'text/event-stream') {
    const resumable = message?.era !== '2026-07-28'
    return passed(response, response.body && guardEvents(response.body, { ids, resumable, lost }))
  }
  // Notifications, responses and ends are only taken note of, whatever is said about it.
  if (ids.length === 0 && method !== 'GET') return await dropped(response, passed(response, null))
  const what = type === '' ? 'answered with nothing' : `answered with ${shown(type)}, which is no MCP`
  return await dropped(response, { fault: invalid(what) })
}

const isRedirect = (status: number): boolean => status >= 300 && status < 400

/** A media type is the upstream server's to write: no more of it is told than can be one. */
const shown = (type: string): string => (/^[\w.+/-]{1,80}$/.test(type) ? type : 'another type')
