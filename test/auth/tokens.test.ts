import { Hono } from 'hono'
import { exportJWK, exportSPKI } from 'jose'
import { beforeAll, describe, expect, it } from 'vitest'
import { createTokenVerifier } from '../../src/auth/tokens.ts'
import { userContext } from '../../src/auth/user-context.ts'
import {
  base64url,
  bearer,
  CLAIMS,
  ISSUER,
  issuerKey,
  keyServer,
  METADATA,
  NOW,
  NOW_SECONDS,
  RESOURCE,
  SECRET,
  signed,
  untyped,
} from './support.ts'

const OPTIONS = { resource: RESOURCE, now: () => NOW }
type App = ReturnType<typeof appWith>
type IssuerKey = Awaited<ReturnType<typeof issuerKey>>

let key: IssuerKey
let stranger: IssuerKey
/** Takes the shared secret and the key set at once. */
let both: App
let secretOnly: App
let keysOnly: App

const appWith = (tokens: { secret?: string; jwksUrl?: string; fetch?: () => Promise<Response> }) =>
  new Hono()
    .use(userContext({ ...OPTIONS, tokens: { issuer: ISSUER, audience: RESOURCE, ...tokens } }))
    .get('/', (c) => c.text(c.var.user?.subject ?? 'nobody'))

beforeAll(async () => {
  key = await issuerKey('key-1')
  stranger = await issuerKey('stranger')
  const server = keyServer(key.jwk)
  both = appWith({ secret: SECRET, jwksUrl: server.url, fetch: server.fetch })
  secretOnly = appWith({ secret: SECRET })
  keysOnly = appWith({ jwksUrl: server.url, fetch: server.fetch })
})

const unsigned = (header: object, claims: object = CLAIMS) => `${base64url(header)}.${base64url(claims)}.`
const changed = (token: string, part: number, to: string) => token.split('.').with(part, to).join('.')

describe('good tokens', () => {
  const good: [string, () => Promise<string>][] = [
    ['signed with the secret', () => signed()],
    ['signed with a key of the set', () => key.sign()],
    ['without kid, when one key fits', () => key.sign({}, { kid: undefined })],
    ['for several audiences', () => signed({ aud: ['https://other.example', RESOURCE] })],
    ['for the audience with a slash', () => signed({ aud: `${RESOURCE}/` })],
    ['expired within the clock skew', () => signed({ exp: NOW_SECONDS - 59 })],
    ['valid within the clock skew', () => signed({ nbf: NOW_SECONDS + 60 })],
    ['with an empty jwk header', () => signed({}, { header: { jwk: {} } })],
  ]
  it.each(good)('lets through a token %s', async (_, make) => {
    const res = await both.request('/', bearer(await make()))
    expect(res.status).toBe(200)
  })

  const algorithms = ['RS256', 'RS512', 'PS256', 'PS384', 'ES256', 'ES384', 'EdDSA', 'Ed25519']
  it.each(algorithms)('takes %s from the key set', async (alg) => {
    const pair = await issuerKey('key-1', alg)
    const server = keyServer(pair.jwk)
    const app = appWith({ jwksUrl: server.url, fetch: server.fetch })
    const res = await app.request('/', bearer(await pair.sign()))
    expect(res.status).toBe(200)
  })

  it('tries every key that fits a token without kid', async () => {
    const first = await issuerKey(undefined)
    const second = await issuerKey(undefined)
    const server = keyServer(first.jwk, second.jwk)
    const app = appWith({ jwksUrl: server.url, fetch: server.fetch })
    expect((await app.request('/', bearer(await second.sign()))).status).toBe(200)
    const res = await app.request('/', bearer(await (await issuerKey(undefined)).sign()))
    expect(res.headers.get('www-authenticate')).toContain('The signature of the token does not match.')
  })

  it('takes a bare origin as audience with and without its slash', async () => {
    const app = new Hono()
      .use(
        userContext({
          ...OPTIONS,
          tokens: { secret: SECRET, issuer: ISSUER, audience: 'https://h.example' },
        }),
      )
      .get('/', (c) => c.text('ok'))
    expect((await app.request('/', bearer(await signed({ aud: 'https://h.example/' })))).status).toBe(200)
    expect((await app.request('/', bearer(await signed({ aud: 'https://h.example' })))).status).toBe(200)
    expect((await app.request('/', bearer(await signed({ aud: 'https://h.example//' })))).status).toBe(401)
  })
})

interface Bad {
  name: string
  token: () => string | Promise<string>
  says: string
  app?: () => App
}
const claim = (name: string, claims: Record<string, unknown>, says: string): Bad => ({
  name,
  token: () => signed(claims),
  says,
})

describe('bad tokens', () => {
  const cases: Bad[] = [
    { name: 'no JWT', token: () => 'abc', says: 'The token is malformed.' },
    { name: 'two parts', token: () => 'abc.def', says: 'The token is malformed.' },
    { name: 'five parts (encrypted)', token: () => 'a.b.c.d.e', says: 'The token is malformed.' },
    { name: 'empty parts', token: () => '..', says: 'The token is malformed.' },
    {
      name: 'header no JSON',
      token: async () => changed(await signed(), 0, 'YWJj'),
      says: 'The token is malformed.',
    },
    { name: 'a header without alg', token: () => unsigned({ typ: 'JWT' }), says: 'The token is malformed.' },
    { name: 'huge', token: () => signed({ x: 'x'.repeat(9000) }), says: 'The token is too long.' },
    {
      name: 'alg none',
      token: () => unsigned({ alg: 'none' }),
      says: 'The algorithm of the token is not accepted.',
    },
    {
      name: 'alg None',
      token: () => unsigned({ alg: 'None' }),
      says: 'The algorithm of the token is not accepted.',
    },
    {
      name: 'alg none over a good signature',
      token: async () => changed(await signed(), 0, base64url({ alg: 'none' })),
      says: 'The algorithm of the token is not accepted.',
    },
    {
      name: 'another algorithm of the secret',
      token: () => signed({}, { header: { alg: 'HS512' } }),
      says: 'The algorithm of the token is not accepted.',
    },
    {
      name: 'the secret where only keys are configured',
      token: () => signed(),
      says: 'The algorithm of the token is not accepted.',
      app: () => keysOnly,
    },
    {
      name: 'a key where only the secret is configured',
      token: () => key.sign(),
      says: 'The algorithm of the token is not accepted.',
      app: () => secretOnly,
    },
    {
      name: 'an algorithm put into crit',
      token: async () =>
        signed({}, { header: { crit: ['exp'], exp: 1 } }).catch(() =>
          unsigned({ alg: 'HS256', crit: ['exp'], exp: 1 }),
        ),
      says: 'The token is malformed.',
    },
    {
      name: 'another secret',
      token: () => signed({}, { secret: 'another-secret-of-more-than-32-bytes' }),
      says: 'The signature of the token does not match.',
    },
    {
      name: 'no signature',
      token: async () => changed(await signed(), 2, ''),
      says: 'The signature of the token does not match.',
    },
    {
      name: 'changed claims',
      token: async () => changed(await signed(), 1, base64url({ ...CLAIMS, sub: 'admin' })),
      says: 'The signature of the token does not match.',
    },
    {
      name: 'the public key (PEM) as HMAC secret',
      token: async () => signed({}, { secret: await exportSPKI(key.publicKey), header: { kid: 'key-1' } }),
      says: 'The signature of the token does not match.',
    },
    {
      name: 'the public key (JWK) as HMAC secret',
      token: async () => signed({}, { secret: JSON.stringify(key.jwk), header: { kid: 'key-1' } }),
      says: 'The signature of the token does not match.',
    },
    {
      name: 'the public key as HMAC secret, where only keys are configured',
      token: async () => signed({}, { secret: await exportSPKI(key.publicKey), header: { kid: 'key-1' } }),
      says: 'The algorithm of the token is not accepted.',
      app: () => keysOnly,
    },
    {
      name: 'an unknown kid',
      token: () => stranger.sign(),
      says: 'The token is signed with an unknown key.',
    },
    {
      name: 'a known kid of another algorithm',
      token: async () => (await issuerKey('key-1', 'RS256')).sign(),
      says: 'The token is signed with an unknown key.',
    },
    {
      name: 'a stranger’s key under a known kid',
      token: async () => (await issuerKey('key-1')).sign(),
      says: 'The signature of the token does not match.',
    },
    {
      name: 'an embedded jwk',
      token: async () => stranger.sign({}, { kid: 'key-1', jwk: stranger.jwk }),
      says: 'The signature of the token does not match.',
    },
    {
      name: 'an embedded jwk without kid',
      token: async () => stranger.sign({}, { kid: undefined, jwk: await exportJWK(stranger.publicKey) }),
      says: 'The signature of the token does not match.',
    },
    {
      name: 'a jku and an x5u',
      token: () => stranger.sign({}, { jku: 'https://evil.example/jwks', x5u: 'https://evil.example/cert' }),
      says: 'The token is signed with an unknown key.',
    },
    claim('expired', { exp: NOW_SECONDS - 60 }, 'The token has expired.'),
    claim('not yet valid', { nbf: NOW_SECONDS + 61 }, 'The token is not valid yet.'),
    claim('without exp', { exp: undefined }, 'The token has no expiry.'),
    claim('exp as text', { exp: String(NOW_SECONDS + 60) }, 'The token has no expiry.'),
    claim('of another issuer', { iss: 'https://evil.example' }, 'The token comes from another issuer.'),
    claim('of the issuer with a slash', { iss: `${ISSUER}/` }, 'The token comes from another issuer.'),
    claim('without issuer', { iss: undefined }, 'The token comes from another issuer.'),
    claim(
      'for another audience',
      { aud: 'https://other.example' },
      'The token was issued for another audience.',
    ),
    claim(
      'for a part of the audience',
      { aud: 'https://mcp.example' },
      'The token was issued for another audience.',
    ),
    claim('without audience', { aud: undefined }, 'The token was issued for another audience.'),
    claim('without subject', { sub: undefined }, 'The token names no user.'),
    claim('with an empty subject', { sub: '' }, 'The token names no user.'),
  ]

  it.each(cases)('refuses a token: $name', async ({ token, says, app = () => both }) => {
    const text = await token()
    const res = await app().request('/', bearer(text))
    expect(res.status).toBe(401)
    expect(res.headers.get('www-authenticate')).toBe(
      `Bearer error="invalid_token", error_description="${says}", resource_metadata="${METADATA}"`,
    )
    const body = await res.text()
    expect(JSON.parse(body)).toEqual({
      jsonrpc: '2.0',
      id: null,
      error: { code: 40101, message: says, data: { code: 'invalid_token' } },
    })
    const sent = body + JSON.stringify([...res.headers])
    expect(sent).not.toContain(SECRET)
    if (text.length > 10) expect(sent).not.toContain(text.slice(0, 20))
  })

  it('does not blame a token for a key of the issuer that is too weak to use', async () => {
    const algorithm = {
      name: 'RSASSA-PKCS1-v1_5',
      modulusLength: 1024,
      publicExponent: new Uint8Array([1, 0, 1]),
      hash: 'SHA-256',
    }
    const pair = untyped<CryptoKeyPair>(await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']))
    const server = keyServer({ ...(await exportJWK(pair.publicKey)), kid: 'weak' })
    const app = appWith({ jwksUrl: server.url, fetch: server.fetch })
    const res = await app.request('/', bearer(`${unsigned({ alg: 'RS256', kid: 'weak' })}AAAA`))
    expect(res.status).toBe(503)
    expect(res.headers.get('retry-after')).not.toBeNull()
  })

  it('refuses a huge token before it parses it, wherever it comes from', async () => {
    const { verify } = createTokenVerifier({
      secret: SECRET,
      issuer: ISSUER,
      audience: RESOURCE,
      now: () => NOW,
    })
    await expect(verify(await signed({ x: 'x'.repeat(5000) }))).resolves.toBeTruthy()
    await expect(verify(await signed({ x: 'x'.repeat(9000) }))).rejects.toThrow('The token is too long.')
  })

  it('refuses, and never breaks on, whatever a good token is changed into', async () => {
    const token = await signed()
    for (let at = 0; at < token.length; at += 7) {
      for (const mark of ['.', '_', '-', '~', 'A']) {
        const other = token.slice(0, at) + mark + token.slice(at + 1)
        if (other === token) continue
        const res = await both.request('/', bearer(other))
        expect(res.status, `${mark} at ${at}`).toBe(401)
      }
    }
  })
})
