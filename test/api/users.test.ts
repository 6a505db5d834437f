import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { UserActivity } from '../../src/reports/user-activity.ts'
import type { UserReport, UsersReport } from '../../src/reports/users.ts'
import { asCells, parseTable } from '../support/csv.ts'
import { callerNamed, callOf, requestBy, success } from '../support/ledger.ts'
import { ISSUER } from '../support/mcp.ts'
import {
  ago,
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
  writeSession,
} from './support.ts'

const api = useApi()

const tokens: Record<string, string> = {}
const ids: Record<string, string> = {}
const NAMES = ['Alice', 'Bob', 'Carl', 'Mia', 'Fin', 'Ada']

/** Calls of a user, so many seconds ago. */
async function call(who: string, seconds: number, cost: string, promptTokens = 100): Promise<void> {
  const caller = await callerNamed(who.toLowerCase(), { issuer: ISSUER, name: who })
  const ledger = createLedger(api.sql, { now: () => ago(seconds), closeDelayMs: 0 })
  const one = callOf()
  await ledger.admit(requestBy(caller, { calls: [one] }))
  await ledger.close(success(one.id, { usage: [{ model: 'm', promptTokens, completionTokens: 1, cost }] }))
}

const DAY = 86_400
/** Known to Archon alone. */
const OLD = 'c0ffee00-0000-4000-8000-000000000001'

beforeAll(async () => {
  Object.assign(tokens, {
    Alice: await userToken('Alice', { department: 'sales' }),
    Bob: await userToken('Bob', { department: 'sales' }),
    Carl: await userToken('Carl', { department: 'research' }),
    Mia: await userToken('Mia', { department: 'sales', role: 'manager' }),
    Fin: await userToken('Fin', { role: 'finance' }),
    Ada: await userToken('Ada', { role: 'admin' }),
    service: await serviceToken(),
  })
  for (const name of NAMES) ids[name] = await userId(api.app, tokens[name]!)
  await call('Alice', 40 * DAY, '0.5')
  await call('Alice', 60, '1.0000000001')
  await call('Bob', 120, '0.25', 5000)
  await call('Carl', 30, '0.1')
  await call('Carl', 30, '0.1')
  await call('Carl', 30, '0.1')
  const { owner } = api.database
  await writeSession(owner, { user_id: ids['Alice'], client_type: 'Cursor', last_activity: ago(5) })
  const old = { connected_at: ago(50 * DAY), last_activity: ago(45 * DAY), disconnected_at: ago(45 * DAY) }
  await writeSession(owner, { user_id: ids['Alice'], client_type: 'Claude Code', ...old })
  await writeSession(owner, {
    user_id: OLD,
    user_email: 'old@example.com',
    ...old,
    last_activity: ago(46 * DAY),
  })
  const session_id = await writeSession(owner, { user_id: OLD, user_name: 'Olga Old', ...old })
  await owner`
    insert into archon_mcp_requests (session_id, method, estimated_cost, prompt_tokens, completion_tokens, timestamp)
    values (${session_id}, 'tools/call', 0.75, null, 4, ${ago(46 * DAY)})`
  await writeSession(owner, { client_name: 'of nobody' })
})

type Told = UsersReport & UserReport & UserActivity & { revoked_at: string }
async function as(who: string, route: string, body?: unknown): Promise<Answer & { told: Told }> {
  const answer = await send(api.app, route, { token: tokens[who], body })
  return { ...answer, told: answer.body as unknown as Told }
}
const list = async (who: string, query = '') => {
  const { status, told } = await as(who, `GET /users${query}`)
  expect(status, JSON.stringify(told)).toBe(200)
  return told
}
const names = ({ users }: UsersReport) => users.map(({ name, user_id }) => name ?? user_id)
const id = (path: string) =>
  path.replace(/:(\w+)/, (_, name: string) => ids[name] ?? (name === 'old' ? OLD : name))

describe('GET /users', () => {
  refusesStrangers(api, 'GET /users')

  it('tells what each did, and all together', async () => {
    const { users, total, totals, period } = await list('Ada', '?sort=cost')
    expect(users.slice(0, 3)).toEqual([
      {
        user_id: ids['Alice'],
        email: 'alice@example.com',
        name: 'Alice',
        department: 'sales',
        role: 'member',
        blocked: false,
        total_sessions: 2,
        active_sessions: 1,
        total_requests: 2,
        total_tokens: 202,
        total_cost: '1.5000000001',
        last_activity_at: MOMENT,
        first_seen_at: MOMENT,
      },
      {
        user_id: OLD,
        email: 'old@example.com',
        name: 'Olga Old',
        blocked: false,
        total_sessions: 2,
        active_sessions: 0,
        total_requests: 1,
        total_tokens: 4,
        total_cost: '0.75',
        last_activity_at: MOMENT,
        first_seen_at: MOMENT,
      },
      expect.objectContaining({ name: 'Carl', total_cost: '0.3' }),
    ])
    expect(total).toBe(7)
    expect(totals).toEqual({
      total_sessions: 4,
      active_sessions: 1,
      total_requests: 7,
      total_tokens: 202 + 4 + 303 + 5001,
      total_cost: '2.8000000001',
    })
    expect(period.start).toBe('1970-01-01T00:00:00.000Z')
  })

  it('agrees with the view of the database', async () => {
    const { users } = await list('Ada')
    const rows = await api.sql`
      select user_id, user_email, user_name, total_sessions::integer, total_requests::integer, total_tokens::integer,
             trim_scale(total_cost) as total_cost, last_activity_at, first_session_at
      from archon_mcp_user_stats`
    for (const { user_email, user_name, last_activity_at, first_session_at, ...row } of rows) {
      expect(users.find(({ user_id }) => user_id === row['user_id'])).toMatchObject({
        ...row,
        email: user_email as string,
        name: user_name as string,
        last_activity_at: (last_activity_at as Date).toISOString(),
      })
      expect(first_session_at).not.toBeUndefined()
    }
    expect(rows).toHaveLength(4)
  })

  const everybody = ['Alice', 'Olga Old', 'Carl', 'Bob']
  const roles: { who: string; query?: string; sees: string[] }[] = [
    { who: 'Alice', sees: ['Alice'] },
    { who: 'Alice', query: '?search=bob', sees: [] },
    { who: 'Mia', sees: ['Alice', 'Bob', 'Mia'] },
    { who: 'Mia', query: '?department=research', sees: [] },
    ...['Fin', 'Ada', 'service'].flatMap((who) => [
      { who, query: '?limit=4', sees: everybody },
      { who, query: '?department=research', sees: ['Carl'] },
      { who, query: '?department=sales&sort=name', sees: ['Alice', 'Bob', 'Mia'] },
    ]),
    { who: 'Ada', query: '?search=OLD@EXAMPLE', sees: ['Olga Old'] },
    { who: 'Ada', query: '?search=olga', sees: ['Olga Old'] },
    { who: 'Ada', query: `?search=${OLD.toUpperCase()}`, sees: ['Olga Old'] },
    { who: 'Ada', query: '?search=%25', sees: [] },
    { who: 'Ada', query: '?search=_', sees: [] },
    { who: 'Ada', query: '?search=&sort=calls&limit=2', sees: ['Carl', 'Alice'] },
    { who: 'Ada', query: '?sort=tokens&limit=2', sees: ['Bob', 'Carl'] },
    { who: 'Ada', query: '?sort=last_activity&limit=3', sees: ['Alice', 'Carl', 'Bob'] },
    { who: 'Ada', query: '?sort=name', sees: ['Ada', 'Alice', 'Bob', 'Carl', 'Fin', 'Mia', 'Olga Old'] },
  ]
  it.each(roles)('shows $who $sees $query', async ({ who, query = '', sees }) => {
    expect(names(await list(who, query))).toEqual(sees)
  })

  it('counts what was in a period', async () => {
    const from = ago(10 * DAY).toISOString()
    const { users, totals } = await list('Ada', `?from=${from}&search=alice`)
    expect(users).toMatchObject([
      { total_sessions: 1, active_sessions: 1, total_requests: 1, total_cost: '1.0000000001' },
    ])
    expect(totals.total_cost).toBe('1.0000000001')
    // A session that had begun before counts, with a period that ends before now.
    const past = await list('Ada', `?from=${ago(46 * DAY).toISOString()}&to=${from}&search=alice`)
    expect(past.users).toMatchObject([
      { total_sessions: 1, active_sessions: 0, total_requests: 1, total_cost: '0.5' },
    ])
  })

  it.each(['cost', 'calls', 'tokens', 'last_activity', 'name'])(
    'walks everybody once, by %s',
    async (sort) => {
      const pages = await walk(api.app, `/users?limit=2&sort=${sort}`, tokens['Ada']!)
      const users = pages.map((page) => page as unknown as UsersReport)
      expect(users.map(({ users, total }) => [users.length, total])).toEqual([
        [2, 7],
        [2, 7],
        [2, 7],
        [1, 7],
      ])
      expect(users.flatMap(names)).toEqual(names(await list('Ada', `?sort=${sort}`)))
    },
  )

  it.each([
    'sort=size',
    'limit=0',
    'limit=201',
    'cursor=x',
    'department=',
    'from=now',
    'timezone=x',
    'format=xml',
  ])('answers 400 to %s', async (query) => {
    const answer = await as('Ada', `GET /users?${query}`)
    expectProblem(answer, 400, 'invalid_request')
    expect(answer.body.errors.map(({ path }) => path)).toEqual([query.split('=')[0]])
  })
})

const file = async (who: string, query = '') => {
  const response = await api.app.request(`/api/mcp/users?format=csv${query}`, {
    headers: { authorization: `Bearer ${tokens[who]}` },
  })
  expect(response.headers.get('content-disposition')).toBe('attachment; filename="users.csv"')
  return parseTable(await response.text())
}

describe('GET /users as CSV', () => {
  it('says what the JSON says, of everybody', async () => {
    const { users, totals, period } = await list('Ada', '?to=2099-01-01')
    const table = await file('Ada', '&limit=2&to=2099-01-01')
    expect(table.rows).toEqual(users.map((row) => asCells(table.header, row)))
    expect(table.total).toEqual(asCells(table.header, { user_id: 'Total', ...totals }))
    expect(table.period.slice(0, 4)).toEqual(['Period', period.start, period.end, 'UTC'])
  })

  it('holds no more than the caller may see', async () => {
    expect((await file('Mia', '&sort=name')).rows.map(({ name }) => name)).toEqual(['Alice', 'Bob', 'Mia'])
  })
})

describe('GET /users/:id', () => {
  const parts = ['', '/sessions', '/activity']
  it.each(parts)('hides%s those whom the caller may not see', async (part) => {
    const seen: Record<string, string[]> = {
      Alice: ['Alice'],
      Mia: ['Alice', 'Mia'],
      Fin: ['Alice', 'Carl', 'Mia', 'old'],
      Ada: ['Alice', 'Carl', 'Mia', 'old'],
      service: ['Alice', 'Carl', 'Mia', 'old'],
    }
    for (const [who, sees] of Object.entries(seen)) {
      for (const whom of ['Alice', 'Carl', 'Mia', 'old', crypto.randomUUID(), 'nonsense']) {
        const answer = await as(who, id(`GET /users/:${whom}${part}`).replaceAll(':', ''))
        if (sees.includes(whom)) expect(answer.status, `${who} ${whom}`).toBe(200)
        else expectProblem(answer, 404, 'not_found')
      }
    }
  })

  it('is the user of the list', async () => {
    const { told } = await as('Ada', id('GET /users/:Alice'))
    const memberships = [{ department: 'sales', starts_at: MOMENT, ends_at: null }]
    expect(told).toEqual({ ...(await list('Ada', '?search=alice')).users[0], memberships })
    const from = ago(10 * DAY).toISOString()
    expect(
      (await as('Ada', id(`GET /users/:Alice?from=${from}`).replace(/%3A/g, ':'))).told.total_requests,
    ).toBe(1)
  })

  it('has all sessions, a page at a time', async () => {
    const { told } = await as('Ada', id('GET /users/:Alice/sessions'))
    expect(told).toMatchObject({ total: 2, sessions: [{ client_type: 'Cursor' }, { client_type: 'Claude' }] })
    const pages = await walk(api.app, id('/users/:Alice/sessions?limit=1'), tokens['Alice']!)
    expect(pages.map(({ sessions }) => sessions.length)).toEqual([1, 1])
    const active = await as('Ada', id('GET /users/:Alice/sessions?status_filter=active'))
    expect(active.body.sessions).toHaveLength(1)
  })

  it('tells what a user did in the last days, and on which', async () => {
    const { told } = await as('Mia', id('GET /users/:Alice/activity'))
    expect(told).toMatchObject({
      days: 30,
      user_id: ids['Alice'],
      user_email: 'alice@example.com',
      user_name: 'Alice',
      total_sessions: 1,
      active_sessions: 1,
      total_requests: 1,
      total_tokens: 101,
      total_cost: '1.0000000001',
      avg_session_duration: null,
      most_used_client: 'Cursor',
      first_seen: MOMENT,
      last_seen: MOMENT,
    })
    expect(told.trend).toHaveLength(31)
    expect(told.trend.at(-1)?.date).toBe(new Date().toISOString().slice(0, 10))
    const long = await as('Ada', id('GET /users/:Alice/activity?days=60&timezone=Pacific/Chatham'))
    expect(long.told).toMatchObject({ total_sessions: 2, total_requests: 2, total_cost: '1.5000000001' })
    expect(long.told.avg_session_duration).toBe(5 * DAY)
    expect(long.told.trend.reduce((sum, { calls }) => sum + calls, 0)).toBe(2)
    expect(
      long.told.trend.filter(({ calls }) => calls > 0).map(({ tokens, cost }) => [tokens, cost]),
    ).toEqual([
      [101, '0.5'],
      [101, '1.0000000001'],
    ])
  })

  it('tells of days without anything', async () => {
    const { told } = await as('Ada', id('GET /users/:Fin/activity?days=1'))
    expect(told).toMatchObject({
      total_sessions: 0,
      total_requests: 0,
      total_cost: '0',
      most_used_client: null,
      first_seen: null,
    })
    expectProblem(await as('Ada', id('GET /users/:Fin/activity?days=367')), 400, 'invalid_request')
    expectProblem(await as('Ada', id('GET /users/:Fin/activity?timezone=x')), 400, 'invalid_request')
  })
})

const patch = (who: string, body: unknown) => as(who, id('PATCH /users/:Zoe'), body)

describe('PATCH /users/:id', () => {
  beforeEach(async () => {
    tokens['Zoe'] = await userToken('Zoe', { department: 'sales' })
    ids['Zoe'] = await userId(api.app, tokens['Zoe'])
    await api.database
      .owner`update archon_mcp_users set assigned_department = null, assigned_role = null, blocked_at = null`
  })

  it.each(['Alice', 'Zoe', 'Mia', 'Fin'])('is not for %s, whoever is meant', async (who) => {
    for (const whom of ['Zoe', crypto.randomUUID()]) {
      expectProblem(
        await as(who, id(`PATCH /users/:${whom}`).replaceAll(':', ''), { nonsense: 1 }),
        403,
        'forbidden',
      )
      expectProblem(await as(who, id(`POST /users/:${whom}/revoke`).replaceAll(':', '')), 403, 'forbidden')
    }
  })

  it('wins over the token until it is cleared', async () => {
    const { status, told } = await patch('Ada', { department: 'research', role: 'manager' })
    expect(status).toBe(200)
    const set = { department: 'research', role: 'manager' }
    expect(told).toMatchObject({
      ...set,
      assigned_department: 'research',
      assigned_role: 'manager',
      name: 'Zoe',
    })
    expect((await as('Zoe', 'GET /me')).body.user).toMatchObject(set)
    expect(names(await list('Zoe', '?sort=name'))).toEqual(['Carl', 'Zoe'])
    // What is left out stays.
    expect((await patch('service', { department: null })).told).toMatchObject({
      department: 'sales',
      role: 'manager',
    })
    const { told: cleared } = await patch('Ada', { role: null })
    expect(cleared.memberships.map(({ department }) => department)).toEqual(['sales', 'research', 'sales'])
    expect(cleared).toMatchObject({ department: 'sales', role: 'member' })
    expect(cleared).not.toHaveProperty('assigned_role')
  })

  it('blocks at once, and lets in again', async () => {
    expect((await patch('Ada', { blocked: true })).told).toMatchObject({ blocked: true })
    expectProblem(await as('Zoe', 'GET /me'), 403, 'blocked')
    const [{ blocked_at }] = (await api.sql`
      select blocked_at from archon_mcp_users where user_id = ${ids['Zoe']!}`) as unknown as [
      { blocked_at: Date },
    ]
    // Blocked again, it is since when it was.
    await patch('Ada', { blocked: true, department: 'research' })
    expect(await api.sql`select blocked_at from archon_mcp_users where user_id = ${ids['Zoe']!}`).toEqual([
      { blocked_at },
    ])
    expect((await patch('Ada', { blocked: null })).told).toMatchObject({ blocked: false })
    expect((await as('Zoe', 'GET /me')).status).toBe(200)
    await patch('Ada', { blocked: true })
    expect((await patch('Ada', { blocked: false })).told).toMatchObject({ blocked: false })
  })

  it('ends the sessions of whom it blocks', async () => {
    const session = await writeSession(api.database.owner, { user_id: ids['Zoe'] })
    await patch('Ada', { department: 'research' })
    await patch('Ada', { blocked: true })
    const rows = await api.sql`
      select disconnect_reason from archon_mcp_sessions where session_id = ${session}`
    expect([...rows]).toEqual([{ disconnect_reason: 'revoked' }])
    await patch('Ada', { blocked: false })
  })

  const faults: [unknown, string][] = [
    [{}, ''],
    [{ colour: 'red' }, ''],
    [{ role: 'service' }, 'role'],
    [{ role: 'king' }, 'role'],
    [{ department: '' }, 'department'],
    [{ department: 'a\0b' }, 'department'],
    [{ department: 'x'.repeat(256) }, 'department'],
    [{ blocked: 'yes' }, 'blocked'],
  ]
  it.each(faults)('answers 400 to %j', async (body, path) => {
    const answer = await patch('Ada', body)
    expectProblem(answer, 400, 'invalid_request')
    expect([...new Set(answer.body.errors.map((error) => error.path))]).toEqual([path])
  })

  it.each(['nonsense', crypto.randomUUID(), OLD])('knows no %s that it could change', async (whom) => {
    expectProblem(await as('Ada', `PATCH /users/${whom}`, { blocked: true }), 404, 'not_found')
    expectProblem(await as('Ada', `POST /users/${whom}/revoke`), 404, 'not_found')
  })
})

describe('POST /users/:id/revoke', () => {
  it('refuses the tokens of before, and ends the sessions', async () => {
    const token = await userToken('Yan')
    const yan = await userId(api.app, token)
    const sessions = [
      await writeSession(api.database.owner, { user_id: yan }),
      await writeSession(api.database.owner, { user_id: yan, last_activity: ago(600), timeout_seconds: 60 }),
      await writeSession(api.database.owner, {
        user_id: yan,
        disconnected_at: ago(10),
        disconnect_reason: 'admin',
      }),
    ]
    const { status, told } = await as('Ada', `POST /users/${yan}/revoke`)
    expect(status).toBe(200)
    expect(told).toEqual({ revoked_at: MOMENT })
    expectProblem(await send(api.app, 'GET /me', { token }), 401, 'invalid_token')
    const rows = await api.sql<{ session_id: string; disconnect_reason: string }[]>`
      select session_id, disconnect_reason from archon_mcp_sessions
      where user_id = ${yan} and disconnected_at is not null`
    // One that had run out keeps that end.
    expect(
      sessions.map((one) => rows.find(({ session_id }) => session_id === one)?.disconnect_reason),
    ).toEqual(['revoked', 'timeout', 'admin'])
    expect((await as('Ada', `GET /users/${yan}`)).told).toMatchObject({
      revoked_at: told.revoked_at,
      blocked: false,
    })
  })

  it('lets in whose token is newer', async () => {
    const token = await userToken('Xia')
    const xia = await userId(api.app, token)
    await as('Ada', `POST /users/${xia}/revoke`)
    await api.database
      .owner`update archon_mcp_users set revoked_at = revoked_at - interval '1 hour' where user_id = ${xia}`
    expect((await send(api.app, 'GET /me', { token })).status).toBe(200)
  })
})
