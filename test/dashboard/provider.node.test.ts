import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { dashboard, type DashboardOptions } from '../../src/dashboard/dashboard.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { formBrowser } from '../support/form-browser.ts'
import { serveHere, type Served } from '../support/serve.ts'
import { serveTrial, type ServedTrial } from '../support/serve-trial.ts'
import { COOKIE_KEY, textOf } from './support.ts'

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
    async get(path: string): Promise<Response> {
      const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
      const response = await fetch(new URL(path, served.origin), { redirect: 'manual', headers: { cookie } })
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
async function throughProvider(browser: Browser, who: string, to = '/costs'): Promise<URL> {
  const start = await browser.get(`/dashboard/sign-in/start?to=${encodeURIComponent(to)}`)
  return await formBrowser({ press: who })(new URL(locationOf(start)))
}

async function signIn(who: string): Promise<Browser> {
  const browser = browserHere()
  const back = await throughProvider(browser, who)
  const entered = await browser.get(back.pathname + back.search)
  expect([entered.status, locationOf(entered)]).toEqual([303, '/dashboard/costs'])
  return browser
}

const ALICE = 'Alice Admin'

describe('the sign-in with an OpenID provider', () => {
  it('asks it with PKCE, state and nonce, and nothing that is secret', async () => {
    const url = new URL(locationOf(await browserHere().get('/dashboard/sign-in/start')))
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
    const page = await (await browser.get('/dashboard/costs')).text()
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
    const answer = await (keep ? browser : browserHere()).get(path(back))
    expect(locationOf(answer)).toBe('/dashboard/sign-in?reason=refused')
    expect(locationOf(await browser.get('/dashboard/costs'))).toContain('/dashboard/sign-in')
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
    expect((await browser.get('/dashboard/costs')).status).toBe(200)
    expect(browser.jar.get('mcp_dashboard.0')).not.toBe(before)
  })
})

function changed(url: URL, name: string): string {
  const query = new URLSearchParams(url.search)
  query.set(name, 'x'.repeat(43))
  return query.toString()
}
