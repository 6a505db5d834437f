import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { initialize, mcpApp, tokenFor } from '../support/mcp.ts'
import { type Served, serveHere } from '../support/serve.ts'
import { launchBrowser, newPage } from './support.ts'

/** As a client in a page opens its session, and what it can read of the answer. */
const OPEN = (url: string, token: string): string => `
  fetch(${JSON.stringify(url)}, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      authorization: 'Bearer ${token}',
    },
    body: ${JSON.stringify(JSON.stringify(initialize()))},
  }).then(
    (response) => ({
      status: response.status,
      session: response.headers.get('mcp-session-id') !== null,
      challenge: response.headers.get('www-authenticate') !== null,
    }),
    () => 'kept out',
  )`

describe('a client in a web page', () => {
  let browser: Browser
  let database: TestDatabase
  let page: Served
  let server: Served
  beforeAll(async () => {
    ;[browser, database] = await Promise.all([launchBrowser(), createTestDatabase()])
    const html = '<!doctype html><link rel="icon" href="data:,"><title>A client</title>'
    page = await serveHere(() => () => new Response(html, { headers: { 'content-type': 'text/html' } }))
    const app = mcpApp(database.sql, { allowedOrigins: [page.origin] })
    server = await serveHere(() => app.fetch)
  })
  afterAll(async () => {
    await browser.close()
    await page[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
    await database[Symbol.asyncDispose]()
  })

  it('opens a session from an allowed origin, and can read its id', async () => {
    const tab = await newPage(browser)
    await tab.goto(page.origin)
    const answer = await tab.evaluate(OPEN(`${server.origin}/mcp`, await tokenFor('Alice')))
    expect(answer).toEqual({ status: 200, session: true, challenge: false })
  })

  it('can read the challenge that leads to the sign-in', async () => {
    const tab = await newPage(browser, { expected: [/401/] })
    await tab.goto(page.origin)
    const answer = await tab.evaluate(OPEN(`${server.origin}/mcp`, 'no-token'))
    expect(answer).toEqual({ status: 401, session: false, challenge: true })
  })

  it('is kept out by the browser from any other origin', async () => {
    const tab = await newPage(browser, { expected: [/403|CORS|ERR_FAILED/] })
    // The same page under another name, and so another origin.
    await tab.goto(page.origin.replace('127.0.0.1', 'localhost'))
    const answer = await tab.evaluate(OPEN(`${server.origin}/mcp`, await tokenFor('Alice')))
    expect(answer).toBe('kept out')
  })
})
