import type { Context, MiddlewareHandler } from 'hono'
import { REFUSAL_CODES, replaceResponse } from './errors.ts'

const HEADER = 'x-request-id'
/** What a proxy in front may call a request: short, and nothing that a log or JSON would have to escape. */
const VALID = /^[\w.=-]{1,128}$/

/** The id of a request: that of its `X-Request-Id`, or one of ours. */
export function requestIdOf(c: Context): string {
  const known = c.get('requestId') as string | undefined
  if (known !== undefined) return known
  const sent = c.req.header(HEADER) ?? ''
  const id = VALID.test(sent) ? sent : crypto.randomUUID()
  c.set('requestId', id)
  return id
}

type Fields = Record<string, unknown>
const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null

const OURS = new Set<unknown>(REFUSAL_CODES)
/** What a tool or an upstream server says of a fault is theirs to say. */
const isOurs = (code: unknown): boolean => OURS.has(code) || String(code).startsWith('upstream_')

/** A JSON-RPC response, or a batch of them, whose errors of ours tell the id. */
function withId(message: unknown, id: string): unknown {
  if (Array.isArray(message)) return message.map((one) => withId(one, id))
  if (!isObject(message) || !isObject(message['error'])) return message
  const { data } = message['error']
  if (!isObject(data) || !isOurs(data['code'])) return message
  return { ...message, error: { ...message['error'], data: { ...data, request_id: id } } }
}

/** The body of an error with the id in it; null for a body that says nothing of ours. */
function told(type: string, text: string, id: string): string | null {
  try {
    const body: unknown = JSON.parse(text)
    if (type.startsWith('application/problem+json') && isObject(body)) {
      return JSON.stringify({ ...body, request_id: id })
    }
    return JSON.stringify(withId(body, id))
  } catch {
    return null
  }
}

/**
 * Gives every request one id: kept where a proxy in front sent a valid `X-Request-Id`, told in that header of every
 * answer and in the body of every error of ours: `request_id` of problem details, `error.data.request_id` of JSON-RPC.
 * @example app.use(requestId)
 */
export const requestId: MiddlewareHandler = async function requestId(c, next) {
  const isWithin = c.get('requestId') !== undefined
  const id = requestIdOf(c)
  await next()
  if (isWithin) return
  const { status } = c.res
  const type = c.res.headers.get('content-type') ?? ''
  if (status >= 400 && /^application\/(problem\+)?json\b/.test(type)) {
    const headers = new Headers(c.res.headers)
    headers.delete('content-length')
    const text = await c.res.text()
    replaceResponse(c, new Response(told(type, text, id) ?? text, { status, headers }))
  }
  c.header(HEADER, id)
}
