import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { loadIdentity, mintToken } from '../../src/trial/identity.ts'
import { trialParts } from '../../src/trial/parts.ts'
import { rememberPerson } from '../../src/trial/people.ts'
import { loadSignInKeys } from '../../src/trial/sign-in/keys.ts'
import { openStore } from '../../src/trial/sign-in/store.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { formBrowser } from '../support/form-browser.ts'
import { initialize, post } from '../support/mcp.ts'
import { serveTrial, type ServedTrial } from '../support/serve-trial.ts'
import { REDIRECT, signIn } from '../support/signed-in-client.ts'

let database: TestDatabase
let trial: ServedTrial
beforeAll(async () => {
  database = await createTestDatabase()
  trial = await serveTrial(database)
})
afterAll(async () => {
  await trial[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

const at = (path: string, init?: RequestInit): Promise<Response> => fetch(new URL(path, trial.origin), init)
const register = (metadata: Record<string, unknown>, headers: Record<string, string> = {}) =>
  at('/oauth/register', {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ token_endpoint_auth_method: 'none', ...metadata }),
  })

/** An address at which a client asks, with what makes it a right one unless told otherwise. */
function authorize(clientId: string, change: Record<string, string | undefined> = {}): URL {
  const url = new URL('/oauth/authorize', trial.origin)
  const all = {
    client_id: clientId,
    response_type: 'code',
    redirect_uri: REDIRECT,
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
    ...change,
  }
  for (const [name, value] of Object.entries(all)) if (value !== undefined) url.searchParams.set(name, value)
  return url
}

describe('a client that knows the endpoint alone', () => {
  it.each(['legacy', 'auto'] as const)('finds the sign-in and gets a session (%s)', async (mode) => {
    await using bob = await signIn(trial.url, formBrowser({ press: 'Bob Builder' }), { mode })
    const who = await bob.client.callTool({ name: 'whoami' })
    expect(JSON.stringify(who)).toContain('bob-builder@example.com')
    expect(bob.asked).toHaveLength(1)
    const token = bob.tokens()!.access_token
    expect(decodeProtectedHeader(token)).toMatchObject({ alg: 'RS256', typ: 'at+jwt' })
    expect(decodeJwt(token)).toMatchObject({
      aud: trial.url.href,
      scope: 'mcp',
      client_id: bob.information()!.client_id,
      app_metadata: { role: 'member', department: 'Engineering' },
    })
  })

  it('is told whom it lets in, and shown as what it is', async () => {
    await rememberPerson(trial.folder, { name: 'Dora <b>', role: 'manager', department: 'Sales' })
    const seen: string[] = []
    await using dora = await signIn(trial.url, formBrowser({ press: 'Dora <b>', seen }))
    expect(JSON.stringify(await dora.client.callTool({ name: 'whoami' }))).toContain('Sales')
    expect(seen[0]).toContain('A test &lt;client&gt;')
    expect(seen[0]).toContain('http://127.0.0.1:53682')
    expect(seen[0]).toContain('manager, Sales')
    expect(seen[0]).not.toMatch(/<(script|b)>/)
  })

  it.each(['legacy', 'auto'] as const)(
    'asks again for what a single tool wants beyond that (%s)',
    async (mode) => {
      const seen: string[] = []
      await using bob = await signIn(trial.url, formBrowser({ press: 'Bob Builder', seen }), { mode })
      const secret = await bob.do(() => bob.client.callTool({ name: 'secret' }))
      expect(JSON.stringify(secret)).toContain('second drawer')
      const asked = bob.asked.map(({ searchParams }) => searchParams.get('scope')?.split(' '))
      expect(asked).toEqual([
        ['mcp', 'offline_access'],
        ['mcp', 'secrets:read', 'offline_access'],
      ])
      expect(seen.map((page) => page.includes('It asks for <code>secrets:read</code> as well.'))).toEqual([
        false,
        true,
      ])
      expect(bob.tokens()!.scope).toBe('mcp secrets:read')
    },
  )

  it('goes away empty-handed when the person does not want it', async () => {
    const { client_id: id } = await (
      await register({ redirect_uris: [REDIRECT] })
    ).json<{ client_id: string }>()
    const called = await formBrowser({ press: 'Do not let it in' })(authorize(id))
    expect(Object.fromEntries(called.searchParams)).toMatchObject({
      error: 'access_denied',
      iss: trial.origin,
    })
  })

  it('may be used by one person after another in the same browser', async () => {
    const visit = { press: 'Bob Builder' }
    const browser = formBrowser(visit)
    await using bob = await signIn(trial.url, browser)
    visit.press = 'Carol Counter'
    await using carol = await signIn(trial.url, browser)
    expect(decodeJwt(bob.tokens()!.access_token)['email']).toBe('bob-builder@example.com')
    expect(decodeJwt(carol.tokens()!.access_token)['email']).toBe('carol-counter@example.com')
  })

  it('renews its token without the person, and the old one of the pair is used up', async () => {
    await using bob = await signIn(trial.url, formBrowser({ press: 'Bob Builder' }))
    const renew = () =>
      at('/oauth/token', {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'refresh_token',
          client_id: bob.information()!.client_id,
          refresh_token: bob.tokens()!.refresh_token!,
          resource: trial.url.href,
        }),
      })
    const renewed = await (await renew()).json<{ access_token: string }>()
    const answer = await fetch(trial.url, post(initialize(), { token: renewed.access_token }))
    expect(answer.status).toBe(200)
    expect((await renew()).status).toBe(400)
  })
})

describe('the provider', () => {
  it('names the same endpoints where OAuth and where OpenID clients look', async () => {
    const [oauth, openid] = await Promise.all(
      ['oauth-authorization-server', 'openid-configuration'].map(async (name) =>
        (await at(`/.well-known/${name}`)).json<Record<string, unknown>>(),
      ),
    )
    expect(oauth).toEqual(openid)
    expect(oauth).toMatchObject({
      issuer: trial.origin,
      registration_endpoint: `${trial.origin}/oauth/register`,
      code_challenge_methods_supported: ['S256'],
    })
  })

  it.each([
    ['no proof of the code (PKCE)', { code_challenge: undefined }, 'invalid_request'],
    ['a token for somebody else', { resource: 'https://other.example.com/mcp' }, 'invalid_target'],
  ])('refuses %s', async (_, change, error) => {
    const { client_id: id } = await (
      await register({ redirect_uris: [REDIRECT] })
    ).json<{ client_id: string }>()
    const response = await fetch(authorize(id, change), { redirect: 'manual' })
    const called = new URL(response.headers.get('location')!)
    expect(called.searchParams.get('error')).toBe(error)
  })

  it('takes an address of this machine on any port, as native apps have it, and http nowhere else', async () => {
    const { client_id: id } = await (
      await register({ redirect_uris: [REDIRECT] })
    ).json<{ client_id: string }>()
    const other = 'http://127.0.0.1:50000/callback'
    const called = await formBrowser({ press: 'Bob Builder' })(authorize(id, { redirect_uri: other }))
    expect(`${called.origin}${called.pathname}`).toBe(other)
    expect((await register({ redirect_uris: ['http://other.example.com/callback'] })).status).toBe(400)
  })

  it('keeps out the pages of others', async () => {
    const page = await register({ redirect_uris: [REDIRECT] }, { origin: 'https://evil.example.com' })
    expect(page.status).toBe(403)
  })

  it('answers clients in pages of this machine, such as the Inspector, on their whole way', async () => {
    const origin = 'http://localhost:6274'
    const asked = [
      await at('/.well-known/oauth-authorization-server', { headers: { origin } }),
      await register({ redirect_uris: [`${origin}/oauth/callback`] }, { origin }),
      await at('/oauth/token', { method: 'POST', headers: { origin }, body: new URLSearchParams() }),
      await at('/oauth/token', {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'content-type,mcp-protocol-version',
        },
      }),
    ]
    expect(asked.map(({ status }) => status)).toEqual([200, 201, 400, 204])
    expect(asked.map(({ headers }) => headers.get('access-control-allow-origin'))).toEqual(
      asked.map(() => origin),
    )
  })

  it('shows its page to no frame and no script', async () => {
    const { client_id: id } = await (
      await register({ redirect_uris: [REDIRECT] })
    ).json<{ client_id: string }>()
    const first = await fetch(authorize(id), { redirect: 'manual' })
    const cookie = first.headers
      .getSetCookie()
      .map((each) => each.split(';')[0])
      .join('; ')
    const page = await at(first.headers.get('location')!, { headers: { cookie } })
    const policy = page.headers.get('content-security-policy')
    expect(policy).toMatch(
      /default-src 'none'.*form-action 'self' http:\/\/127\.0\.0\.1:53682.*frame-ancestors 'none'/,
    )
    // Without the cookie of its own browser it is nobody's.
    expect((await at(first.headers.get('location')!)).status).toBe(400)
  })

  it('is not there for other machines: nobody has a password', async () => {
    const PUBLIC_URL = 'https://mcp.example.com/mcp'
    const config = readConfig({ DATABASE_URL: database.url, PUBLIC_URL }, 'node')
    const parts = await trialParts(config, trial.folder)
    expect(await parts.access!(config)).toEqual({
      tokens: loadIdentity(trial.folder),
      authorizationServers: ['https://mcp.example.com'],
    })
    await parts.stop()
  })

  it('leaves the tokens of the command line as good as its own', async () => {
    const token = await mintToken(loadIdentity(trial.folder), { name: 'Bob Builder' })
    expect((await fetch(trial.url, post(initialize(), { token }))).status).toBe(200)
  })
})

describe('the dashboard, a client of the provider that is known from the start', () => {
  const callback = 'http://localhost:3000/dashboard/callback'
  const { origin: elsewhere } = new URL(callback)

  /** Signs in, and gives the tokens. */
  async function enter(press: string) {
    const verifier = 'a verifier of forty-three characters or more, of letters'.replaceAll(/[ ,]/g, '-')
    const { clientId, clientSecret } = trial.access.oidc!
    const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))
    const address = authorize(clientId, {
      redirect_uri: callback,
      scope: 'openid profile email',
      code_challenge: Buffer.from(hash).toString('base64url'),
    })
    const code = (await formBrowser({ press })(address)).searchParams.get('code')!
    const response = await at('/oauth/token', {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}` },
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        code,
        redirect_uri: callback,
        code_verifier: verifier,
      }),
    })
    return await response.json<{ id_token: string; access_token: string }>()
  }

  it('learns who somebody is, and gets a token of theirs for the API', async () => {
    const { id_token: idToken, access_token: accessToken } = await enter('Carol Counter')
    expect(decodeJwt(idToken)).toMatchObject({
      iss: trial.origin,
      aud: 'dashboard',
      name: 'Carol Counter',
      email: 'carol-counter@example.com',
      app_metadata: { role: 'finance', department: 'Finance' },
    })
    const me = await at('/api/mcp/me', { headers: { authorization: `Bearer ${accessToken}` } })
    expect(await me.json()).toMatchObject({ user: { id: decodeJwt(idToken).sub, role: 'finance' } })
  })

  it('signs out there too, and comes back', async () => {
    const { id_token: idToken } = await enter('Carol Counter')
    const out = new URL('/oauth/sign-out', trial.origin)
    out.search = new URLSearchParams({
      id_token_hint: idToken,
      post_logout_redirect_uri: `${elsewhere}/dashboard/sign-in`,
    }).toString()
    const came = await formBrowser({ press: 'Sign out' })(out)
    expect(came.href).toBe(`${elsewhere}/dashboard/sign-in`)
  })
})

describe('what the provider keeps', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sign-in-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('are its keys, for their owner alone to read', () => {
    expect(loadSignInKeys(folder)).toEqual(loadSignInKeys(folder))
    expect(statSync(join(folder, 'sign-in-keys.json')).mode & 0o777).toBe(0o600)
  })

  it('outlives it: clients stay registered, and what has expired is gone', async () => {
    const store = openStore(folder)
    await store.adapter('Client').upsert('c', { client_name: 'kept' })
    await store.adapter('RefreshToken').upsert('r', { grantId: 'g' }, 60)
    await store.adapter('RefreshToken').upsert('old', { grantId: 'g' }, -1)
    store.flush()
    expect(statSync(join(folder, 'sign-in.json')).mode & 0o777).toBe(0o600)
    const again = openStore(folder)
    expect(await again.adapter('Client').find('c')).toMatchObject({ client_name: 'kept' })
    expect(await again.adapter('RefreshToken').find('r')).toMatchObject({ grantId: 'g' })
    expect(await again.adapter('RefreshToken').find('old')).toBeUndefined()
    await again.adapter('RefreshToken').revokeByGrantId('g')
    expect(await again.adapter('RefreshToken').find('r')).toBeUndefined()
  })
})
