import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Hono } from 'hono'
import { createTokenVerifier } from '../../src/auth/tokens.ts'
import { userContext } from '../../src/auth/user-context.ts'
import { bearer, clock, ISSUER, issuerKey, keyServer, NOW, RESOURCE, untyped } from './support.ts'

let key: Awaited<ReturnType<typeof issuerKey>>
beforeAll(async () => {
  key = await issuerKey('key-1')
})

// Only here: on Workers a request must not wait for another's fetch, so there each makes its own.
describe('keys behind a URL, on Node and Bun', () => {
  it('are fetched once for a hundred tokens at a time', async () => {
    const server = keyServer(key.jwk)
    const tokens = { jwksUrl: server.url, issuer: ISSUER, audience: RESOURCE }
    const { verify } = createTokenVerifier({ ...tokens, fetch: server.fetch, now: () => NOW })
    const token = await key.sign()
    await Promise.all(Array.from({ length: 100 }, () => verify(token)))
    expect(server.fetches).toBe(1)
  })

  it('fail once for a hundred tokens at a time', async () => {
    const server = keyServer(key.jwk)
    server.up = false
    const outages: unknown[] = []
    const { verify } = createTokenVerifier({
      jwksUrl: server.url,
      issuer: ISSUER,
      audience: RESOURCE,
      fetch: server.fetch,
      now: () => NOW,
      onOutage: (error) => outages.push(error),
    })
    const token = await key.sign()
    const results = await Promise.allSettled(Array.from({ length: 100 }, () => verify(token)))
    expect(results.every(({ status }) => status === 'rejected')).toBe(true)
    expect(server.fetches).toBe(1)
    expect(outages).toHaveLength(1)
  })
})

describe('a real key server', () => {
  let up = true
  const http = createServer((_, response) => {
    response.writeHead(up ? 200 : 500, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ keys: [key.jwk] }))
  })
  let url: string
  beforeAll(async () => {
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${untyped<AddressInfo>(http.address()).port}/jwks`
  })
  afterAll(() => {
    http.close()
    http.closeAllConnections()
  })

  it('is asked over HTTP, fails with 503 while it is down and recovers', async () => {
    up = false
    const time = clock()
    const tokens = { jwksUrl: url, issuer: ISSUER, audience: RESOURCE }
    const app = new Hono()
      .use(userContext({ tokens, resource: RESOURCE, now: time.now }))
      .get('/', (c) => c.text(c.var.user?.id ?? ''))
    const token = await key.sign()

    const down = await app.request('/', bearer(token))
    expect(down.status).toBe(503)
    expect(down.headers.get('retry-after')).toBe('5')
    expect(down.headers.get('www-authenticate')).toBeNull()
    expect(await down.json()).toMatchObject({ error: { code: 50300, data: { retry_after_ms: 5000 } } })

    up = true
    time.pass(5)
    const res = await app.request('/', bearer(token))
    expect(res.status).toBe(200)
    expect(await res.text()).toBe('0f8fad5b-d9cb-469f-a165-70867728950e')
  })
})
