import { beforeAll, describe, expect, it } from 'vitest'
import type { McpClient } from '../../src/reports/clients.ts'
import {
  ago,
  expectProblem,
  refusesStrangers,
  send,
  serviceToken,
  useApi,
  userId,
  userToken,
  writeSession,
} from './support.ts'

const api = useApi()

const people = {
  Alice: { department: 'sales' },
  Bob: { department: 'sales' },
  Carl: { department: 'research' },
  Mia: { department: 'sales', role: 'manager' },
  Max: { role: 'manager' },
  Fin: { department: 'finance', role: 'finance' },
  Ada: { role: 'admin' },
} as const
type Person = keyof typeof people
const names = Object.keys(people) as Person[]
const tokenOf = (name: Person | 'service' | 'Dora') =>
  name === 'service' ? serviceToken() : userToken(name, name === 'Dora' ? {} : people[name])

const ids = new Map<Person, string>()
beforeAll(async () => {
  for (const name of names) {
    const id = await userId(api.app, await tokenOf(name))
    ids.set(name, id)
    await writeSession(api.sql, { user_id: id, user_name: name })
  }
  await writeSession(api.sql, { user_name: 'nobody' })
})

const list = async (who: Person | 'service' | 'Dora', query = '') =>
  (await send(api.app, `GET /clients${query}`, { token: await tokenOf(who) })).body
const namesIn = (clients: McpClient[]) => clients.map(({ user_name }) => user_name ?? '').sort()

describe('GET /clients: who sees what', () => {
  refusesStrangers(api, 'GET /clients')

  const everybody = [...names, 'nobody'].sort()
  const cases: { who: Person | 'service' | 'Dora'; query?: string; sees: string[] }[] = [
    { who: 'Dora', sees: [] },
    { who: 'Alice', sees: ['Alice'] },
    { who: 'Mia', sees: ['Alice', 'Bob', 'Mia'] },
    { who: 'Max', sees: ['Max'] },
    { who: 'Fin', sees: everybody },
    { who: 'Ada', sees: everybody },
    { who: 'service', sees: everybody },
    { who: 'Ada', query: '?department=sales', sees: ['Alice', 'Bob', 'Mia'] },
    { who: 'Mia', query: '?department=research', sees: [] },
    { who: 'Mia', query: '?department=sales', sees: ['Alice', 'Bob', 'Mia'] },
    { who: 'Alice', query: '?department=sales', sees: ['Alice'] },
    { who: 'Ada', query: '?user_id=Bob', sees: ['Bob'] },
    { who: 'Mia', query: '?user_id=Bob', sees: ['Bob'] },
    { who: 'Mia', query: '?user_id=Carl', sees: [] },
    { who: 'Alice', query: '?user_id=Bob', sees: [] },
    { who: 'Ada', query: '?user_id=Bob&department=research', sees: [] },
  ]
  it.each(cases)('$who sees $sees $query', async ({ who, query = '', sees }) => {
    const path = query.replace(/user_id=(\w+)/, (_, name: Person) => `user_id=${ids.get(name)}`)
    const { clients, total } = await list(who, path)
    expect(namesIn(clients)).toEqual(sees)
    expect(total).toBe(sees.length)
  })

  it('goes by what an admin assigned, at once', async () => {
    await api.sql`
      update archon_mcp_users set assigned_role = 'manager', assigned_department = 'research' where subject = 'bob'`
    expect(namesIn((await list('Bob')).clients)).toEqual(['Bob', 'Carl'])
    // What Bob began in her department stays with Mia.
    expect(namesIn((await list('Mia')).clients)).toEqual(['Alice', 'Bob', 'Mia'])
    await api.sql`
      update archon_mcp_users set assigned_role = null, assigned_department = null where subject = 'bob'`
    expect(namesIn((await list('Bob')).clients)).toEqual(['Bob'])
  })
})

describe('GET /clients: what is told', () => {
  const user_id = crypto.randomUUID()
  const told = async (status: string) =>
    (await list('Ada', `?status_filter=${status}&user_id=${user_id}`)).clients
  const sessions: Record<string, string> = {}
  beforeAll(async () => {
    const rows = {
      active: { client_type: 'Claude Code', client_version: '1.0' },
      idle: { last_activity: ago(301), client_type: 'Cursor' },
      ranOut: {
        connected_at: ago(500),
        last_activity: ago(400),
        timeout_seconds: 60,
        client_type: 'my-script',
      },
      ended: {
        connected_at: ago(700),
        last_activity: ago(600),
        disconnected_at: ago(600),
        total_duration: 100,
        disconnect_reason: 'client_disconnect',
        status: 'disconnected',
      },
      // As the founding system left timed-out sessions: without a duration.
      archon: {
        connected_at: ago(900),
        last_activity: ago(800),
        disconnected_at: ago(800),
        status: 'disconnected',
      },
    }
    for (const [name, row] of Object.entries(rows)) {
      sessions[name] = await writeSession(api.sql, { user_id, ...row })
    }
  })

  const cases: { status: string; finds: string[] }[] = [
    { status: 'active', finds: ['active'] },
    { status: 'idle', finds: ['idle'] },
    { status: 'disconnected', finds: ['ranOut', 'ended', 'archon'] },
    { status: 'all', finds: ['active', 'idle', 'ranOut', 'ended', 'archon'] },
  ]
  it.each(cases)('status_filter=$status finds $finds, latest activity first', async ({ status, finds }) => {
    expect((await told(status)).map(({ session_id }) => session_id)).toEqual(
      finds.map((name) => sessions[name]),
    )
  })

  it('lists active and idle ones unless told otherwise', async () => {
    const { clients, total } = await list('Ada', `?user_id=${user_id}`)
    expect(clients.map(({ status }) => status)).toEqual(['active', 'idle'])
    expect(total).toBe(2)
  })

  it('answers exactly the type of the seed, and leaves out what is not known', async () => {
    const moment = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    const common = { session_id: expect.any(String), connected_at: moment, last_activity: moment, user_id }
    const ended = { ...common, status: 'disconnected', disconnected_at: moment }
    expect(await told('all')).toEqual([
      { ...common, client_type: 'Claude', client_version: '1.0', status: 'active' },
      { ...common, client_type: 'Cursor', status: 'idle' },
      { ...ended, client_type: 'Unknown', total_duration: 160, disconnect_reason: 'timeout' },
      { ...ended, client_type: 'Unknown', total_duration: 100, disconnect_reason: 'client_disconnect' },
      { ...ended, client_type: 'Unknown', total_duration: 100 },
    ])
  })
})

describe('GET /clients: pages', () => {
  it('walks every row exactly once, though many have one last activity or lie a microsecond apart', async () => {
    const user_id = crypto.randomUUID()
    await api.sql`
      insert into archon_mcp_sessions (user_id, last_activity)
      select ${user_id}, date_trunc('second', now()) - (n / 4) * interval '1 microsecond'
      from generate_series(1, 23) as n`
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const from = cursor === undefined ? '' : `&cursor=${cursor}`
      const page = await list('Ada', `?user_id=${user_id}&limit=5${from}`)
      expect(page.total).toBe(23)
      expect(page.clients.length).toBe(page.next_cursor === undefined ? 3 : 5)
      seen.push(...page.clients.map(({ session_id }) => session_id))
      cursor = page.next_cursor
    } while (cursor !== undefined)
    const rows = await api.sql<{ session_id: string }[]>`
      select session_id from archon_mcp_sessions
      where user_id = ${user_id}
      order by last_activity desc, session_id desc`
    expect(seen).toEqual(rows.map(({ session_id }) => session_id))
  })

  it('tells the total on a page after the last row', async () => {
    const user_id = crypto.randomUUID()
    const id = await writeSession(api.sql, { user_id, last_activity: ago(10) })
    const past = btoa(`${(Date.now() - 20_000) * 1000} ${id}`)
    expect(await list('Ada', `?user_id=${user_id}&cursor=${past}`)).toEqual({ clients: [], total: 1 })
  })

  const wrong = [
    ['limit=0', 'limit'],
    ['limit=201', 'limit'],
    ['limit=ten', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['cursor=', 'cursor'],
    ['cursor=nonsense', 'cursor'],
    [`cursor=${btoa('999999999999999999 550e8400-e29b-41d4-a716-446655440000')}`, 'cursor'],
    [`cursor=${btoa('1 550e8400')}`, 'cursor'],
    ['status_filter=gone', 'status_filter'],
    ['user_id=bob', 'user_id'],
    ['department=', 'department'],
    ['department=%00', 'department'],
  ] as const
  it.each(wrong)('answers 400 to %s', async (query, path) => {
    const answer = await send(api.app, `GET /clients?${query}`, { token: await tokenOf('Alice') })
    expectProblem(answer, 400, 'invalid_request')
    expect(answer.body.errors).toEqual([{ path, message: expect.any(String) }])
  })
})
