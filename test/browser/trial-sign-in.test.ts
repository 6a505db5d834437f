// The official client knows nothing but the endpoint's URL; a person with a real browser does the rest.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { serveTrial, type ServedTrial } from '../support/serve-trial.ts'
import { type Served, serveHere } from '../support/serve.ts'
import { type Browser as Person, signIn } from '../support/signed-in-client.ts'
import { launchBrowser, newPage } from './support.ts'

describe('the sign-in', () => {
  let browser: Browser
  let database: TestDatabase
  let trial: ServedTrial
  /** Where the client listens for what the browser brings back. */
  let callback: Served
  beforeAll(async () => {
    ;[browser, database] = await Promise.all([launchBrowser(), createTestDatabase()])
    trial = await serveTrial(database)
    const html =
      '<!doctype html><link rel="icon" href="data:,"><title>Signed in</title><p>Go back to your client.'
    callback = await serveHere(() => () => new Response(html, { headers: { 'content-type': 'text/html' } }))
  })
  afterAll(async () => {
    await browser.close()
    await callback[Symbol.asyncDispose]()
    await trial[Symbol.asyncDispose]()
    await database[Symbol.asyncDispose]()
  })

  /** Somebody who clicks on a name, in one window all the time. */
  const clicking =
    (
      page: Page,
      click: { name: string },
      look: (page: Page) => Promise<void> = () => Promise.resolve(),
    ): Person =>
    async (address) => {
      await page.goto(address.href)
      await look(page)
      await page.getByRole('button', { name: click.name }).click()
      await page.waitForURL(`${callback.origin}/**`)
      return new URL(page.url())
    }

  it.each(['legacy', 'auto'] as const)('takes one click from the 401 to the session (%s)', async (mode) => {
    const page = await newPage(browser)
    const redirectUrl = `${callback.origin}/callback`
    await using bob = await signIn(trial.url, clicking(page, { name: 'Bob Builder' }), { redirectUrl, mode })
    expect(JSON.stringify(await bob.client.callTool({ name: 'whoami' }))).toContain('bob-builder@example.com')
  })

  it('takes one more for a tool that wants a further scope, and names it', async () => {
    const page = await newPage(browser)
    const redirectUrl = `${callback.origin}/callback`
    const asked: string[] = []
    const look = async (): Promise<void> => void asked.push(await page.locator('main').innerText())
    const person = clicking(page, { name: 'Bob Builder' }, look)
    await using bob = await signIn(trial.url, person, { redirectUrl })
    const secret = await bob.do(() => bob.client.callTool({ name: 'secret' }))
    expect(JSON.stringify(secret)).toContain('second drawer')
    expect(asked[0]).toContain('A test <client> wants to work with')
    expect(asked.map((text) => text.includes('secrets:read'))).toEqual([false, true])
  })

  it('lets another person take over the same window', async () => {
    const page = await newPage(browser)
    const redirectUrl = `${callback.origin}/callback`
    const click = { name: 'Bob Builder' }
    const person = clicking(page, click)
    await using bob = await signIn(trial.url, person, { redirectUrl })
    click.name = 'Carol Counter'
    await using carol = await signIn(trial.url, person, { redirectUrl })
    expect(JSON.stringify(await bob.client.callTool({ name: 'whoami' }))).toContain('bob-builder@')
    expect(JSON.stringify(await carol.client.callTool({ name: 'whoami' }))).toContain('carol-counter@')
  })

  it('lets people into the dashboard as well, and out again', async () => {
    const page = await newPage(browser)
    await page.goto(`${trial.origin}/dashboard`)
    await page.getByRole('link', { name: 'Sign in with your organisation' }).click()
    await page.getByRole('button', { name: 'Carol Counter' }).click()
    await page.waitForURL(`${trial.origin}/dashboard`)
    expect(await page.locator('body').innerText()).toContain('Carol Counter')
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('heading', { name: 'Sign out of the trial?' }).waitFor()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByText('You are signed out.').waitFor()
    expect(new URL(page.url()).pathname).toBe('/dashboard/sign-in')
  })

  it('ends with one click, and with none where nobody is signed in', async () => {
    const page = await newPage(browser)
    const redirectUrl = `${callback.origin}/callback`
    await using bob = await signIn(trial.url, clicking(page, { name: 'Bob Builder' }), { redirectUrl })
    expect(bob.tokens()).toBeDefined()
    for (const click of [true, false]) {
      await page.goto(`${trial.origin}/oauth/sign-out`)
      if (click) await page.getByRole('button', { name: 'Sign out' }).click()
      await page.getByRole('heading', { name: 'You are signed out' }).waitFor()
    }
  })

  it.each([
    [320, 'light'],
    [1280, 'dark'],
  ] as const)('can be read and used by everybody, at %i pixels and %s', async (width, colorScheme) => {
    const page = await newPage(browser, { viewport: { width, height: 700 }, colorScheme, bypassCSP: true })
    const redirectUrl = `${callback.origin}/callback`
    let violations: unknown
    const look = async (): Promise<void> => {
      await page.addScriptTag({ content: AXE })
      violations = await page.evaluate('axe.run().then(({ violations }) => violations.map(({ id }) => id))')
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
    }
    await using bob = await signIn(trial.url, clicking(page, { name: 'Bob Builder' }, look), { redirectUrl })
    expect(bob.tokens()).toBeDefined()
    expect(violations).toEqual([])
  })
})

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
