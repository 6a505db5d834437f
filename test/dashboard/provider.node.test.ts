import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { dashboard, type DashboardOptions } from '../../src/dashboard/dashboard.ts'
import { createProvider } from '../../src/dashboard/sign-in/provider.ts'
import { createVisitCookie, newVisit } from '../../src/dashboard/sign-in/visit.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { formBrowser } from '../support/form-browser.ts'
import { serveHere, type Served } from '../support/serve.ts'
import { serveTrial, type ServedTrial } from '../support/serve-trial.ts'
import { COOKIE_KEY, textOf, visitorOf } from './support.ts'

let database: TestDatabase
let trial: ServedTrial
let served: Served
let options: DashboardOptions
let clock = () => new Date()
/** The dashboard on a port of its own, and the trial's provider on another: its client takes any port. */
beforeAll(async () => {
  database = await createTestDatabase()
  trial = await serveTrial(database)
  const { tokens, oidc } = trial.access
  options = {
    sql: database.sql,
    tokens,
    resource: trial.url.href,
    cookieKey: COOKIE_KEY,
    oidc: oidc!,
    now: () => clock(),
  }
  const app = new Hono().route('/dashboard', dashboard(options))
  served = await serveHere(() => app.fetch)
})
afterAll(async () => {
  await served[Symbol.asyncDispose]()
  await trial[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

/** A browser at the dashboard: it keeps the cookie, and follows no redirect by itself. */
function browserHere() {
  const jar = new Map<string, string>()
  return {
    jar,
    async open(path: string, form?: URLSearchParams): Promise<Response> {
      const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
      const response = await fetch(new URL(path, served.origin), {
        redirect: 'manual',
        headers: { cookie },
        ...(form === undefined ? {} : { method: 'POST', body: form }),
      })
      for (const line of response.headers.getSetCookie()) {
        const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
        if (value === '') jar.delete(name)
        else jar.set(name, value)
      }
      return response
    },
  }
}

type Browser = ReturnType<typeof browserHere>

const locationOf = (response: Response): string => response.headers.get('location') ?? ''

/** To the provider and back, as somebody. @returns where the provider sent them. */
async function throughProvider(
  browser: Browser,
  who: string,
  person = formBrowser({ press: who }),
): Promise<URL> {
  return await person(new URL(locationOf(await browser.open('/dashboard/sign-in/start?to=/costs'))))
}

async function signIn(who: string, person?: ReturnType<typeof formBrowser>): Promise<Browser> {
  const browser = browserHere()
  const back = await throughProvider(browser, who, person)
  const entered = await browser.open(back.pathname + back.search)
  expect([entered.status, locationOf(entered)]).toEqual([303, '/dashboard/costs'])
  return browser
}

const ALICE = 'Alice Admin'

describe('the sign-in with an OpenID provider', () => {
  it('asks it with PKCE, state and nonce, and nothing that is secret', async () => {
    const url = new URL(locationOf(await browserHere().open('/dashboard/sign-in/start')))
    expect(Object.fromEntries(url.searchParams)).toMatchObject({
      response_type: 'code',
      client_id: 'dashboard',
      code_challenge_method: 'S256',
      redirect_uri: `${served.origin}/dashboard/callback`,
      state: expect.any(String),
      nonce: expect.any(String),
    })
    expect(url.href).not.toContain(options.oidc!.clientSecret)
  })

  it('lets in whom it names, with the role that they have', async () => {
    const browser = await signIn(ALICE)
    const page = await (await browser.open('/dashboard/costs')).text()
    expect(textOf(page)).toContain('Alice Admin Administrator')
  })

  it('is the same user as the one of their MCP clients', async () => {
    await signIn(ALICE)
    const users = await database.owner`select issuer from archon_mcp_users where name = ${ALICE}`
    expect([...users]).toEqual([{ issuer: 'urn:mcp-user-context:trial' }])
  })

  const refusals: { name: string; path: (back: URL) => string; keep: boolean }[] = [
    { name: 'with another state', path: (back) => `${back.pathname}?${changed(back, 'state')}`, keep: true },
    { name: 'with another code', path: (back) => `${back.pathname}?${changed(back, 'code')}`, keep: true },
    { name: 'in another browser', path: (back) => back.pathname + back.search, keep: false },
    { name: 'without anything', path: (back) => back.pathname, keep: true },
  ]
  it.each(refusals)('takes nobody back $name', async ({ path, keep }) => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {})
    onTestFinished(() => log.mockRestore())
    const browser = browserHere()
    const back = await throughProvider(browser, ALICE)
    const answer = await (keep ? browser : browserHere()).open(path(back))
    expect(locationOf(answer)).toBe('/dashboard/sign-in?reason=refused')
    expect(locationOf(await browser.open('/dashboard/costs'))).toContain('/dashboard/sign-in')
  })

  it('renews in time, and goes on for as long as the provider lets it', async () => {
    const browser = await signIn(ALICE)
    const before = browser.jar.get('mcp_dashboard.0')
    const start = Date.now()
    onTestFinished(() => {
      clock = () => new Date()
    })
    // An hour is what the provider's tokens are good for.
    clock = () => new Date(start + 59.5 * 60_000)
    expect((await browser.open('/dashboard/costs')).status).toBe(200)
    expect(browser.jar.get('mcp_dashboard.0')).not.toBe(before)
  })
})

/** Presses the button of the frame. @returns what the dashboard answers, and where it leads. */
async function signOut(browser: Browser): Promise<{ html: string; away: URL | null }> {
  const [, key = ''] =
    /name="form_key" value="([^"]+)"/.exec(await (await browser.open('/dashboard/costs')).text()) ?? []
  const response = await browser.open('/dashboard/sign-out', new URLSearchParams({ form_key: key }))
  const html = await response.text()
  const [, away] = /<meta http-equiv="refresh" content="0; url=([^"]+)"/.exec(html) ?? []
  return {
    html,
    away: away === undefined ? null : new URL(away.replaceAll('&amp;', '&')),
  }
}

describe('the sign-out', () => {
  it('ends the session here, then that of the provider, and comes back', async () => {
    const visit = { press: ALICE, seen: [] as string[] }
    const person = formBrowser(visit)
    const browser = await signIn(ALICE, person)
    const { away, html } = await signOut(browser)
    expect(textOf(html)).toContain('You are signed out here')
    expect(locationOf(await browser.open('/dashboard/costs'))).toContain('/dashboard/sign-in')

    expect(away?.origin).toBe(trial.origin)
    expect(Object.fromEntries(away!.searchParams)).toEqual({
      id_token_hint: expect.stringMatching(/^eyJ/),
      client_id: 'dashboard',
      post_logout_redirect_uri: `${served.origin}/dashboard/sign-in`,
      state: 'out',
    })
    visit.press = 'Sign out'
    const back = await person(away!)
    expect(visit.seen.at(-1)).toContain('Sign out of the trial?')
    expect(back.href).toBe(`${served.origin}/dashboard/sign-in?state=out`)
    expect(textOf(await (await browser.open(back.pathname + back.search)).text())).toContain(
      'You are signed out.',
    )
  })

  it('stays here for those who did not come from there', async () => {
    const sampleUsers = trial.access.sampleUsers!
    const visitor = visitorOf(new Hono().route('/dashboard', dashboard({ ...options, sampleUsers })))
    await visitor.get('/sign-in')
    expect((await visitor.post('/sign-in', { sample: '0' })).status).toBe(303)
    await visitor.get('/costs')
    const out = await visitor.post('/sign-out', {})
    expect([out.status, out.headers.get('location')]).toEqual([303, '/dashboard/sign-in?reason=out'])
  })

  it.each([
    ['has no place for it', undefined],
    ['names one that is no web address', 'javascript:alert(1)'],
  ])('stays here where the provider %s', async (_name, endpoint) => {
    let metadata: object = {}
    await using other = await serveHere(() => () => Response.json(metadata))
    metadata = { issuer: other.origin, end_session_endpoint: endpoint }
    const provider = createProvider({ ...options.oidc!, issuer: other.origin }, clock)
    const request = { idToken: 'x', redirectUri: `${served.origin}/dashboard/sign-in`, state: 'out' }
    expect(await provider.signOutUrl(request)).toBeNull()
  })

  it('names nobody where the ID token is too long for the cookie, and everything else is kept', async () => {
    const cookie = createVisitCookie(COOKIE_KEY, { secure: false })
    const visit = {
      ...newVisit(new Date()),
      refreshToken: 'r',
      fromProvider: { idToken: 'x'.repeat(16_000) },
    }
    const app = new Hono()
      .get('/write', async (c) => {
        await cookie.write(c, '/', visit)
        return c.body(null)
      })
      .get('/read', async (c) => c.json(await cookie.read(c, new Date())))
    const written = (await app.request('/write')).headers.getSetCookie()
    const kept = written.map((line) => line.split(';', 1)[0]).join('; ')
    const read = await (await app.request('/read', { headers: { cookie: kept } })).json()
    expect(read).toEqual({ ...visit, fromProvider: {} })
  })
})

function changed(url: URL, name: string): string {
  const query = new URLSearchParams(url.search)
  query.set(name, 'x'.repeat(43))
  return query.toString()
}
