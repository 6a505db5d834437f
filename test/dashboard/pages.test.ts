import { beforeAll, describe, expect, it } from 'vitest'
import { writeSession } from '../api/support.ts'
import { parseTable } from '../support/csv.ts'
import { textOf, usePeople } from './support.ts'

const SCRIPT = '<script>alert("x")</script>'
const IMAGE = '"><img src=x onerror=alert(1)>'
const FORMULA = "=cmd|'/c calc'!A1"

const everybody = ['Alice', 'Bob', 'Carl', 'Mia', 'Fin', 'Ada'] as const
type Person = (typeof everybody)[number]
const people = usePeople(everybody)
const { visitorOf } = people
const sessions = new Map<string, string>()
const sessionOf = (who: Person): string => sessions.get(who)!

/** One call of somebody, in their session, with a model whose name is a script. */
const call = (who: Person, cost: string, tool: string, error: string | null = null): Promise<string> =>
  people.call(who, {
    call: { tool },
    request: { recordedSession: sessionOf(who) },
    end: {
      usage: [{ model: SCRIPT, promptTokens: 1000, completionTokens: 200, cost }],
      status: error === null ? 'success' : 'error',
      error,
    },
  })

beforeAll(async () => {
  for (const who of everybody) {
    const session = await writeSession(people.database.sql, {
      user_id: people.idOf(who),
      user_name: `${who} ${SCRIPT}`,
      user_email: `${who.toLowerCase()}${IMAGE}@example.com`,
      client_type: 'Unknown',
      client_name: SCRIPT,
      client_version: IMAGE,
    })
    sessions.set(who, session)
  }
  await call('Alice', '1.5000000001', 'search')
  await call('Bob', '0.25', SCRIPT, IMAGE)
  await call('Carl', '0.125', FORMULA)
})

/** What nobody may see: the markup of ours that a text could become. */
function expectNoInjection(html: string): void {
  expect(html).not.toContain(SCRIPT)
  expect(html).not.toContain('<img')
  expect(html.match(/<script/g)).toHaveLength(1)
}

describe('the overview', () => {
  const seen: { who: Person; cost: string; calls: number; users: number }[] = [
    { who: 'Alice', cost: '$1.50', calls: 1, users: 1 },
    { who: 'Mia', cost: '$1.75', calls: 2, users: 2 },
    { who: 'Fin', cost: '$1.88', calls: 3, users: 3 },
    { who: 'Ada', cost: '$1.88', calls: 3, users: 3 },
  ]
  it.each(seen)('tells $who how much there was', async ({ who, cost, calls, users }) => {
    const { html, status } = await visitorOf(who).get('')
    expect(status).toBe(200)
    const text = textOf(html)
    expect(text).toContain(`Cost ${cost} none in the 30 days before Calls ${calls} none`)
    expect(text).toContain(`Active users ${users} `)
    expectNoInjection(html)
  })

  it('compares with the period before', async () => {
    const { html } = await visitorOf('Ada').get('?period=today&timezone=Pacific/Auckland')
    expect(textOf(html)).toMatch(/Cost \$1\.88 none in the day before/)
    expect(html).toContain('href="/dashboard/costs?period=today&amp;timezone=Pacific%2FAuckland"')
  })

  it('says what needs attention', async () => {
    await people.database.sql`
      select archon_mcp_put_quota(null, null, 'budget', 'department', 'sales', 'cost', 2, 'month', 'UTC', null, null,
        null, null, null, null, 'warn', '{0.8}')`
    for (const [who, sees] of [
      ['Mia', true],
      ['Ada', true],
      ['Carl', false],
    ] as const) {
      const text = textOf((await visitorOf(who).get('')).html)
      expect(text.includes('sales used 87.5% of $2.00 this month, which only warns'), who).toBe(sees)
    }
  })
})

describe('costs', () => {
  const seen: { who: Person; sees: string[]; not: string[] }[] = [
    { who: 'Alice', sees: ['alice', '$1.50'], not: ['bob', 'carl', '$0.25'] },
    { who: 'Mia', sees: ['alice', 'bob', '$1.75'], not: ['carl', '$1.88'] },
    { who: 'Fin', sees: ['alice', 'bob', 'carl', '$1.88'], not: [] },
    { who: 'Ada', sees: ['alice', 'bob', 'carl', '$1.88'], not: [] },
  ]
  it.each(seen)('show $who what their role may see', async ({ who, sees, not }) => {
    const { html } = await visitorOf(who).get('/costs')
    const text = textOf(html).toLowerCase()
    for (const part of sees) expect(text).toContain(part)
    for (const part of not) expect(text).not.toContain(part)
  })

  it('tell the exact cost to whoever points at it', async () => {
    const { html } = await visitorOf('Alice').get('/costs')
    expect(html).toContain('<data value="1.5000000001" title="1.5000000001 USD">$1.50</data>')
  })

  it.each(['user', 'department', 'client', 'tool', 'model', 'day'])(
    'by %s are a file with the numbers of the table',
    async (group) => {
      const { html } = await visitorOf('Ada').get(`/costs?group=${group}&period=7d&timezone=Asia/Kolkata`)
      const [, table = ''] = html.split('</figure>')
      const amounts = [...table.matchAll(/<data value="([^"]+)"/g)].map(([, amount]) => amount)
      const file = await visitorOf('Ada').get(`/costs.csv?group=${group}&period=7d&timezone=Asia/Kolkata`)
      expect(file.headers.get('content-type')).toContain('text/csv')
      const { rows, total, period } = parseTable(file.html.replace(/^\uFEFF/, ''))
      expect(amounts).toEqual([...rows.map(({ cost }) => cost), total['cost']])
      expect(period[3]).toBe('Asia/Kolkata')
    },
  )

  it('of a chart add up to those of the table', async () => {
    const { html } = await visitorOf('Ada').get('/costs?group=tool')
    const [chart = ''] = html.split('</figure>')
    const last = [...chart.matchAll(/<tr>[\s\S]*?<\/tr>/g)].at(-1)?.[0] ?? ''
    expect([...last.matchAll(/<data value="([^"]+)"/g)].map(([, amount]) => amount)).toEqual([
      '1.5000000001',
      '0.25',
      '0.125',
      '1.8750000001',
    ])
  })

  it('of one user, of one department, in the order that a click chose', async () => {
    const { html } = await visitorOf('Ada').get('/costs?department=research&group=tool')
    expect(textOf(html)).toContain('$0.13')
    expect(textOf(html)).not.toContain('$1.50')
    const ordered = await visitorOf('Ada').get('/costs?sort=name')
    const names = [
      ...ordered.html
        .split('<tbody>')
        .at(-1)!
        .matchAll(/<th scope="row">\s*(?:<a[^>]*>)?(\w+)/g),
    ]
    expect(names.map(([, name]) => name)).toEqual(['Alice', 'Bob', 'Carl', 'Total'])
  })

  it('lead from each row to what is in it', async () => {
    const { html } = await visitorOf('Ada').get('/costs?group=department&period=7d')
    const [, address = ''] = /href="([^"]+)">sales</.exec(html) ?? []
    expect(address).toBe('/dashboard/costs?group=user&amp;period=7d&amp;department=sales')
    const within = await visitorOf('Ada').get(address.slice('/dashboard'.length).replaceAll('&amp;', '&'))
    expect(textOf(within.html)).toContain('$1.75')
  })

  const faulty = [
    ['?first=2026-13-01', 'These dates cannot be read'],
    ['?first=2026-10-02&last=2026-10-01', 'The last day lies before the first'],
    ['?timezone=Nowhere/Land', 'This time zone is not known'],
    ['?timezone=CET', 'This time zone is not known'],
  ] as const
  it.each(faulty)('say what is wrong with %s, and show the usual period', async (query, fault) => {
    const { status, html } = await visitorOf('Ada').get(`/costs${query}`)
    expect(status).toBe(200)
    expect(textOf(html)).toContain(fault)
    expect(textOf(html)).toContain('$1.88')
  })

  it('say so where there is nothing', async () => {
    const { html } = await visitorOf('Ada').get('/costs?first=2020-01-01&last=2020-01-31')
    expect(textOf(html)).not.toContain('No call cost anything')
    expect(textOf(html)).toContain('No call in this period')
  })
})

describe('clients', () => {
  const seen: { who: Person; sees: Person[] }[] = [
    { who: 'Alice', sees: ['Alice'] },
    { who: 'Mia', sees: ['Alice', 'Bob', 'Mia'] },
    { who: 'Fin', sees: ['Ada', 'Alice', 'Bob', 'Carl', 'Fin', 'Mia'] },
    { who: 'Ada', sees: ['Ada', 'Alice', 'Bob', 'Carl', 'Fin', 'Mia'] },
  ]
  it.each(seen)('show $who the sessions that they may see', async ({ who, sees }) => {
    const { html } = await visitorOf(who).get('/clients')
    const ids = [...html.matchAll(/\/clients\/([\da-f-]{36})"/g)].map(([, id]) => id)
    expect(new Set(ids)).toEqual(new Set(sees.map(sessionOf)))
  })

  it('count what a session did', async () => {
    const { html } = await visitorOf('Alice').get('/clients')
    expect(textOf(html)).toMatch(/Active .* 1 \$1\.50/)
  })

  it('that run are told by status, type and kind', async () => {
    for (const query of ['?status=disconnected', '?type=Cursor', '?kind=api']) {
      expect(textOf((await visitorOf('Ada').get(`/clients${query}`)).html)).toContain('Nobody is here')
    }
    expect((await visitorOf('Ada').get('/clients?status=active&type=Unknown&kind=mcp')).html).toContain(
      sessionOf('Alice'),
    )
  })

  it('of the API stand beside those of MCP', async () => {
    await people.call('Carl', { call: { kind: 'api', method: 'GET /things', tool: null } })
    const { html } = await visitorOf('Carl').get('/clients')
    expect(textOf(html)).toContain('1 MCP session, 1 user of the API in the last 24 hours')
    const alone = await visitorOf('Carl').get('/clients?kind=api')
    expect(alone.html).not.toContain(sessionOf('Carl'))
    expect(textOf(alone.html)).toMatch(/Carl .* API .* Active/)
    // Finance reads no single call of others, and sees them by their sums.
    for (const who of ['Fin', 'Ada'] as const) {
      expect(textOf((await visitorOf(who).get('/clients?kind=api')).html)).toMatch(
        /Carl .* API .* Active .* 1 \$0\.00/,
      )
      const together = (await visitorOf(who).get('/clients')).html
      expect(together).toContain(sessionOf('Carl'))
      expect(textOf(together)).toContain('1 user of the API in the last 24 hours')
    }
    for (const who of ['Alice', 'Mia'] as const) {
      expect(textOf((await visitorOf(who).get('/clients?kind=api')).html)).toContain('Nobody is here')
    }
  })

  it('have a page with their calls', async () => {
    const { html } = await visitorOf('Bob').get(`/clients/${sessionOf('Bob')}`)
    expectNoInjection(html)
    const text = textOf(html)
    expect(text).toContain(`${SCRIPT} ${IMAGE} of Bob ${SCRIPT}`)
    expect(text).toMatch(/Error "><img src=x onerror=alert\(1\)>/)
    expect(text).toContain('$0.25')
  })

  it('of others show finance their sums, and no single call', async () => {
    const text = textOf((await visitorOf('Fin').get(`/clients/${sessionOf('Alice')}`)).html)
    expect(text).toContain('$1.50')
    expect(text).toContain('You see what the calls of others cost together')
    expect(text).not.toContain('search')
  })

  it.each(['/clients/nonsense', `/clients/${crypto.randomUUID()}`, '/clients/Carl'])(
    'that are not there, or not Alice’s, look alike: %s',
    async (path) => {
      const own = path.replace('Carl', sessionOf('Carl'))
      const { status, html } = await visitorOf('Alice').get(own)
      expect([status, textOf(html)]).toEqual([404, expect.stringContaining('There is no such session')])
    },
  )
})

describe('the end of a session', () => {
  it('is asked about first, and done by its user', async () => {
    const path = `/clients/${sessionOf('Bob')}`
    const asked = await visitorOf('Bob').get(`${path}/disconnect`)
    expect(textOf(asked.html)).toContain('Disconnect this client?')
    expect(textOf((await visitorOf('Bob').get(path)).html)).toContain('Active')
    await visitorOf('Bob').get(`${path}/disconnect`)
    const done = await visitorOf('Bob').post(`${path}/disconnect`, {})
    expect([done.status, done.headers.get('location')]).toEqual([303, `/dashboard${path}`])
    expect(textOf((await visitorOf('Bob').get(path)).html)).toMatch(/Gone .* ended by its user/)
    expect((await visitorOf('Bob').get('/clients')).html).not.toContain(sessionOf('Bob'))
  })

  it('is not for those who may only look at it', async () => {
    const path = `/clients/${sessionOf('Alice')}`
    for (const who of ['Mia', 'Fin'] as const) {
      expect((await visitorOf(who).get(path)).html).not.toContain('/disconnect')
      expect((await visitorOf(who).get(`${path}/disconnect`)).status).toBe(403)
      await visitorOf(who).get(path)
      expect((await visitorOf(who).post(`${path}/disconnect`, {})).status).toBe(403)
    }
    await visitorOf('Carl').get('/clients')
    expect((await visitorOf('Carl').post(`${path}/disconnect`, {})).status).toBe(404)
    expect((await visitorOf('Carl').post(`${path}/disconnect`, {}, { key: null })).status).toBe(403)
    expect(textOf((await visitorOf('Alice').get(path)).html)).toContain('Active')
  })

  it('is done by an administrator', async () => {
    const path = `/clients/${sessionOf('Alice')}`
    await visitorOf('Ada').get(`${path}/disconnect`)
    await visitorOf('Ada').post(`${path}/disconnect`, {})
    expect(textOf((await visitorOf('Alice').get(path)).html)).toContain('ended by an administrator')
  })
})

it.each(['/costs?group=user', '/costs?group=tool', '/costs?group=model', '/clients?status=all'])(
  'script in names stays text: %s',
  async (path) => {
    await people.database.owner`
      update archon_mcp_users set name = ${`Carl ${SCRIPT}`}, email = ${`carl${IMAGE}@example.com`} where subject = 'carl'`
    const { html } = await visitorOf('Ada').get(path)
    expectNoInjection(html)
    expect(textOf(html)).toContain(SCRIPT)
    expect(html.length).toBeLessThan(150_000)
  },
)
