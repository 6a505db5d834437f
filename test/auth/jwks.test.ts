import { beforeAll, describe, expect, it } from 'vitest'
import { createAuthenticator } from '../../src/auth/authenticator.ts'
import { AuthUnavailableError, InvalidTokenError } from '../../src/auth/token-errors.ts'
import { createTokenVerifier } from '../../src/auth/tokens.ts'
import { clock, ISSUER, issuerKey, keyServer, NOW_SECONDS, RESOURCE, SECRET, signed } from './support.ts'

type IssuerKey = Awaited<ReturnType<typeof issuerKey>>
let key: IssuerKey
let next: IssuerKey
/** Good for days, so that only the keys grow old. */
let token: string
let nextToken: string

beforeAll(async () => {
  key = await issuerKey('key-1')
  next = await issuerKey('key-2')
  const exp = NOW_SECONDS + 7 * 24 * 3600
  token = await key.sign({ exp })
  nextToken = await next.sign({ exp })
})

const setUp = () => {
  const server = keyServer(key.jwk)
  const time = clock()
  const outages: unknown[] = []
  const { verify } = createTokenVerifier({
    jwksUrl: server.url,
    issuer: ISSUER,
    audience: RESOURCE,
    secret: SECRET,
    fetch: server.fetch,
    now: time.now,
    onOutage: (error) => outages.push(error),
  })
  return { server, time, verify, outages }
}

/** Lets a fetch in the background come to its end. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 5))

const MINUTE = 60
const HOUR = 60 * MINUTE

describe('keys behind a URL', () => {
  it('are fetched at the first token and kept', async () => {
    const { server, verify } = setUp()
    expect(server.fetches).toBe(0)
    await verify(token)
    await verify(token)
    expect(server.fetches).toBe(1)
  })

  it('are not fetched for tokens of the shared secret', async () => {
    const { server, verify } = setUp()
    server.up = false
    await expect(verify(await signed())).resolves.toMatchObject({ iss: ISSUER })
    expect(server.fetches).toBe(0)
  })

  it('are looked up anew for an unknown kid, so that a new key works at once', async () => {
    const { server, time, verify } = setUp()
    await verify(token)
    server.keys = [key.jwk, next.jwk]
    time.pass(30)
    await expect(verify(nextToken)).resolves.toBeTruthy()
    expect(server.fetches).toBe(2)
  })

  it('are looked up for unknown kids once in 30 seconds', async () => {
    const { server, time, verify } = setUp()
    await verify(token)
    for (let i = 0; i < 5; i++) await expect(verify(nextToken)).rejects.toThrow(InvalidTokenError)
    expect(server.fetches).toBe(1)
    time.pass(30)
    for (let i = 0; i < 5; i++) await expect(verify(nextToken)).rejects.toThrow('signed with an unknown key')
    expect(server.fetches).toBe(2)
  })

  it('are refreshed behind a request after ten minutes, so that a withdrawn key dies', async () => {
    const { server, time, verify } = setUp()
    await verify(token)
    server.keys = [next.jwk]
    time.pass(10 * MINUTE)
    await verify(token)
    await settle()
    expect(server.fetches).toBe(2)
    await expect(verify(token)).rejects.toThrow('signed with an unknown key')
  })

  it('are waited for after a quiet hour', async () => {
    const { server, time, verify } = setUp()
    await verify(token)
    server.keys = [next.jwk]
    time.pass(HOUR)
    await expect(verify(token)).rejects.toThrow('signed with an unknown key')
  })
})

describe('an outage of the issuer', () => {
  it('is no verdict on the token: 503 and Retry-After, and recovery by itself', async () => {
    const { server, time, verify, outages } = setUp()
    server.up = false
    const error = await verify(token).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(AuthUnavailableError)
    expect(error).toMatchObject({ retryAfterSeconds: 5 })
    expect(outages).toEqual([new TypeError('connection refused')])
    server.up = true
    time.pass(5)
    await expect(verify(token)).resolves.toBeTruthy()
  })

  it('is not hammered: one fetch in five seconds', async () => {
    const { server, time, verify } = setUp()
    server.up = false
    for (let second = 0; second < 10; second++) {
      await expect(verify(token)).rejects.toMatchObject({ retryAfterSeconds: 5 - (second % 5) })
      await expect(verify(nextToken)).rejects.toThrow(AuthUnavailableError)
      time.pass(1)
    }
    expect(server.fetches).toBe(2)
  })

  it('does not disturb tokens of known keys, nor make them wait', async () => {
    const { server, time, verify } = setUp()
    await verify(token)
    server.up = false
    for (const seconds of [10 * MINUTE, HOUR, 6 * HOUR, 16 * HOUR]) {
      time.pass(seconds)
      await expect(verify(token)).resolves.toBeTruthy()
      await settle()
    }
    expect(server.fetches).toBe(5)
  })

  it('ends the trust in old keys after a day', async () => {
    const { server, time, verify } = setUp()
    await verify(token)
    server.up = false
    time.pass(24 * HOUR)
    await expect(verify(token)).rejects.toThrow(AuthUnavailableError)
    server.up = true
    time.pass(5)
    await expect(verify(token)).resolves.toBeTruthy()
  })

  it('leaves an unknown kid undecided: it may be a new key', async () => {
    const { server, time, verify } = setUp()
    await verify(token)
    server.up = false
    time.pass(30)
    await expect(verify(nextToken)).rejects.toThrow(AuthUnavailableError)
    await expect(verify(token)).resolves.toBeTruthy()
  })

  it('keeps trying in the background, one fetch in five seconds', async () => {
    const { server, time, verify, outages } = setUp()
    await verify(token)
    server.up = false
    time.pass(2 * HOUR)
    for (let second = 0; second < 10; second++) {
      await verify(token)
      await settle()
      time.pass(1)
    }
    expect(server.fetches).toBe(3)
    expect(outages).toHaveLength(2)
  })

  it('is over when it is over: after the next quiet hour keys are waited for again', async () => {
    const { server, time, verify } = setUp()
    server.up = false
    await expect(verify(token)).rejects.toThrow(AuthUnavailableError)
    server.up = true
    time.pass(5)
    await verify(token)
    server.keys = [next.jwk]
    time.pass(HOUR)
    await expect(verify(token)).rejects.toThrow('signed with an unknown key')
  })

  const answers: [string, () => Promise<Response>][] = [
    ['an error page', async () => new Response('oops', { status: 500 })],
    ['no JSON', async () => new Response('<html>')],
    ['no key set', async () => Response.json({ keys: 'none' })],
    [
      'a redirect',
      async () => new Response(null, { status: 302, headers: { location: 'https://evil.example/' } }),
    ],
    ['a private key', async () => Response.json({ keys: [{ ...key.jwk, d: 'AAAA' }] })],
    ['a broken key', async () => Response.json({ keys: [{ ...key.jwk, x: 'AAAA' }] })],
  ]
  it.each(answers)('is also %s', async (_, fetch) => {
    const url = 'https://issuer.example/jwks'
    const { verify } = createTokenVerifier({
      jwksUrl: url,
      issuer: ISSUER,
      audience: RESOURCE,
      fetch,
      now: clock().now,
    })
    await expect(verify(token)).rejects.toThrow(AuthUnavailableError)
  })

  it('answers 503 with Retry-After and no challenge', async () => {
    const server = keyServer()
    server.up = false
    const tokens = { jwksUrl: server.url, issuer: ISSUER, audience: RESOURCE, fetch: server.fetch }
    const authenticate = createAuthenticator({ tokens, resource: RESOURCE, now: clock().now })
    const result = await authenticate(new Headers({ authorization: `Bearer ${token}` }))
    expect(result).toEqual({ ok: false, refusal: { code: 'auth_unavailable', retryAfterSeconds: 5 } })
  })
})
