import { existsSync } from 'node:fs'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { expect, onTestFinished } from 'vitest'

/** Debian's; CHROMIUM names another one. */
const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium'

const ARGS = [
  // Root has no sandbox to offer, and tests open nothing but pages of our own.
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/**
 * Starts a headless Chromium, once for a file: close it in `afterAll`.
 * @throws Error when there is none, saying how to get one.
 * @example
 * let browser: Browser
 * beforeAll(async () => { browser = await launchBrowser() })
 * afterAll(() => browser.close())
 */
export function launchBrowser(): Promise<Browser> {
  if (!existsSync(CHROMIUM)) {
    throw new Error(`There is no ${CHROMIUM}: apt-get install chromium, or set CHROMIUM to the path of one`)
  }
  return chromium.launch({ executablePath: CHROMIUM, headless: true, args: ARGS })
}

export interface PageOptions extends BrowserContextOptions {
  /** Faults that the test provokes: what matches is none. */
  expected?: RegExp[]
}

/**
 * A page with storage of its own, closed at the end of the test; which fails if the page logged an error or a
 * warning, threw, or a request failed or was answered with 400 or above.
 */
export async function newPage(
  browser: Browser,
  { expected = [], ...options }: PageOptions = {},
): Promise<Page> {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  const faults: string[] = []
  const note = (fault: string): void => {
    if (!expected.some((each) => each.test(fault))) faults.push(fault)
  }
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) note(`console ${message.type()}: ${message.text()}`)
  })
  page.on('pageerror', (error) => note(`uncaught: ${error.message}`))
  page.on('requestfailed', (request) => {
    // Whoever leaves a page leaves what it listens to.
    if (request.resourceType() === 'eventsource' && request.failure()?.errorText === 'net::ERR_ABORTED')
      return
    note(`${request.method()} ${request.url()} failed: ${request.failure()?.errorText}`)
  })
  page.on('response', (response) => {
    if (response.status() >= 400)
      note(`${response.request().method()} ${response.url()} ${response.status()}`)
  })
  onTestFinished(async () => {
    await context.close()
    expect(faults, 'what went wrong in the page').toEqual([])
  })
  return page
}
