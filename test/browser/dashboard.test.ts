import { describe, expect, it } from 'vitest'
import { parseTable } from '../support/csv.ts'
import {
  columnOf,
  overflowOf,
  ROLES,
  type SampleRole,
  unfold,
  useStage,
  USERS,
  violationsOf,
  widestOf,
} from './dashboard-support.ts'

const stage = useStage()

const PAGES = [
  '',
  '/clients?status=all',
  '/costs',
  '/costs?group=model&period=year',
  '/users',
  '/limits',
  '/limits/new',
  '/limits/new?kind=rate',
  '/prices',
  '/log',
  '/tokens',
  '/audit',
  '/data',
  '/nothing-there',
]

describe('what each role sees', () => {
  const seen: { role: SampleRole; users: string[]; not: string[] }[] = [
    { role: 'member', users: [], not: ['Ada Berg', 'Omar Haddad'] },
    { role: 'manager', users: ['Ada Berg'], not: ['Omar Haddad', 'Xenia Petrova'] },
    { role: 'finance', users: ['Ada Berg', 'Omar Haddad', 'Xenia Petrova'], not: [] },
    { role: 'admin', users: ['Ada Berg', 'Omar Haddad', 'Xenia Petrova'], not: [] },
  ]
  it.each(seen)('a $role', async ({ role, users, not }) => {
    const page = await stage.pageOf(role)
    await page.getByRole('link', { name: 'Costs', exact: true }).click()
    const text = await page.locator('main').innerText()
    for (const name of users) expect(text).toContain(name)
    for (const name of not) expect(text).not.toContain(name)
    const links = await page.getByRole('navigation', { name: 'Pages' }).getByRole('link').allInnerTexts()
    expect(links.includes('Audit')).toBe(role === 'admin')
  })
})

describe('costs', () => {
  it('filter by a department, drill down to a user, and go back to where one was', async () => {
    const page = await stage.pageOf('finance')
    await page.goto(`${stage.origin}/dashboard/costs`)
    await page.locator('select[name=department]').selectOption('Sales')
    await page.getByRole('button', { name: 'Show' }).click()
    await page.getByRole('navigation', { name: 'Group by' }).getByRole('link', { name: 'Tool' }).click()
    const address = page.url()
    expect(address).toContain('department=Sales')
    expect(address).toContain('group=tool')
    expect(await columnOf(page, 'Tool')).toContain('generate_report')
    await page.locator('select[name=user]').selectOption({ label: 'Omar Haddad' })
    await page.getByRole('button', { name: 'Show' }).click()
    expect(page.url()).toContain('group=tool')
    await page.waitForURL(/user=/, { waitUntil: 'load' })
    await page.goBack()
    await page.waitForURL(address)
  })

  it.each(['user', 'department', 'tool', 'model', 'day'])(
    'by %s are a file with exactly these numbers',
    async (group) => {
      const page = await stage.pageOf('admin')
      await page.goto(`${stage.origin}/dashboard/costs?group=${group}&period=7d&timezone=Europe/Berlin`)
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('link', { name: 'Download CSV' }).click(),
      ])
      const stream = await download.createReadStream()
      let file = ''
      for await (const chunk of stream) file += String(chunk)
      const { rows } = parseTable(file.replace(/^\uFEFF/, ''))
      expect(await columnOf(page, 'Cost')).toEqual(rows.map(({ cost }) => cost))
      expect((await columnOf(page, 'Calls')).map((cell) => cell.replaceAll(',', ''))).toEqual(
        rows.map(({ calls }) => calls),
      )
    },
  )

  it('show the numbers of a chart as a table, by the keyboard alone', async () => {
    const page = await stage.pageOf('finance')
    await page.goto(`${stage.origin}/dashboard/costs?period=7d&group=department`)
    await page.getByText('The same as a table').focus()
    await page.keyboard.press('Enter')
    expect(await page.locator('figure table tbody tr').count()).toBe(7)
    expect(await page.locator('figure table').isVisible()).toBe(true)
  })
})

describe('clients', () => {
  it('come and go in the open page, which stays where it was', async () => {
    const page = await stage.pageOf('admin')
    const listening = page.waitForResponse(/\/dashboard\/live/)
    await page.goto(`${stage.origin}/dashboard/clients`)
    expect((await listening).headers()['content-type']).toBe('text/event-stream')
    await page.locator('select[name=department]').selectOption('Sales')
    const session = await stage.work('member', 'Windsurf')
    const link = page.locator(`a[href$="${session}"]`)
    expect(await link.count()).toBe(0)
    await link.waitFor()
    // What somebody was choosing is as it was.
    expect(await page.locator('select[name=department]').inputValue()).toBe('Sales')
  })

  it('wait to be shown until somebody has left the list', async () => {
    const page = await stage.pageOf('admin')
    const listening = page.waitForResponse(/\/dashboard\/live/)
    await page.goto(`${stage.origin}/dashboard/clients`)
    await listening
    await page.locator('#clients a').first().focus()
    const again = page.waitForResponse(`${stage.origin}/dashboard/clients`)
    const link = page.locator(`a[href$="${await stage.work('member', 'Zed')}"]`)
    await (await again).finished()
    expect(await link.count()).toBe(0)
    await page.locator('select[name=department]').focus()
    await link.waitFor()
  })

  it('are listened to by nobody who does not look', async () => {
    const page = await stage.pageOf('admin')
    await page.goto(`${stage.origin}/dashboard/clients`)
    const show = (visibility: 'hidden' | 'visible'): Promise<void> =>
      page.evaluate<void>(`Object.defineProperty(document, 'hidden', { value: ${visibility === 'hidden'}, configurable: true })
        document.dispatchEvent(new Event('visibilitychange'))`)
    const closed = page.waitForEvent('requestfailed')
    await show('hidden')
    expect((await closed).resourceType()).toBe('eventsource')
    const opened = Promise.all([
      page.waitForResponse(/\/dashboard\/live/),
      page.waitForResponse(`${stage.origin}/dashboard/clients`),
    ])
    await show('visible')
    await opened
  })

  it('are shown as they were once the sign-in is over, and the page says so', async () => {
    // Where the page would lead, and does not go.
    const page = await stage.pageOf('admin', { expected: [/GET .*\/sign-in\?to=%2Fclients failed/] })
    const listening = page.waitForResponse(/\/dashboard\/live/)
    await page.goto(`${stage.origin}/dashboard/clients`)
    await listening
    await page.context().clearCookies()
    await page.evaluate<void>("document.dispatchEvent(new Event('visibilitychange'))")
    await page.getByRole('alert').getByRole('link', { name: 'Load it again' }).click()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    await page.getByRole('button', { name: USERS.admin }).click()
    await page.waitForURL(`${stage.origin}/dashboard/clients`)
  })

  it('are disconnected once somebody has confirmed it, and then their next call is refused', async () => {
    const session = await stage.work('member', 'Cursor')
    expect(await stage.call('member', session)).toBe(200)
    const page = await stage.pageOf('admin')
    await page.goto(`${stage.origin}/dashboard/clients`)
    await page.locator(`a[href$="${session}"]`).click()
    expect(await page.locator('h1').innerText()).toBe(`Cursor 1.0.0 of ${USERS.member}`)
    expect(await columnOf(page, 'Tool')).toEqual(['echo', 'echo', 'echo', 'initialize'])
    await page.getByRole('link', { name: 'Disconnect…' }).click()
    await page.getByRole('button', { name: 'Disconnect' }).click()
    await page.getByText('ended by an administrator').waitFor()
    expect(await stage.call('member', session)).toBe(404)
    await page.getByRole('link', { name: 'All clients' }).click()
    expect(await page.locator(`a[href$="${session}"]`).count()).toBe(0)
  })

  it('are nobody else’s to end', async () => {
    const session = await stage.work('member', 'Cline')
    const page = await stage.pageOf('manager')
    await page.goto(`${stage.origin}/dashboard/clients/${session}`)
    expect(await page.getByRole('link', { name: 'Disconnect…' }).count()).toBe(0)
  })
})

describe('limits', () => {
  it('are set by a form, refuse the next call, show it, and let calls pass again once they are changed', async () => {
    const session = await stage.work('member', 'Kiro', 0)
    const page = await stage.pageOf('admin')
    await page.getByRole('link', { name: 'Limits', exact: true }).click()
    await page.getByRole('link', { name: 'New budget' }).click()
    await page.getByLabel('Whom it holds').selectOption('Each user')
    await page.getByLabel('What is counted').selectOption('Calls')
    await page.getByLabel('How much').fill('1')
    await page.getByLabel('For these tools alone').fill('echo')
    await page.getByLabel('Mode', { exact: true }).selectOption('enforce')
    // What the user called before counts in this month's window.
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('heading', { name: 'Each user: 1 call a month' }).waitFor()
    await stage.call('member', session)
    expect(await stage.call('member', session)).toBe(429)
    await page.reload()
    expect(await page.locator('main').innerText()).toContain(USERS.member)

    await page.getByRole('link', { name: 'Change' }).click()
    expect(await violationsOf(page)).toEqual([])
    await page.getByLabel('How much').fill('1000')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('heading', { name: 'Each user: 1,000 calls a month' }).waitFor()
    await expect.poll(() => stage.call('member', session)).toBe(200)
    await page.getByRole('link', { name: 'Remove…' }).click()
    await page.getByRole('button', { name: 'Remove' }).click()
    expect(await page.locator('main').innerText()).not.toContain('1,000 calls')
  })
})

describe('signing out', () => {
  it('ends it here, and the way back leads to the sign-in', async () => {
    const page = await stage.pageOf('member')
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByText('You are signed out.').waitFor()
    await page.goto(`${stage.origin}/dashboard/costs?group=tool`)
    await page.getByRole('button', { name: USERS.member }).click()
    await page.waitForURL(`${stage.origin}/dashboard/costs?group=tool`)
  })
})

describe('every page', () => {
  const screens = [
    { name: 'a desktop, light', viewport: { width: 1280, height: 800 }, colorScheme: 'light' },
    { name: 'a desktop, dark', viewport: { width: 1280, height: 800 }, colorScheme: 'dark' },
    { name: 'a phone, light', viewport: { width: 320, height: 640 }, colorScheme: 'light' },
    { name: 'a phone, dark', viewport: { width: 320, height: 640 }, colorScheme: 'dark' },
  ] as const

  it.each(screens)(
    'is accessible on $name, fits and is small',
    async ({ viewport, colorScheme }) => {
      const session = await stage.work('member', '<script>alert(1)</script>')
      const page = await stage.pageOf('admin', { viewport, colorScheme, expected: [/404/] })
      const paths = [...PAGES, `/clients/${session}`, `/clients/${session}/disconnect`]
      const faults: string[] = []
      for (const path of paths) {
        const response = await page.goto(`${stage.origin}/dashboard${path}`)
        const bytes = (await response!.body()).length
        if (bytes >= 150_000) faults.push(`${path} has ${bytes} bytes`)
        await unfold(page)
        faults.push(...(await violationsOf(page)).map((fault) => `${path} ${fault}`))
        const overflow = await overflowOf(page)
        if (overflow > 0) faults.push(`${path} is ${overflow} px too wide: ${await widestOf(page)}`)
      }
      expect(faults).toEqual([])
      await page.context().clearCookies()
      await page.goto(`${stage.origin}/dashboard/sign-in?reason=over`)
      expect(await violationsOf(page)).toEqual([])
    },
    120_000,
  )

  it.each(ROLES)('opens for a %s without a fault, or says that it is not theirs', async (role) => {
    const page = await stage.pageOf(role, { expected: [/40[34]/] })
    for (const path of PAGES) {
      const response = await page.goto(`${stage.origin}/dashboard${path}`)
      expect([200, 403, 404], path).toContain(response!.status())
      expect(await page.locator('h1').count(), path).toBe(1)
    }
  })
})
