import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { McpBudget, McpQuota } from '../../src/reports/quota-rows.ts'
import type { QuotaPreview } from '../../src/reports/quota-preview.ts'
import { callerNamed, callOf, requestBy, success, JUDGED } from '../support/ledger.ts'
import {
  type Answer,
  expectProblem,
  MOMENT,
  refusesStrangers,
  send,
  serviceToken,
  useApi,
  userId,
  userToken,
  walk,
} from './support.ts'

const api = useApi()

const tokens: Record<string, string> = {}
const ids: Record<string, string> = {}
beforeAll(async () => {
  Object.assign(tokens, {
    Alice: await userToken('Alice', { department: 'sales' }),
    Bob: await userToken('Bob', { department: 'research' }),
    manager: await userToken('Mia', { department: 'sales', role: 'manager' }),
    finance: await userToken('Fin', { role: 'finance' }),
    admin: await userToken('Ada', { role: 'admin' }),
    service: await serviceToken(),
  })
  for (const name of ['Alice', 'Bob', 'manager', 'finance', 'admin'])
    ids[name] = await userId(api.app, tokens[name]!)
})
afterEach(() => api.sql`delete from archon_mcp_quotas`)

/** What the routes answer; a test reads what its own does. */
type Told = McpBudget & { quotas: McpQuota[]; total: number }

/** Sends as somebody. @returns the answer, with its body as what the route tells. */
async function as(who: string, route: string, body?: unknown): Promise<Answer & { told: Told }> {
  const answer = await send(api.app, route, { token: tokens[who], body })
  return { ...answer, told: answer.body as unknown as Told }
}
const budget = { scope: 'everyone', metric: 'requests', limit: 100, window: 'total' }
const put = async (quota: object = {}): Promise<McpQuota> => {
  const { status, told } = await as('admin', 'PUT /quotas', { ...budget, ...quota })
  expect([200, 201]).toContain(status)
  return told
}
const list = async (who: string, query = '') => (await as(who, `GET /quotas${query}`)).told
const line = async (who: string) => (await list(who)).quotas[0] as McpBudget

/** Calls of Alice that have ended, at the database's clock. */
async function callsOfAlice(count: number, cost = '0.25'): Promise<void> {
  const ledger = createLedger(api.sql)
  const caller = await callerNamed('alice', { department: 'sales' })
  const calls = Array.from({ length: count }, () => callOf())
  await ledger.admit(requestBy(caller, { calls, quotas: JUDGED }))
  const usage = [{ model: 'small', promptTokens: 10, completionTokens: 5, cost }]
  await Promise.all(calls.map(({ id }) => ledger.close(success(id, { usage }))))
}

describe('PUT /quotas', () => {
  refusesStrangers(api, 'PUT /quotas')

  it('creates a quota, and answers it as GET does', async () => {
    const body = {
      ...budget,
      scope: 'user',
      subject: ids['Alice'],
      metric: 'cost',
      limit: '100.50',
      window: 'month',
      timezone: 'Europe/Berlin',
      anchor: { day_of_month: 31, hour: 6 },
      tools: ['search', 'echo', 'search'],
      models: ['large'],
      mode: 'warn',
      warn_at: [0.5],
    }
    const { status, told } = await as('admin', 'PUT /quotas', body)
    expect(status).toBe(201)
    expect(told).toEqual({
      ...body,
      quota_id: expect.any(String),
      kind: 'budget',
      limit: '100.5',
      tools: ['echo', 'search'],
      created_at: MOMENT,
      updated_at: MOMENT,
      window_start: MOMENT,
      resets_at: MOMENT,
      used: '0',
      held: '0',
      left: '100.5',
      excess: '0',
      excess_calls: 0,
      warning: null,
      refused: { enforced: 0, observed: 0 },
    })
    expect((await as('admin', `GET /quotas/${told.quota_id}`)).told).toEqual(told)
    expect((await list('admin')).quotas).toEqual([told])
  })

  it('takes an id that is new, and changes the quota of one that is not', async () => {
    const quota_id = crypto.randomUUID()
    const made = await as('admin', 'PUT /quotas', { ...budget, quota_id })
    expect([made.status, made.told.quota_id]).toEqual([201, quota_id])
    const changed = await as('admin', 'PUT /quotas', { ...budget, quota_id, metric: 'tokens', window: 'day' })
    expect(changed.status).toBe(200)
    expect(changed.told).toMatchObject({ quota_id, metric: 'tokens', window: 'day' })
    expect(await list('admin')).toMatchObject({ total: 1 })
  })

  it('changes, without an id, the one that counts the same', async () => {
    const { quota_id } = await put({ tools: ['a', 'b'] })
    const changed = await as('service', 'PUT /quotas', {
      ...budget,
      tools: ['b', 'a'],
      limit: 5,
      mode: 'observe',
    })
    expect(changed.status).toBe(200)
    expect(changed.told).toMatchObject({ quota_id, limit: 5, mode: 'observe' })
    expect((await put({ tools: ['a'] })).quota_id).not.toBe(quota_id)
  })

  it('keeps what was used when the limit changes', async () => {
    await put({ scope: 'department', subject: 'sales', metric: 'cost', limit: 10 })
    await callsOfAlice(3)
    const changed = await put({ scope: 'department', subject: 'sales', metric: 'cost', limit: '0.80' })
    expect(changed).toMatchObject({ limit: '0.8', used: '0.75', left: '0.05', warning: 0.8 })
  })

  it('refuses to make two quotas count the same', async () => {
    await put()
    const { quota_id } = await put({ window: 'day' })
    const answer = await as('admin', 'PUT /quotas', { ...budget, quota_id })
    expectProblem(answer, 409, 'conflict')
    expect(answer.body).toMatchObject({ detail: expect.stringContaining('another has this kind, scope') })
  })

  it.each(['Mars/Olympus', 'Foo+3', 'utc '])('knows no time zone %j', async (timezone) => {
    for (const route of ['PUT /quotas', 'POST /quotas/preview']) {
      const answer = await as('admin', route, { ...budget, timezone })
      expectProblem(answer, 400, 'invalid_request')
      expect(answer.body.errors).toEqual([{ path: 'timezone', message: expect.any(String) }])
    }
  })

  it('names every fault of a body at once', async () => {
    const wrong = { scope: 'department', metric: 'calls', limit: '1', window: 'day', mode: 'block', size: 1 }
    const answer = await as('admin', 'PUT /quotas', wrong)
    expectProblem(answer, 400, 'invalid_request')
    expect(answer.body.errors.map(({ path }) => path)).toEqual(['mode', 'metric', '', 'subject'])
  })

  it('sets rates too', async () => {
    const rate = { kind: 'rate', scope: 'each_department', limit: 60, window_seconds: 60, tools: ['search'] }
    const { status, told } = await as('admin', 'PUT /quotas', rate)
    expect(status).toBe(201)
    expect(told).toMatchObject({ ...rate, burst: 60, mode: 'enforce' })
    for (const field of ['metric', 'window', 'timezone', 'used', 'resets_at'])
      expect(told).not.toHaveProperty(field)
    expect((await as('admin', 'PUT /quotas', { ...rate, burst: 5 })).told).toMatchObject({ burst: 5 })
  })
})

describe('who may', () => {
  const roles = ['Alice', 'manager', 'finance', 'admin', 'service']
  it.each(roles)('write and preview: %s', async (who) => {
    const { quota_id } = await put()
    const may = who === 'admin' || who === 'service'
    const answers = [
      [await as(who, 'PUT /quotas', budget), 200],
      [await as(who, 'POST /quotas/preview', budget), 200],
      [await as(who, `DELETE /quotas/${quota_id}`), 204],
    ] as const
    for (const [answer, status] of answers) {
      if (may) expect(answer.status).toBe(status)
      else expectProblem(answer, 403, 'forbidden')
    }
    // Before anything is said of the body.
    if (!may) expectProblem(await as(who, 'PUT /quotas', {}), 403, 'forbidden')
  })

  const quotas: [
    name: string,
    quota: { kind?: string; scope?: string; subject?: string },
    readers: string[],
  ][] = [
    ['of everyone', {}, ['Alice', 'Bob', 'manager', 'finance', 'admin', 'service']],
    ['of each user', { scope: 'each_user' }, ['Alice', 'Bob', 'manager', 'finance', 'admin', 'service']],
    // Finance and the admin have no department, and read it by their role.
    [
      'of each department',
      { scope: 'each_department' },
      ['Alice', 'Bob', 'manager', 'finance', 'admin', 'service'],
    ],
    [
      'of sales',
      { scope: 'department', subject: 'sales' },
      ['Alice', 'manager', 'finance', 'admin', 'service'],
    ],
    ['of research', { scope: 'department', subject: 'research' }, ['Bob', 'finance', 'admin', 'service']],
    [
      'of Alice in sales',
      { scope: 'user', subject: 'Alice' },
      ['Alice', 'manager', 'finance', 'admin', 'service'],
    ],
    ['of Bob in research', { scope: 'user', subject: 'Bob' }, ['Bob', 'finance', 'admin', 'service']],
    ['of the manager', { scope: 'user', subject: 'manager' }, ['manager', 'finance', 'admin', 'service']],
    [
      'of a rate of Bob',
      { kind: 'rate', scope: 'user', subject: 'Bob' },
      ['Bob', 'finance', 'admin', 'service'],
    ],
  ]
  it.each(quotas)('read a quota %s', async (_, { scope, subject, kind }, readers) => {
    const held = { scope: scope ?? 'everyone', subject: scope === 'user' ? ids[String(subject)] : subject }
    const rate = { ...held, kind, limit: 1, window_seconds: 1 }
    const { told } = await as('admin', 'PUT /quotas', kind === 'rate' ? rate : { ...budget, ...held })
    for (const who of Object.keys(tokens)) {
      const reads = readers.includes(who)
      expect([who, (await list(who)).total]).toEqual([who, reads ? 1 : 0])
      const one = await as(who, `GET /quotas/${told.quota_id}`)
      if (reads) expect(one.told.quota_id).toBe(told.quota_id)
      else expectProblem(one, 404, 'not_found')
    }
  })

  it('see the lines of others in a quota of each', async () => {
    await put({ scope: 'each_user', metric: 'cost', limit: 1 })
    await callsOfAlice(1)
    expect((await line('admin')).holders).toMatchObject([
      { subject: ids['Alice'], email: 'alice@example.com' },
    ])
    expect((await line('manager')).holders).toHaveLength(1)
    expect(await line('Bob')).toMatchObject({ used: '0', left: '1' })
    expect(await line('Bob')).not.toHaveProperty('holders')
  })
})

describe('GET /quotas', () => {
  refusesStrangers(api, 'GET /quotas')

  const filters: [query: string, found: string[]][] = [
    ['?kind=rate', ['rate']],
    ['?scope=department', ['sales', 'rate']],
    ['?user_id=ALICE', ['alice']],
    ['?department=sales', ['sales', 'rate']],
    ['?kind=budget&department=sales', ['sales']],
    ['?department=research', []],
  ]
  it.each(filters)('finds by %s %j', async (query, found) => {
    const made: Record<string, string> = {
      alice: (await put({ scope: 'user', subject: ids['Alice'] })).quota_id,
      sales: (await put({ scope: 'department', subject: 'sales' })).quota_id,
    }
    const rate = { kind: 'rate', scope: 'department', subject: 'sales', limit: 1, window_seconds: 1 }
    made['rate'] = (await as('admin', 'PUT /quotas', rate)).told.quota_id
    const { quotas, total } = await list('admin', query.replace('ALICE', ids['Alice']!.toUpperCase()))
    expect(quotas.map(({ quota_id }) => quota_id).toSorted()).toEqual(
      found.map((name) => made[name]!).toSorted(),
    )
    expect(total).toBe(found.length)
  })

  it('walks every quota once', async () => {
    const made: string[] = []
    for (let n = 0; n < 5; n++) made.push((await put({ tools: [`tool-${n}`] })).quota_id)
    const pages = await walk(api.app, '/quotas?limit=2', tokens['admin']!)
    const seen = pages.flatMap((page) => (page as unknown as { quotas: McpQuota[] }).quotas)
    expect(seen.map(({ quota_id }) => quota_id)).toEqual(made.toReversed())
    expect(pages.map(({ total }) => total)).toEqual([5, 5, 5])
  })

  it.each(['kind=cap', 'scope=all', 'user_id=alice', 'department=', 'limit=0', 'cursor=x'])(
    'answers 400 to %s',
    async (query) => {
      expectProblem(await as('admin', `GET /quotas?${query}`), 400, 'invalid_request')
    },
  )
})

describe('DELETE /quotas/:quota_id', () => {
  it('removes a quota', async () => {
    const { quota_id } = await put()
    expect((await as('admin', `DELETE /quotas/${quota_id}`)).status).toBe(204)
    expect(await list('admin')).toEqual({ quotas: [], total: 0 })
  })

  it.each(['550e8400-e29b-41d4-a716-446655440000', 'mine'])('answers 404 to %s', async (id) => {
    expectProblem(await as('admin', `DELETE /quotas/${id}`), 404, 'not_found')
    expectProblem(await as('admin', `GET /quotas/${id}`), 404, 'not_found')
  })
})

describe('POST /quotas/preview', () => {
  refusesStrangers(api, 'POST /quotas/preview')

  it('says whom a quota would have refused, and changes nothing', async () => {
    await callsOfAlice(2)
    const proposed = { ...budget, scope: 'department', subject: 'sales', limit: 1, window: 'month', days: 7 }
    const { status, body } = await as('service', 'POST /quotas/preview', proposed)
    const told = body as unknown as QuotaPreview
    expect(status).toBe(200)
    expect(told.period).toEqual({ start: MOMENT, end: MOMENT, days: 7 })
    expect(told.refused).toBeGreaterThan(0)
    expect(told.holders).toMatchObject([
      { subject: 'sales', user_id: ids['Alice'], calls_refused: told.refused, last_refused_at: MOMENT },
    ])
    expect(await list('admin')).toMatchObject({ total: 0 })
  })

  it('names every fault at once', async () => {
    const answer = await as('admin', 'POST /quotas/preview', { ...budget, limit: -1, days: 367 })
    expectProblem(answer, 400, 'invalid_request')
    expect(answer.body.errors.map(({ path }) => path)).toEqual(['days', 'limit'])
  })
})
