import { Hono } from 'hono'
import { describe, expect, it, vi } from 'vitest'
import { readMessage } from '../../src/mcp/read-message.ts'
import { callTool } from '../support/mcp.ts'

const JSON_TYPE = { 'content-type': 'application/json' }
const FIVE_MIB = 5 * 1024 * 1024

/** Reads the message, and where it is one once more, as the middlewares of one request do. */
const readTwice = (maxBodyBytes?: number) =>
  new Hono().all('/', async (c) => {
    const options = maxBodyBytes === undefined ? {} : { maxBodyBytes }
    const message = await readMessage(c, options)
    if (message !== null && 'code' in message) return c.json({ message })
    return c.json({ message, same: message === (await readMessage(c, options)) })
  })

const answerTo = async (init: RequestInit, maxBodyBytes?: number) =>
  (await (await readTwice(maxBodyBytes).request('/', init)).json()) as Record<string, unknown>

/** A body that comes in chunks, without a Content-Length. */
const chunked = (chunks: string[], onPull: () => void = () => {}): RequestInit => {
  const left = [...chunks]
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      onPull()
      const chunk = left.shift()
      if (chunk === undefined) controller.close()
      else controller.enqueue(new TextEncoder().encode(chunk))
    },
  })
  return { method: 'POST', headers: JSON_TYPE, body, duplex: 'half' } as RequestInit
}

const text = JSON.stringify(callTool('echo', { text: 'héllo' }))

/** Asks a handler behind a middleware that has read the message. */
const read = (
  handler: (raw: Request, json: () => Promise<unknown>, parsedBody: unknown) => Promise<unknown>,
) =>
  new Hono<{ Variables: { parsedBody: unknown } }>()
    .use(async (c, next) => {
      await readMessage(c)
      await next()
    })
    .post('/', async (c) => {
      const result = await handler(c.req.raw, () => c.req.json(), c.var.parsedBody)
      return c.json({ result, type: c.req.header('content-type') })
    })
    .request('/', { method: 'POST', headers: JSON_TYPE, body: text })

describe('the message of a request', () => {
  it('is read from its body', async () => {
    const { message, same } = await answerTo({ method: 'POST', headers: JSON_TYPE, body: text })
    expect(message).toMatchObject({ requests: [{ id: 1, method: 'tools/call', tool: 'echo' }] })
    expect(same).toBe(true)
  })

  it('is read from a body that comes in pieces', async () => {
    const { message } = await answerTo(chunked(text.split('')))
    expect(message).toMatchObject({ requests: [{ tool: 'echo' }] })
  })

  for (const method of ['GET', 'DELETE']) {
    it(`is none with ${method}`, async () => {
      expect(await answerTo({ method })).toEqual({ message: null, same: true })
    })
  }

  const types: { type: string | null; accepted: boolean }[] = [
    { type: 'application/json', accepted: true },
    { type: 'Application/JSON; charset=utf-8', accepted: true },
    { type: 'application/json ;charset=utf-8', accepted: true },
    { type: 'application/jsonp', accepted: false },
    { type: 'application/json-rpc', accepted: false },
    { type: 'text/plain', accepted: false },
    { type: 'application/x-www-form-urlencoded', accepted: false },
    { type: null, accepted: false },
  ]
  for (const { type, accepted } of types) {
    it(`${accepted ? 'may' : 'may not'} be of type ${type ?? 'nothing'}`, async () => {
      const headers: Record<string, string> = type === null ? {} : { 'content-type': type }
      const { message } = await answerTo({ method: 'POST', headers, body: new TextEncoder().encode(text) })
      expect(message).toMatchObject(accepted ? { era: '2025-11-25' } : { code: 'unsupported_media_type' })
    })
  }

  const bodies: { name: string; body: string | null }[] = [
    { name: 'no JSON', body: 'not json' },
    { name: 'half of JSON', body: '{"jsonrpc":' },
    { name: 'nothing', body: '' },
    { name: 'no body', body: null },
    { name: 'NDJSON', body: `${text}\n${text}` },
  ]
  for (const { name, body } of bodies) {
    it(`is none when the body is ${name}`, async () => {
      expect(await answerTo({ method: 'POST', headers: JSON_TYPE, body })).toMatchObject({
        message: { code: 'parse_error', id: null },
      })
    })
  }
})

describe('the bound of a body', () => {
  const large = JSON.stringify(callTool('echo', { text: 'x'.repeat(FIVE_MIB) }))

  it('is kept when the length is announced, before anything is read', async () => {
    const pulled = vi.fn<() => void>()
    const init = chunked([text], pulled)
    const headers = { ...JSON_TYPE, 'content-length': String(FIVE_MIB) }
    // A stream reads one piece ahead on its own.
    expect(await answerTo({ ...init, headers })).toMatchObject({ message: { code: 'body_too_large' } })
    expect(pulled.mock.calls.length).toBeLessThanOrEqual(1)
  })

  it('is kept when nothing is announced, and the rest is not read', async () => {
    const pulled = vi.fn<() => void>()
    const pieces = Array.from({ length: 50 }, () => 'x'.repeat(1024 * 1024))
    expect(await answerTo(chunked(pieces, pulled))).toMatchObject({ message: { code: 'body_too_large' } })
    expect(pulled.mock.calls.length).toBeLessThan(10)
  })

  it('is 4 MiB unless told otherwise', async () => {
    expect(await answerTo({ method: 'POST', headers: JSON_TYPE, body: large })).toMatchObject({
      message: { code: 'body_too_large' },
    })
    expect(
      await answerTo({ method: 'POST', headers: JSON_TYPE, body: large }, 6 * 1024 * 1024),
    ).toMatchObject({
      message: { era: '2025-11-25' },
    })
  })

  it('counts bytes, and admits as many as it says', async () => {
    const bytes = new TextEncoder().encode(text).byteLength
    for (const init of [{ method: 'POST', headers: JSON_TYPE, body: text }, chunked([text])]) {
      expect(await answerTo(init, bytes)).toMatchObject({ message: { era: '2025-11-25' } })
    }
    for (const init of [{ method: 'POST', headers: JSON_TYPE, body: text }, chunked([text])]) {
      expect(await answerTo(init, bytes - 1)).toMatchObject({ message: { code: 'body_too_large' } })
    }
  })
})

describe('after the message was read', () => {
  it('the handler finds it parsed', async () => {
    expect(await (await read(async (_raw, _json, parsedBody) => parsedBody)).json()).toMatchObject({
      result: JSON.parse(text),
    })
  })

  it('the handler may read the request itself, as it came', async () => {
    expect(await (await read((raw) => raw.json())).json()).toEqual({
      result: JSON.parse(text),
      type: 'application/json',
    })
  })

  it('the handler may ask Hono for the body', async () => {
    expect(await (await read((_raw, json) => json())).json()).toMatchObject({ result: JSON.parse(text) })
  })

  it('it is found although Hono was asked for the body before', async () => {
    const app = new Hono()
      .use(async (c, next) => {
        await c.req.json()
        await next()
      })
      .post('/', async (c) => c.json(await readMessage(c)))
    const response = await app.request('/', { method: 'POST', headers: JSON_TYPE, body: text })
    expect(await response.json()).toMatchObject({ requests: [{ tool: 'echo' }] })
  })
})
