import { Hono } from 'hono'
import { describe, expect, expectTypeOf, it } from 'vitest'
import { AuthUnavailableError, InvalidTokenError } from '../../src/auth/token-errors.ts'
import { createTokenVerifier } from '../../src/auth/tokens.ts'
import { userContext, type UserContextOptions } from '../../src/auth/user-context.ts'
import type { AuthInfo, Caller, Claims, UserContext, UserVariables } from '../../src/variables.ts'
import {
  bearer,
  clock,
  ISSUER,
  METADATA,
  NOW,
  NOW_SECONDS,
  RESOURCE,
  SECRET,
  signed,
  SUBJECT,
  untyped,
} from './support.ts'

const TOKENS = { secret: SECRET, issuer: ISSUER, audience: RESOURCE }
const OPTIONS: UserContextOptions = { tokens: TOKENS, resource: RESOURCE, now: () => NOW }
const ID = SUBJECT.toLowerCase()

/** An app that answers with what the middleware set. */
const appWith = (options: Partial<UserContextOptions> = {}) =>
  new Hono().use(userContext({ ...OPTIONS, ...options })).all('*', (c) => c.json({ ...c.var }))

/** An app that hands out what the middleware set. */
const spyOn = (options: Partial<UserContextOptions> = {}) => {
  const seen: UserVariables[] = []
  const app = new Hono().use(userContext({ ...OPTIONS, ...options })).all('*', (c) => {
    seen.push({ user: c.var.user, auth: c.var.auth, caller: c.var.caller })
    return c.text('ok')
  })
  return { app, seen }
}

const verifying = (verify: (token: string) => Promise<Claims>) => ({ tokens: { verify } })

describe('userContext', () => {
  it('tells who is calling', async () => {
    const { app, seen } = spyOn()
    const token = await signed({
      email: 'ada@example.com',
      name: 'Ada',
      client_id: 'desktop',
      scope: 'a b',
      app_metadata: { department: 'engineering', role: 'manager' },
    })
    expect((await app.request('/', bearer(token))).status).toBe(200)
    const claims = {
      iss: ISSUER,
      aud: RESOURCE,
      sub: SUBJECT,
      iat: NOW_SECONDS - 60,
      exp: NOW_SECONDS + 3600,
      email: 'ada@example.com',
      name: 'Ada',
      client_id: 'desktop',
      scope: 'a b',
      app_metadata: { department: 'engineering', role: 'manager' },
    }
    const profile = { email: 'ada@example.com', name: 'Ada', department: 'engineering', role: 'manager' }
    const user = { id: ID, ...profile, scopes: ['a', 'b'], issuer: ISSUER, subject: SUBJECT, claims }
    expect(seen).toEqual([
      {
        user,
        auth: {
          token,
          clientId: 'desktop',
          scopes: ['a', 'b'],
          expiresAt: NOW_SECONDS + 3600,
          resource: new URL(RESOURCE),
          extra: { user, role: 'manager', claims },
        },
        caller: {
          kind: 'user',
          identity: {
            issuer: ISSUER,
            subject: SUBJECT,
            firstId: ID,
            fallbackId: expect.stringMatching(/^[0-9a-f-]{14}5/),
            ...profile,
            issuedAt: new Date((NOW_SECONDS - 60) * 1000),
          },
          invalidTokenChallenge: `Bearer error="invalid_token", error_description="The token is no longer accepted.", resource_metadata="${METADATA}"`,
        },
      },
    ])
  })

  it('answers who sent no token with the way to one, and no error code', async () => {
    const res = await appWith({ requiredScopes: ['mcp:use'] }).request('/', { method: 'POST', body: '{}' })
    expect(res.status).toBe(401)
    expect(res.headers.get('www-authenticate')).toBe(
      `Bearer scope="mcp:use", resource_metadata="${METADATA}"`,
    )
    expect(res.headers.get('cache-control')).toBe('no-store')
    expect(await res.json()).toEqual({
      jsonrpc: '2.0',
      id: null,
      error: { code: 40100, message: 'A bearer token is required', data: { code: 'unauthorized' } },
    })
  })

  it('never takes a token from the query string', async () => {
    const token = await signed()
    const res = await appWith({ required: false }).request(`/?access_token=${token}&token=${token}`)
    expect(await res.json()).toMatchObject({ user: null })
    expect((await appWith().request(`/?access_token=${token}`)).status).toBe(401)
  })

  it('lets nobody in by two headers', async () => {
    const headers = new Headers()
    headers.append('authorization', `Bearer ${await signed()}`)
    headers.append('authorization', `Bearer ${await signed()}`)
    expect((await appWith().request('/', { headers })).status).toBe(401)
  })

  const schemes: [string, string, string][] = [
    ['another scheme', 'Basic YTpi', `Bearer resource_metadata="${METADATA}"`],
    ['an empty header', '', `Bearer resource_metadata="${METADATA}"`],
    [
      'an empty token',
      'Bearer ',
      `Bearer error="invalid_token", error_description="The Authorization header is malformed.", resource_metadata="${METADATA}"`,
    ],
  ]
  it.each(schemes)('refuses %s, also where a token is not required', async (_, authorization, challenge) => {
    for (const required of [true, false]) {
      const res = await appWith({ required }).request('/', { headers: { authorization } })
      expect(res.status).toBe(401)
      expect(res.headers.get('www-authenticate')).toBe(challenge)
    }
  })

  it('lets anonymous callers pass where a token is not required, but no bad token', async () => {
    const { app, seen } = spyOn({ required: false })
    expect((await app.request('/')).status).toBe(200)
    expect(seen).toEqual([
      {
        user: null,
        auth: undefined,
        caller: {
          kind: 'anonymous',
          identity: null,
          invalidTokenChallenge: expect.stringMatching(/^Bearer/),
        },
      },
    ])
    expect((await app.request('/', bearer(await signed({ exp: 1 })))).status).toBe(401)
  })

  it('knows a program by service_role', async () => {
    const { app, seen } = spyOn()
    await app.request('/', bearer(await signed({ role: 'service_role', sub: undefined, azp: 'worker' })))
    expect(seen[0]).toMatchObject({
      user: null,
      auth: { clientId: 'worker', extra: { user: null, role: 'service' } },
      caller: { kind: 'service', identity: null },
    })
  })

  it('grants nothing by user_metadata', async () => {
    const { app, seen } = spyOn()
    const user_metadata = { role: 'admin', department: 'board', app_metadata: { role: 'admin' } }
    await app.request('/', bearer(await signed({ user_metadata })))
    expect(seen[0]?.user).toMatchObject({ role: 'member', department: null })
  })

  it('answers 403 with every required scope', async () => {
    const app = appWith({ requiredScopes: ['a', 'b'] })
    const res = await app.request('/', bearer(await signed({ scope: 'b c' })))
    expect(res.status).toBe(403)
    expect(res.headers.get('www-authenticate')).toBe(
      'Bearer error="insufficient_scope", error_description="The token lacks a required scope.", ' +
        `scope="a b", resource_metadata="${METADATA}"`,
    )
    expect(await res.json()).toMatchObject({ error: { code: 40300 } })
    expect((await app.request('/', bearer(await signed({ scope: 'b a' })))).status).toBe(200)
  })

  it('answers problem details on a REST route', async () => {
    const res = await appWith({ refuse: 'problem' }).request('/', bearer('abc'))
    expect(res.status).toBe(401)
    expect(res.headers.get('content-type')).toBe('application/problem+json')
    expect(res.headers.get('www-authenticate')).toContain('error="invalid_token"')
    expect(await res.json()).toMatchObject({
      status: 401,
      code: 'invalid_token',
      detail: 'The token is malformed.',
    })
  })

  it('follows configured claims', async () => {
    const { app, seen } = spyOn({ departmentClaim: 'https://x.example/department', roleClaim: 'realm.role' })
    await app.request(
      '/',
      bearer(await signed({ 'https://x.example/department': 'legal', realm: { role: 'finance' } })),
    )
    expect(seen[0]?.user).toMatchObject({ department: 'legal', role: 'finance' })
  })

  const moments: [unknown, Date | null][] = [
    [undefined, null],
    [1.5, new Date(1500)],
    [1e300, null],
    // Milliseconds, the usual slip: no moment that the database could hold.
    [1_795_399_093_000, null],
    [-1, null],
    ['2026', null],
  ]
  it.each(moments)('reads iat %s as %s', async (iat, expected) => {
    const { app, seen } = spyOn(verifying(async () => ({ sub: 'ada', iat: untyped(iat) })))
    await app.request('/', bearer('t'))
    expect(seen[0]?.caller.identity?.issuedAt).toEqual(expected)
  })

  it('keeps its variables to itself: no request spoils the next', async () => {
    const token = await signed({ scope: 'a', app_metadata: { role: 'member' } })
    const seen: UserVariables[] = []
    const app = new Hono().use(userContext(OPTIONS)).get('/', (c) => {
      const { user, auth, caller } = c.var
      seen.push(untyped(structuredClone({ user, auth: { ...auth, resource: auth?.resource?.href }, caller })))
      auth?.scopes.push('admin')
      if (auth) Object.assign(auth.extra, { sessionId: 'mine', role: 'admin' })
      if (auth?.resource) auth.resource.pathname = '/elsewhere'
      caller.identity?.issuedAt?.setFullYear(1970)
      if (caller.identity) caller.identity.department = 'board'
      expect(() => Object.assign(untyped<object>(user?.claims['app_metadata']), { role: 'admin' })).toThrow(
        TypeError,
      )
      expect(() => user?.scopes.push('admin')).toThrow(TypeError)
      return c.text('ok')
    })
    expect((await app.request('/', bearer(token))).status).toBe(200)
    expect((await app.request('/', bearer(token))).status).toBe(200)
    expect(seen[1]).toEqual(seen[0])
  })

  it('sets typed variables', () => {
    new Hono().use(userContext(OPTIONS)).get('/', (c) => {
      expectTypeOf(c.var.user).toEqualTypeOf<UserContext | null>()
      expectTypeOf(c.var.auth).toEqualTypeOf<AuthInfo | undefined>()
      expectTypeOf(c.var.caller).toEqualTypeOf<Caller>()
      return c.text('ok')
    })
    expect(userContext(OPTIONS).name).toBe('userContext')
  })

  it('does not touch its options', () => {
    const options = Object.freeze({ ...OPTIONS, tokens: Object.freeze({ ...TOKENS }) })
    expect(() => userContext(options)).not.toThrow()
  })
})

/** An app that counts how often its verify function is asked. */
const count = (cacheSeconds?: number) => {
  const { now, pass } = clock()
  let calls = 0
  const verify = async () => {
    calls += 1
    return { sub: 'ada' }
  }
  const app = appWith({ now, tokens: { verify, cacheSeconds } })
  return { app, pass, calls: () => calls }
}

describe('verdicts', () => {
  it('end with the token, skew included, also when they are remembered', async () => {
    const { now, pass } = clock()
    const app = appWith({ now })
    const token = await signed({ exp: NOW_SECONDS + 10 })
    expect((await app.request('/', bearer(token))).status).toBe(200)
    pass(69)
    expect((await app.request('/', bearer(token))).status).toBe(200)
    pass(1)
    expect((await app.request('/', bearer(token))).status).toBe(401)
  })

  it('are remembered by the whole token: a forged one with the same signature is refused', async () => {
    const app = appWith()
    const token = await signed()
    expect((await app.request('/', bearer(token))).status).toBe(200)
    const [header = '', , signature = ''] = token.split('.')
    const forged = `${header}.${btoa(JSON.stringify({ sub: 'admin', exp: 9e9 })).replaceAll('=', '')}.${signature}`
    expect((await app.request('/', bearer(forged))).status).toBe(401)
  })

  it('of a verify function are not remembered, so that its no counts at once', async () => {
    const { app, calls } = count()
    for (let i = 0; i < 3; i++) await app.request('/', bearer('t'))
    expect(calls()).toBe(3)
  })

  it('of a verify function are remembered for as long as it says', async () => {
    const { app, pass, calls } = count(10)
    for (let i = 0; i < 3; i++) await app.request('/', bearer('t'))
    pass(9)
    await app.request('/', bearer('t'))
    expect(calls()).toBe(1)
    pass(1)
    await app.request('/', bearer('t'))
    expect(calls()).toBe(2)
  })
})

describe('a verify function of one’s own', () => {
  it('gets the token and names the user', async () => {
    const { app, seen } = spyOn(verifying(async (token) => ({ iss: 'pat', sub: `user of ${token}` })))
    await app.request('/', bearer('pat_123'))
    expect(seen[0]?.user).toMatchObject({ issuer: 'pat', subject: 'user of pat_123' })
    expect(seen[0]?.auth).not.toHaveProperty('expiresAt')
  })

  it('needs no issuer', async () => {
    const { app, seen } = spyOn(verifying(async () => ({ sub: 'ada' })))
    await app.request('/', bearer('t'))
    expect(seen[0]?.user?.issuer).toBe('verify')
  })

  it('may go on using what it returned', async () => {
    const claims = { sub: 'ada', app_metadata: { role: 'member' } }
    const { app, seen } = spyOn(verifying(async () => claims))
    await app.request('/', bearer('t'))
    claims.app_metadata.role = 'admin'
    expect(seen[0]?.user?.claims).toEqual({ sub: 'ada', app_metadata: { role: 'member' } })
  })

  const refusals: [string, () => Promise<Claims>, string][] = [
    ['throws', () => Promise.reject(new Error('the database said: s3cret')), 'The token is not valid.'],
    ['throws no error', () => Promise.reject('no'), 'The token is not valid.'],
    ['throws our error', () => Promise.reject(new InvalidTokenError('Revoked.')), 'Revoked.'],
    ['returns nothing', async () => untyped(undefined), 'The token is not valid.'],
    ['returns null', async () => untyped(null), 'The token is not valid.'],
    ['returns text', async () => untyped('ada'), 'The token is not valid.'],
    ['returns a list', async () => untyped([]), 'The token is not valid.'],
    [
      'returns an expired token',
      async () => ({ sub: 'ada', exp: NOW_SECONDS - 60 }),
      'The token has expired.',
    ],
    [
      'returns exp as text',
      async () => ({ sub: 'ada', exp: untyped('9999999999') }),
      'The expiry of the token is not a number.',
    ],
    ['names nobody', async () => ({}), 'The token names no user.'],
    ['names no usable issuer', async () => ({ sub: 'ada', iss: untyped(7) }), 'The token names no user.'],
  ]
  it.each(refusals)('refuses when it %s', async (_, verify, says) => {
    const res = await appWith(verifying(verify)).request('/', bearer('t'))
    expect(res.status).toBe(401)
    expect(res.headers.get('www-authenticate')).toContain(
      `error="invalid_token", error_description="${says}"`,
    )
    expect(await res.text()).not.toContain('s3cret')
  })

  it('can say that nobody can tell', async () => {
    const res = await appWith(verifying(() => Promise.reject(new AuthUnavailableError(7.2)))).request(
      '/',
      bearer('t'),
    )
    expect(res.status).toBe(503)
    expect(res.headers.get('retry-after')).toBe('8')
    expect(res.headers.has('www-authenticate')).toBe(false)
  })

  it('can wrap ours and keep its sentences', async () => {
    const jwt = createTokenVerifier({ ...TOKENS, now: () => NOW })
    const app = appWith({ tokens: jwt })
    expect((await app.request('/', bearer(await signed()))).status).toBe(200)
    const res = await app.request('/', bearer(await signed({ exp: 1 })))
    expect(res.headers.get('www-authenticate')).toContain('The token has expired.')
  })
})
