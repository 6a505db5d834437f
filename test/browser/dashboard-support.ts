import { Hono } from 'hono'
import axe from 'axe-core'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect } from 'vitest'
import { dashboard } from '../../src/dashboard/dashboard.ts'
import { insertSampleData } from '../../src/trial/sample-data.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callTool, initialize, mcpApp, optionsFor, post, tokenFor } from '../support/mcp.ts'
import { serveHere, type Served } from '../support/serve.ts'
import { launchBrowser, newPage, type PageOptions } from './support.ts'

export const ROLES = ['member', 'manager', 'finance', 'admin'] as const
export type SampleRole = (typeof ROLES)[number]

/** A sample user of each role, of the department in which the sample data has most users. */
export const USERS = { member: 'Mo Member', manager: 'Mia Manager', finance: 'Fin Ance', admin: 'Ada Min' }

export interface Stage {
  readonly database: TestDatabase
  readonly origin: string
  /** Opens a session as this user and calls tools in it. @returns its id */
  work(role: SampleRole, client: string, calls?: number): Promise<string>
  /** Calls a tool in a session. @returns the status */
  call(role: SampleRole, session: string): Promise<number>
  /** A page of somebody who has signed in by one click. */
  pageOf(role: SampleRole, options?: PageOptions): Promise<Page>
}

/** The dashboard and a governed endpoint, on a month of sample data, and a browser. */
export function useStage(): Stage {
  let browser: Browser
  let database: TestDatabase
  let served: Served
  const tokens = {} as Record<SampleRole, string>
  beforeAll(async () => {
    ;[browser, database] = await Promise.all([launchBrowser(), createTestDatabase()])
    await insertSampleData(database.owner)
    for (const role of ROLES) {
      const app_metadata = { role, department: 'Engineering' }
      tokens[role] = await tokenFor(USERS[role], { app_metadata })
    }
    const sampleUsers = ROLES.map((role) => ({ name: USERS[role], role, token: tokens[role] }))
    const cookieKey = 'a key for cookies of at least 32 bytes'
    const pages = dashboard({ ...optionsFor(database.sql), cookieKey, sampleUsers })
    const app = new Hono().route('/dashboard', pages).route('/', mcpApp(database.sql))
    served = await serveHere(() => app.fetch)
  }, 120_000)
  afterAll(async () => {
    await browser.close()
    await served[Symbol.asyncDispose]()
    await database[Symbol.asyncDispose]()
  })

  const send = (role: SampleRole, body: object, session?: string): Promise<Response> =>
    fetch(`${served.origin}/mcp`, post(body, { token: tokens[role], session }))
  const call = async (role: SampleRole, session: string): Promise<number> => {
    const response = await send(role, callTool('echo', { text: 'hello' }), session)
    await response.text()
    return response.status
  }
  return {
    get database() {
      return database
    },
    get origin() {
      return served.origin
    },
    call,
    async work(role, client, calls = 2) {
      const opened = await send(role, initialize(client))
      await opened.text()
      const session = opened.headers.get('mcp-session-id') ?? ''
      for (let i = 0; i < calls; i++) await call(role, session)
      return session
    },
    async pageOf(role, options) {
      const page = await newPage(browser, options)
      await page.goto(`${served.origin}/dashboard`)
      await page.getByRole('button', { name: USERS[role] }).click()
      await page.waitForURL(`${served.origin}/dashboard`)
      return page
    },
  }
}

/** What axe finds wrong with a page, by rule and place. */
export async function violationsOf(page: Page): Promise<string[]> {
  await page.evaluate(axe.source)
  const { violations } = await page.evaluate(() =>
    (globalThis as unknown as { axe: typeof axe }).axe.run({
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    }),
  )
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target.join(' ')} ${failureSummary}`),
  )
}

/** How much wider than the screen a page is, in pixels. */
export const overflowOf = (page: Page): Promise<number> =>
  page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth')

/** What sticks out of the screen, so that a failure says where to look. */
export const widestOf = (page: Page): Promise<string> =>
  page.evaluate<string>(`[...document.querySelectorAll('main *, header *')]
    .filter((one) => one.closest('.scroll, .pages, .tabs') === null && one.getBoundingClientRect().right > innerWidth)
    .map((one) => one.tagName + '.' + one.getAttribute('class') + ' ' + Math.round(one.getBoundingClientRect().right)).slice(0, 5).join()`)

/** Opens what is folded away, so that it is looked at too. */
export const unfold = (page: Page): Promise<void> =>
  page.evaluate<void>("document.querySelectorAll('details').forEach((one) => { one.open = true })")

/** The cells of a column of the page's last table, as the file would have them: exact where there is an exact value. */
export async function columnOf(page: Page, title: string): Promise<string[]> {
  const table = page.locator('main table').last()
  const titles = await table.locator('thead th').allInnerTexts()
  const at = titles.findIndex((each) => each.startsWith(title))
  expect(at, titles.join()).toBeGreaterThanOrEqual(0)
  const cells = await table.locator(`tbody tr > :nth-child(${at + 1})`).all()
  return await Promise.all(
    cells.map(async (cell) => {
      const exact = cell.locator('data')
      return (await exact.count()) > 0
        ? ((await exact.getAttribute('value')) ?? '')
        : (await cell.innerText()).trim()
    }),
  )
}
