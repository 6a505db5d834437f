import { createLocalJWKSet, exportJWK, generateKeyPair, type JSONWebKeySet, type JWK, jwtVerify } from 'jose'
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { proxyMcp } from '../../src/mcp/proxy.ts'
import { type AssertedClaim, assertionKeys, type UserAssertionOptions } from '../../src/mcp/user-assertion.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, modern, post, tokenFor } from '../support/mcp.ts'

const UPSTREAM = 'https://tools.example.com/mcp'
const ISSUER = 'https://kit.example.com'

async function makeKey(kid?: string): Promise<JWK> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true })
  return { ...(await exportJWK(privateKey)), ...(kid === undefined ? {} : { kid }) }
}

let database: TestDatabase
let key: JWK
beforeAll(async () => {
  database = await createTestDatabase()
  key = await makeKey()
})
afterAll(() => database[Symbol.asyncDispose]())

/** The assertion that an upstream server gets when somebody calls a tool. */
async function assertionFor(
  options: Partial<UserAssertionOptions>,
  { anonymous = false, claims = {} }: { anonymous?: boolean; claims?: Record<string, unknown> } = {},
): Promise<string | null> {
  let sent: Headers | undefined
  const handler = proxyMcp({
    upstream: UPSTREAM,
    assertion: { keys: [key], issuer: ISSUER, ...options },
    fetch: (_url, init) => {
      sent = init.headers as Headers
      return Promise.resolve(Response.json({ jsonrpc: '2.0', id: 1, result: { content: [] } }))
    },
  })
  const app = appWith(database.sql, handler, { required: false })
  const { body, headers } = modern(callTool('echo'))
  const token = anonymous ? undefined : await tokenFor('Alice', claims)
  const response = await app.request(
    '/mcp',
    post(body, { token, headers: { ...headers, 'user-context-assertion': 'forged' } }),
  )
  expect(response.status).toBe(200)
  return sent!.get('user-context-assertion')
}

const published = async (keys: JWK[]): Promise<JSONWebKeySet> => {
  const app = new Hono().route('/', assertionKeys({ keys }))
  return await (await app.request('/.well-known/jwks.json')).json()
}

/** As README tells upstream servers to do it. */
const verify = async (assertion: string, keys: JWK[]) =>
  await jwtVerify(assertion, createLocalJWKSet(await published(keys)), {
    issuer: ISSUER,
    audience: UPSTREAM,
    algorithms: ['ES256'],
  })

describe('the assertion of a user', () => {
  it('names the user by the id of every table, for a minute and one server', async () => {
    const { payload, protectedHeader } = await verify((await assertionFor({}))!, [key])
    const [alice] = await database.owner<{ user_id: string }[]>`
      select user_id from archon_mcp_users where email = 'alice@example.com'`
    expect(payload).toEqual({
      iss: ISSUER,
      sub: alice!.user_id,
      aud: UPSTREAM,
      iat: expect.any(Number),
      exp: payload.iat! + 60,
      jti: expect.stringMatching(/^[\da-f-]{36}$/),
    })
    expect(protectedHeader).toEqual({ alg: 'ES256', typ: 'JWT', kid: expect.any(String) })
  })

  it('says as much of them as is configured, and of what they lack nothing', async () => {
    const claims: AssertedClaim[] = ['email', 'name', 'department', 'role']
    const { payload } = await verify((await assertionFor({ claims }))!, [key])
    expect(payload).toMatchObject({ email: 'alice@example.com', name: 'Alice', role: 'member' })
    expect(payload).not.toHaveProperty('department')
  })

  it('is another one for each request', async () => {
    const ids = await Promise.all(
      [1, 2].map(async () => (await verify((await assertionFor({}))!, [key])).payload.jti),
    )
    expect(ids[0]).not.toBe(ids[1])
  })

  it('is not there for anonymous callers and programs, whatever they send', async () => {
    expect(await assertionFor({}, { anonymous: true })).toBeNull()
    expect(await assertionFor({}, { claims: { sub: undefined, role: 'service_role' } })).toBeNull()
  })

  it('outlives a change of keys: the first signs, all are published', async () => {
    const next = await makeKey('2027')
    const before = (await assertionFor({ keys: [key, next] }))!
    const after = (await assertionFor({ keys: [next, key] }))!
    for (const assertion of [before, after]) await verify(assertion, [next, key])
    await expect(verify(before, [next])).rejects.toThrow('no applicable key')
  })
})

describe('the published keys', () => {
  it('are public', async () => {
    const { keys } = await published([key, await makeKey('2027')])
    expect(keys.map((one) => Object.keys(one).toSorted())).toEqual(
      keys.map(() => ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']),
    )
  })
})

describe('an assertion that cannot be signed', () => {
  const cases: { name: string; options: () => Partial<UserAssertionOptions>; fault: string }[] = [
    {
      name: 'without a key',
      options: () => ({ keys: [] }),
      fault: 'assertion.keys: has no key: give one EC key on P-256 as a JWK',
    },
    {
      name: 'with a secret in place of a key',
      options: () => ({ keys: [{ kty: 'oct', k: 'c2VjcmV0' }] }),
      fault: 'assertion.keys: key 1 is no EC key on P-256: ES256 needs kty EC, crv P-256, x and y',
    },
    {
      name: 'with a public key',
      options: () => ({ keys: [{ kty: 'EC', crv: 'P-256', x: key.x!, y: key.y! }] }),
      fault: 'assertion.keys: key 1 is a public one: the first signs, and needs its d',
    },
    {
      name: 'for longer than a minute',
      options: () => ({ lifetimeSeconds: 61 }),
      fault: 'assertion.lifetimeSeconds must be from 1 to 60',
    },
    {
      name: 'of what is not known',
      options: () => ({ claims: ['password' as AssertedClaim] }),
      fault: 'assertion.claims has no password: give email, name, department, role',
    },
  ]
  it.each(cases)('$name', ({ options, fault }) => {
    const make = () =>
      proxyMcp({ upstream: UPSTREAM, assertion: { keys: [key], issuer: ISSUER, ...options() } })
    expect(make).toThrow(new TypeError(`proxyMcp: ${fault}`))
  })
})
