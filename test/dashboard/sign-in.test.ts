import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dashboard } from '../../src/dashboard/dashboard.ts'
import { changeUser, revokeUser } from '../../src/auth/users.ts'
import { apiApp, userId, userToken } from '../api/support.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { optionsFor, tokenFor } from '../support/mcp.ts'
import { COOKIE_KEY, dashboardApp, signedInAs, textOf, visitorOf } from './support.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

describe('the sign-in with a token', () => {
  it('sends strangers to the form, and then where they wanted to go', async () => {
    const visitor = visitorOf(dashboardApp(database.sql))
    const sent = await visitor.get('/costs?group=tool&period=7d')
    expect(sent.status).toBe(303)
    const to = sent.headers.get('location') ?? ''
    expect(to).toBe('/dashboard/sign-in?to=%2Fcosts%3Fgroup%3Dtool%26period%3D7d')
    const form = await visitor.get(to.slice('/dashboard'.length))
    expect(form.status).toBe(200)
    expect(form.html).toContain('name="to" value="/costs?group=tool&amp;period=7d"')
    const entered = await visitor.post('/sign-in', {
      token: await tokenFor('Alice'),
      to: '/costs?group=tool&period=7d',
    })
    expect([entered.status, entered.headers.get('location')]).toEqual([
      303,
      '/dashboard/costs?group=tool&period=7d',
    ])
    expect((await visitor.get('/costs?group=tool&period=7d')).status).toBe(200)
  })

  it.each(['//evil.example', '/\\evil.example', 'https://evil.example', '/sign-out', ''])(
    'goes home in place of %j',
    async (to) => {
      const visitor = visitorOf(dashboardApp(database.sql))
      await visitor.get('/sign-in')
      const entered = await visitor.post('/sign-in', { token: await tokenFor('Alice'), to })
      expect(entered.headers.get('location')).toBe('/dashboard')
    },
  )

  it('keeps the token in an encrypted cookie alone: in no page, and readable to no script', async () => {
    const app = dashboardApp(database.sql)
    // Long enough for several cookies.
    const token = await tokenFor('Alice', { app_metadata: { groups: 'x'.repeat(4000) } })
    const visitor = visitorOf(app)
    await visitor.get('/sign-in')
    const entered = await visitor.post('/sign-in', { token })
    const lines = entered.headers.getSetCookie()
    expect(lines.length).toBeGreaterThan(1)
    for (const line of lines) {
      expect(line).toMatch(/; Path=\/dashboard; HttpOnly; SameSite=Lax$/)
      expect(line.length).toBeLessThan(4096)
    }
    const { html, status } = await visitor.get('/costs')
    expect(status).toBe(200)
    for (const part of token.split('.')) {
      expect(html).not.toContain(part)
      expect(visitor.cookies()).not.toContain(part)
    }
  })

  it('is over at half a day, or when the token ends', async () => {
    let now = new Date()
    const app = dashboardApp(database.sql, { now: () => now })
    const visitor = await signedInAs(app, await tokenFor('Alice', { exp: undefined }))
    now = new Date(now.getTime() + 59 * 60_000)
    expect((await visitor.get('/costs')).status).toBe(200)
    now = new Date(now.getTime() + 2 * 60_000)
    expect((await visitor.get('/costs')).status).toBe(303)
  })

  it('says what is wrong with a token, and sets nothing', async () => {
    const visitor = visitorOf(dashboardApp(database.sql))
    await visitor.get('/sign-in')
    const refused = await visitor.post('/sign-in', { token: 'nonsense' })
    expect(refused.status).toBe(403)
    expect(refused.html).toContain('role="alert"')
    expect(refused.html).not.toContain('nonsense')
    expect((await visitor.get('/costs')).status).toBe(303)
  })

  it('forgets who signs out', async () => {
    const visitor = await signedInAs(dashboardApp(database.sql), await tokenFor('Alice'))
    await visitor.get('/costs')
    const out = await visitor.post('/sign-out', {})
    expect(out.headers.get('location')).toBe('/dashboard/sign-in?reason=out')
    expect((await visitor.get('/costs')).status).toBe(303)
  })

  it('takes no cookie that was written with another key', async () => {
    const visitor = await signedInAs(dashboardApp(database.sql), await tokenFor('Alice'))
    const other = dashboardApp(database.sql, { cookieKey: `another ${COOKIE_KEY}` })
    const response = await other.request('/dashboard/costs', { headers: { cookie: visitor.cookies() } })
    expect(response.status).toBe(303)
  })

  it('signs in as a sample user by one click', async () => {
    const sampleUsers = [{ name: 'Alice', role: 'admin', token: await tokenFor('Alice') }]
    const visitor = visitorOf(dashboardApp(database.sql, { sampleUsers }))
    const { html } = await visitor.get('/sign-in')
    expect(html).not.toContain(sampleUsers[0]!.token)
    expect((await visitor.post('/sign-in', { sample: '0' })).status).toBe(303)
    expect(textOf((await visitor.get('/costs')).html)).toContain('Alice')
  })

  it('knows a revoked and a blocked user at the next click', async () => {
    const token = await userToken('Bob')
    const id = await userId(apiApp(database.sql), token)
    const visitor = await signedInAs(dashboardApp(database.sql), token)
    const by = { kind: 'service', id: null } as const
    await changeUser(database.sql, id, { blocked: true }, by)
    const blocked = await visitor.get('/costs')
    expect(blocked.status).toBe(403)
    expect(textOf(blocked.html)).toContain('Your access is blocked')
    await changeUser(database.sql, id, { blocked: false }, by)
    expect((await visitor.get('/costs')).status).toBe(200)
    await revokeUser(database.sql, id, by)
    const revoked = await visitor.get('/costs')
    expect([revoked.status, revoked.headers.get('location')]).toEqual([
      303,
      '/dashboard/sign-in?to=%2Fcosts&reason=over',
    ])
  })
})

describe('the frame of the dashboard', () => {
  it('is mounted anywhere, at the root too', async () => {
    for (const base of ['', '/a/b']) {
      const elsewhere = new Hono().route(
        base === '' ? '/' : base,
        dashboard({ ...optionsFor(database.sql), cookieKey: COOKIE_KEY }),
      )
      const visitor = visitorOf(elsewhere, base)
      const form = await visitor.get('/sign-in')
      const [, style = ''] = /<link rel="stylesheet" href="([^"]+)"/.exec(form.html) ?? []
      expect((await elsewhere.request(style)).headers.get('content-type')).toBe('text/css; charset=utf-8')
      const entered = await visitor.post('/sign-in', { token: await tokenFor('Alice') })
      expect(entered.headers.get('location')).toBe(base === '' ? '/' : base)
      expect((await visitor.get('/costs')).html).toContain(`href="${base}/costs"`)
    }
  })

  it.each(['/sign-in', '/costs', '/nothing', '/assets/nothing.css'])(
    'answers %s under a strict policy',
    async (path) => {
      const { headers } = await visitorOf(dashboardApp(database.sql)).get(path)
      const policy = headers.get('content-security-policy')
      expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self';")
      expect(policy).not.toContain('unsafe')
      expect(headers.get('cache-control')).toBe('no-store')
      expect(headers.get('x-content-type-options')).toBe('nosniff')
    },
  )

  it('answers what is not there with a page', async () => {
    const visitor = await signedInAs(dashboardApp(database.sql), await tokenFor('Alice'))
    const { status, html } = await visitor.get('/nothing')
    expect([status, textOf(html)]).toEqual([404, expect.stringContaining('There is no such page')])
  })

  const forgeries: { name: string; post: Parameters<ReturnType<typeof visitorOf>['post']>[2] }[] = [
    { name: 'without the key', post: { key: null } },
    { name: 'with a wrong key', post: { key: '0'.repeat(36) } },
    { name: 'that another site sends', post: { headers: { 'sec-fetch-site': 'cross-site' } } },
    { name: 'that a sibling site sends', post: { headers: { 'sec-fetch-site': 'same-site' } } },
    { name: 'with the origin of another site', post: { headers: { origin: 'https://evil.example' } } },
    { name: 'with no origin to tell', post: { headers: { origin: 'null' } } },
  ]
  it.each(forgeries)('refuses a form $name', async ({ post }) => {
    const visitor = await signedInAs(dashboardApp(database.sql), await tokenFor('Alice'))
    await visitor.get('/costs')
    const refused = await visitor.post('/sign-out', {}, post)
    expect(refused.status).toBe(403)
    expect((await visitor.get('/costs')).status).toBe(200)
  })

  it("refuses a form with the key of somebody else's visit", async () => {
    const app = dashboardApp(database.sql)
    const other = await signedInAs(app, await tokenFor('Bob'))
    const key = /name="form_key" value="([^"]+)"/.exec((await other.get('/costs')).html)?.[1] ?? ''
    const visitor = await signedInAs(app, await tokenFor('Alice'))
    expect((await visitor.post('/sign-out', {}, { key })).status).toBe(403)
  })

  it('names every fault of its options', () => {
    expect(() => dashboard({ ...optionsFor(database.sql), cookieKey: 'short' })).toThrow(
      'dashboard: cookieKey must be at least 32 bytes long',
    )
  })
})
