import { beforeAll, describe, expect, it } from 'vitest'
import { apiApp, userId, userToken } from '../api/support.ts'
import { JUDGED } from '../support/ledger.ts'
import { textOf, usePeople } from './support.ts'

const SCRIPT = '<script>alert("x")</script>'
const everybody = ['Alice', 'Carl', 'Mia', 'Fin', 'Ada'] as const
type Person = (typeof everybody)[number]
const people = usePeople(everybody)
const { idOf, visitorOf } = people

/** A call of somebody, judged by all limits, that used a thousand tokens of a model. */
const call = (who: Person, tool: string, model: string, error: string | null = null): Promise<string> =>
  people.call(who, {
    call: { tool },
    request: { quotas: JUDGED },
    end: {
      usage: [{ model, promptTokens: 1000, completionTokens: 0 }],
      status: error === null ? 'success' : 'error',
      error,
    },
  })

beforeAll(async () => {
  await call('Alice', 'search', 'gpt-4o')
  await call('Carl', SCRIPT, SCRIPT, SCRIPT)
})

describe('every page', () => {
  const pages: [path: string, who: readonly Person[]][] = [
    ['/users', everybody],
    ['/users.csv', everybody],
    ['/limits', everybody],
    ['/prices', everybody],
    ['/log', everybody],
    ['/tokens', everybody],
    ['/audit', ['Ada']],
    ['/data', ['Ada']],
    ['/limits/new', ['Ada']],
  ]
  it.each(pages)('%s is for %j', async (path, who) => {
    for (const person of everybody) {
      const { status, html } = await visitorOf(person).get(path)
      expect([person, status]).toEqual([person, who.includes(person) ? 200 : 403])
      expect(html).not.toContain(SCRIPT)
      expect(html).not.toContain('undefined')
    }
  })

  it.each(['/users/:id', '/users/:id/export'])('%s of another is not there for a member', async (path) => {
    const address = path.replace(':id', idOf('Carl'))
    expect((await visitorOf('Alice').get(address)).status).toBe(404)
    expect((await visitorOf('Carl').get(address)).status).toBe(200)
    expect((await visitorOf('Ada').get(address)).status).toBe(200)
  })
})

describe('users', () => {
  it('are those that the role sees, with what they cost, as in the file', async () => {
    const seen = async (who: Person) => textOf((await visitorOf(who).get('/users')).html)
    expect(await seen('Alice')).toContain('1 user ')
    expect(await seen('Mia')).toMatch(/Alice.*sales.*2 users/)
    expect(await seen('Mia')).not.toContain('research')
    expect(await seen('Fin')).toContain('5 users')
    const { html } = await visitorOf('Fin').get('/users.csv?search=alice')
    expect(html).toContain(`${idOf('Alice')},alice@example.com,Alice,sales,member`)
  })

  it('have a page with their tools, models, limits and history', async () => {
    const text = textOf((await visitorOf('Mia').get(`/users/${idOf('Alice')}`)).html)
    for (const part of ['search', 'gpt-4o', '$0.01', 'sales from', 'Limits, and what is left']) {
      expect(text).toContain(part)
    }
    expect(text).not.toContain('Administration')
  })

  it('get department and role from an administrator, from now on', async () => {
    const ada = visitorOf('Ada')
    await ada.get(`/users/${idOf('Alice')}`)
    const { status } = await ada.post(`/users/${idOf('Alice')}`, {
      department: 'Field sales',
      role: 'manager',
    })
    expect(status).toBe(303)
    const text = textOf((await ada.get(`/users/${idOf('Alice')}`)).html)
    expect(text).toMatch(/manager set by an administrator.*sales from .* to .*Field sales from/)
    await ada.post(`/users/${idOf('Alice')}`, { department: '', role: '' })
    expect(textOf((await ada.get(`/users/${idOf('Alice')}`)).html)).not.toContain('set by an administrator')
  })

  it('are blocked after one more question, and let in again', async () => {
    const ada = visitorOf('Ada')
    const path = `/users/${idOf('Carl')}`
    expect(textOf((await ada.get(`${path}/block`)).html)).toContain('Block this user?')
    await ada.post(`${path}/block`, {})
    expect((await visitorOf('Carl').get('/users')).status).toBe(403)
    expect(await call('Carl', 'search', 'gpt-4o')).toBe('blocked')
    expect(textOf((await ada.get(`${path}/block`)).html)).toContain('Let this user in again?')
    await ada.post(`${path}/unblock`, {})
    expect((await visitorOf('Carl').get('/users')).status).toBe(200)
  })

  it('are changed by nobody else', async () => {
    const mia = visitorOf('Mia')
    await mia.get('/users')
    for (const action of ['', '/block', '/revoke', '/erase']) {
      expect((await mia.post(`/users/${idOf('Alice')}${action}`, {})).status).toBe(403)
    }
  })

  it('are erased after a look at what would go', async () => {
    const token = await userToken('Gone')
    const id = await userId(apiApp(people.database.sql), token)
    const ada = visitorOf('Ada')
    const { html } = await ada.get(`/users/${id}/erase`)
    expect(textOf(html)).toMatch(/Erase this person\?.*archon_mcp_users 1/)
    const done = await ada.post(`/users/${id}/erase`, {})
    expect(textOf(done.html)).toContain('Nothing here leads to this person any more.')
    expect((await ada.get(`/users/${id}`)).status).toBe(404)
  })
})

describe('limits', () => {
  const LIMIT = {
    kind: 'budget',
    scope: 'each_user',
    metric: 'requests',
    limit: '2',
    window: 'day',
    timezone: 'Europe/Berlin',
    tools: 'report, translate',
    mode: 'enforce',
    warn_at: '50, 90',
  }

  it('are set by a form, refuse a call, show where they stand, and are removed after one more question', async () => {
    const ada = visitorOf('Ada')
    await ada.get('/limits/new')
    const saved = await ada.post('/limits/new', LIMIT)
    expect(saved.status).toBe(303)
    const path = saved.headers.get('location')!.replace('/dashboard', '')

    for (const outcome of ['admitted', 'admitted', 'quota_exceeded']) {
      expect(await call('Alice', 'report', 'gpt-4o')).toBe(outcome)
    }
    const text = textOf((await ada.get(path)).html)
    expect(text).toMatch(/Each user: 2 calls a day.*Warns at 50%, 90%.*Tools report, translate/)
    expect(text).toMatch(/Nearest to their cap.*Alice/)
    expect(text).toContain('What would it have refused in the last… 7 days 30 days')
    expect(text).not.toContain('None of')
    for (const days of [7, 30]) {
      expect(textOf((await ada.get(`${path}?preview=${days}`)).html)).toContain('None of 2 calls.')
    }
    expect((await visitorOf('Alice').get(`${path}?preview=30`)).html).not.toContain('look back')
    const own = textOf((await visitorOf('Alice').get('/limits')).html)
    expect(own).toMatch(/Each user for report, translate alone 2 calls a day.*2 used.*0 left/)

    const edit = await ada.get(`${path}/edit`)
    expect(edit.html).toContain('value="50, 90"')
    await ada.post(`${path}/edit`, { ...LIMIT, limit: '3' })
    expect(await call('Alice', 'report', 'gpt-4o')).toBe('admitted')

    expect(textOf((await ada.get(`${path}/remove`)).html)).toContain('Remove this limit?')
    expect((await ada.post(`${path}/remove`, {})).status).toBe(303)
    expect((await ada.get(path)).status).toBe(404)
  })

  it('can be rates', async () => {
    const ada = visitorOf('Ada')
    await ada.get('/limits/new?kind=rate')
    const rate = {
      kind: 'rate',
      scope: 'everyone',
      limit: '600',
      window_seconds: '60',
      mode: 'observe',
      warn_at: '',
    }
    expect((await ada.post('/limits/new', rate)).status).toBe(303)
    expect(textOf((await ada.get('/limits?kind=rate')).html)).toContain('600 calls in 60 s')
  })

  it.each<[string, Record<string, string>, RegExp]>([
    ['an amount that is none', { limit: 'much' }, /f-limit[^>]*aria-invalid="true"/],
    ['a zone that is none', { timezone: 'Mars/Olympus' }, /f-timezone[^>]*aria-invalid="true"/],
    ['a user without an id', { scope: 'user', subject: 'Alice' }, /f-subject[^>]*aria-invalid="true"/],
    ['a day of the month that is none', { window: 'month', day: '40' }, /f-day[^>]*aria-invalid="true"/],
    ['a warning beyond all', { warn_at: '150' }, /f-warn_at[^>]*aria-invalid="true"/],
  ])('%s is shown beside its field, with all that was typed', async (_name, wrong, fault) => {
    const ada = visitorOf('Ada')
    await ada.get('/limits/new')
    const { status, html } = await ada.post('/limits/new', { ...LIMIT, ...wrong })
    expect(status).toBe(400)
    expect(html).toMatch(fault)
    expect(html).toContain('value="report, translate"')
  })
})

describe('prices', () => {
  it('tell which models were used without one, and take one', async () => {
    const ada = visitorOf('Ada')
    await call('Carl', 'search', 'new-model')
    expect(textOf((await ada.get('/prices')).html)).toMatch(/Used without a price.*new-model.*No price/)
    const price = {
      provider: 'Somebody',
      model_name: 'new-model',
      input_price_per_1k: '0.5',
      output_price_per_1k: '1',
    }
    expect((await ada.post('/prices/model', price)).status).toBe(303)
    expect(textOf((await ada.get('/prices?model=new-mod')).html)).toContain('new-model Somebody $0.5')
  })

  it('are applied to recorded calls after one more question', async () => {
    const ada = visitorOf('Ada')
    const today = new Date().toISOString().slice(0, 10)
    await ada.get('/prices')
    const asked = await ada.post('/prices/rerate', { from: today, to: '', model: 'new-model' })
    expect(textOf(asked.html)).toContain('Price these calls anew?')
    const done = await ada.post('/prices/rerate/confirmed', { from: today, to: '', model: 'new-model' })
    expect(textOf(done.html)).toContain('1 call changed: $0.00 before, $0.50 now.')
  })

  it('of tools are for each call', async () => {
    const ada = visitorOf('Ada')
    await ada.get('/prices')
    await ada.post('/prices/tool', { tool_name: 'report', price: '0.25' })
    expect(textOf((await ada.get('/prices')).html)).toContain('report $0.25')
    const wrong = await ada.post('/prices/tool', { tool_name: 'report', price: 'dear' })
    expect([wrong.status, wrong.html.includes('value="dear"')]).toEqual([400, true])
  })
})

const inLog = async (who: Person, query: string): Promise<string> =>
  textOf((await visitorOf(who).get(`/log?${query}`)).html)

describe('the log', () => {
  it('tells single calls to those who may read them, and finance nothing of others', async () => {
    expect(await inLog('Ada', 'level=error')).toMatch(/Errors 1.*Carl.*alert\("x"\)/)
    expect(await inLog('Ada', 'search=research&level=error')).toContain('No call that you may read matches')
    expect(await inLog('Fin', '')).toContain('No call that you may read matches')
    expect(await inLog('Mia', '')).not.toContain('Carl')
  })
})

describe('access tokens', () => {
  it('are shown once, work, and are revoked after one more question', async () => {
    const alice = visitorOf('Alice')
    await alice.get('/tokens')
    const { html } = await alice.post('/tokens', { name: 'Cursor on my laptop', days: '30' })
    const token = /mcpuc_pat_[0-9A-Za-z]{49}/.exec(html)![0]
    expect(await userId(apiApp(people.database.sql), token)).toBe(idOf('Alice'))
    const list = await alice.get('/tokens')
    expect(textOf(list.html)).toMatch(/Cursor on my laptop Alice.*Live/)
    expect(list.html).not.toContain(token)

    const [, path = ''] = /href="\/dashboard(\/tokens\/[^"]+\/revoke)"/.exec(list.html) ?? []
    expect((await visitorOf('Carl').post(path, {})).status).toBe(404)
    expect(textOf((await alice.get(path)).html)).toContain('Revoke this token?')
    await alice.post(path, {})
    expect(textOf((await alice.get('/tokens')).html)).toContain('No live token.')
  })

  it('are for services where an administrator says so', async () => {
    const asked = { name: 'nightly', days: '400', service: 'reporter' }
    await visitorOf('Alice').get('/tokens')
    const refused = await visitorOf('Alice').post('/tokens', asked)
    expect(textOf(refused.html)).toContain('Give days from 1 to 366.')
    await visitorOf('Ada').get('/tokens')
    expect((await visitorOf('Ada').post('/tokens', { ...asked, days: '90' })).html).toContain('mcpuc_pat_')
  })
})

describe('the audit', () => {
  it('tells administrators who changed what, and of whom', async () => {
    const text = textOf((await visitorOf('Ada').get('/audit')).html)
    for (const part of ['quota set', 'user blocked', 'price set', 'calls rerated', 'user erased', 'Ada']) {
      expect(text).toContain(part)
    }
  })
})

describe('data', () => {
  it('is kept for as long as an administrator says', async () => {
    const ada = visitorOf('Ada')
    await ada.get('/data')
    const wrong = await ada.post('/data', { calls_days: '3', names: 'on' })
    expect([wrong.status, /f-calls_days[^>]*aria-invalid="true"/.test(wrong.html)]).toEqual([400, true])
    expect((await ada.post('/data', { calls_days: '400', errors_days: '30', names: 'on' })).status).toBe(303)
    const { html } = await ada.get('/data')
    expect(html).toMatch(/name="calls_days"[^>]*value="400"/)
  })
})
