import { Hono } from 'hono'
import { describe, expect, it, vi } from 'vitest'
import { everyAnswer, everyRequest, type EdgeOptions } from '../../src/edge/edge.ts'
import { problem } from '../../src/errors.ts'

/** A server that has a page, and finds fault with everything else. */
function serverWith(options: Partial<EdgeOptions> = {}): Hono {
  const app = new Hono()
  const all: EdgeOptions = {
    peerOf: (c) => c.req.header('test-peer'),
    trustedProxies: 0,
    refuse: (_, refusal) => problem(refusal),
    https: true,
    ...options,
  }
  app.use(...everyAnswer(all), ...everyRequest(all))
  app.get('/', (c) => c.json({ ok: true }))
  app.get('/page', (c) => c.html('<p>', 200, { 'content-security-policy': "default-src 'self'" }))
  app.notFound(() => problem({ code: 'not_found' }))
  return app
}

interface Told {
  code: string
  detail: string
  request_id: string
}
const told = async (response: Response): Promise<Told> => await response.json<Told>()

describe('headers of every answer', () => {
  it.each(['/', '/unknown'])('make %s safe to open, wherever it ends up', async (path) => {
    const { headers } = await serverWith().request(path)
    expect(Object.fromEntries(headers)).toMatchObject({
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'strict-transport-security': 'max-age=15552000',
    })
  })

  it('leave what a page says of itself', async () => {
    const { headers } = await serverWith().request('/page')
    expect(headers.get('content-security-policy')).toBe("default-src 'self'")
  })

  it('promise https only where there is some', async () => {
    const { headers } = await serverWith({ https: false }).request('/')
    expect(headers.has('strict-transport-security')).toBe(false)
  })
})

describe('the id of a request', () => {
  it('is told with every answer, and again in the body of an error', async () => {
    const good = await serverWith().request('/')
    expect(good.headers.get('x-request-id')).toMatch(/^[\da-f-]{36}$/)
    const bad = await serverWith().request('/unknown')
    expect((await told(bad)).request_id).toBe(bad.headers.get('x-request-id'))
  })

  it.each(['abc', '01JD-x_y=z.9', 'a'.repeat(128)])('is that of a proxy in front: %s', async (id) => {
    const response = await serverWith().request('/unknown', { headers: { 'x-request-id': id } })
    expect(response.headers.get('x-request-id')).toBe(id)
    expect((await told(response)).request_id).toBe(id)
  })

  it.each(['a b', 'a"b', '<b>', 'a'.repeat(129), 'ä'])('is ours in place of %j', async (sent) => {
    const response = await serverWith().request('/', { headers: { 'x-request-id': sent } })
    expect(response.headers.get('x-request-id')).toMatch(/^[\da-f-]{36}$/)
  })
})

describe('the bounds of a request', () => {
  const cases: {
    name: string
    path?: string
    headers?: Record<string, string>
    status: number
    code: string
  }[] = [
    { name: 'a long address', path: `/?q=${'a'.repeat(8192)}`, status: 414, code: 'uri_too_long' },
    {
      name: 'a long header',
      headers: { 'x-long': 'a'.repeat(16_384) },
      status: 431,
      code: 'headers_too_large',
    },
    {
      name: 'many headers',
      headers: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`x-${i}`, 'a'])),
      status: 431,
      code: 'headers_too_large',
    },
    { name: 'a token in the address', path: '/?access_token=secret', status: 400, code: 'token_in_query' },
    {
      name: 'the same in disguise',
      path: '/?a=b&%61ccess_Token=secret',
      status: 400,
      code: 'token_in_query',
    },
  ]
  it.each(cases)('refuse $name, and do not repeat it', async ({ path = '/', headers = {}, status, code }) => {
    const response = await serverWith().request(path, { headers })
    expect(response.status).toBe(status)
    const body = await told(response)
    expect(body).toMatchObject({ code, request_id: response.headers.get('x-request-id') })
    expect(JSON.stringify(body)).not.toMatch(/secret|aaaa/)
  })

  it('let pass what is used', async () => {
    const headers = { authorization: `Bearer ${'a'.repeat(8000)}`, cookie: 'b'.repeat(4000) }
    expect((await serverWith().request(`/?q=${'a'.repeat(8000)}`, { headers })).status).toBe(200)
  })
})

const from = (app: Hono, path: string, peer: string, headers: Record<string, string> = {}) =>
  app.request(path, { headers: { 'test-peer': peer, ...headers } })

async function exhaust(app: Hono, peer: string, headers: Record<string, string> = {}): Promise<void> {
  for (let i = 0; i < 600; i++) expect((await from(app, '/unknown', peer, headers)).status).toBe(404)
}

describe('the cap of an address', () => {
  let now = 1_800_000_000_000
  const clock = () => now

  it('answers 503 after 600 wrong requests in a minute, and lets in again as time passes', async () => {
    const app = serverWith({ now: clock })
    await exhaust(app, '192.0.2.1')
    const refused = await from(app, '/', '192.0.2.1')
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(await told(refused)).toMatchObject({ code: 'abuse_cap', detail: expect.stringContaining('600') })
    // Others go on, and so does it when it has waited: a tenth of a second for each.
    expect((await from(app, '/', '192.0.2.2')).status).toBe(200)
    now += 100
    expect((await from(app, '/unknown', '192.0.2.1')).status).toBe(404)
    expect((await from(app, '/', '192.0.2.1')).status).toBe(503)
  })

  it('does not count what is right', async () => {
    const app = serverWith({ now: clock })
    for (let i = 0; i < 700; i++) expect((await from(app, '/', '192.0.2.1')).status).toBe(200)
  })

  it('holds whoever the trusted proxy says, whatever else is written', async () => {
    const app = serverWith({ now: clock, trustedProxies: 1 })
    await exhaust(app, '10.0.0.1', { 'x-forwarded-for': '6.6.6.6, 203.0.113.7' })
    const again = { 'x-forwarded-for': '7.7.7.7, 203.0.113.7' }
    expect((await from(app, '/', '10.0.0.1', again)).status).toBe(503)
    expect((await from(app, '/', '10.0.0.1', { 'x-forwarded-for': '203.0.113.8' })).status).toBe(200)
  })

  it('tells the operator once of a proxy that nobody configured', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    try {
      const app = serverWith({ now: clock })
      await exhaust(app, '10.0.0.1', { 'x-forwarded-for': '203.0.113.7' })
      for (let i = 0; i < 3; i++) {
        expect((await from(app, '/', '10.0.0.1', { 'x-forwarded-for': '203.0.113.7' })).status).toBe(503)
      }
      expect(warn).toHaveBeenCalledOnce()
      expect(String(warn.mock.calls[0]?.[0])).toContain('TRUSTED_PROXIES')
    } finally {
      warn.mockRestore()
    }
  })

  it('holds nobody whom it cannot tell apart', async () => {
    const app = serverWith({ now: clock, peerOf: () => undefined })
    for (let i = 0; i < 700; i++) await app.request('/unknown')
    expect((await app.request('/')).status).toBe(200)
  })
})
