import { beforeAll, describe, expect, it } from 'vitest'
import {
  ago,
  apiApp,
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
  for (const name of ['Alice', 'Bob', 'Carl']) ids[name] = await userId(api.app, tokens[name]!)
  const rows: Record<string, unknown>[] = [
    { user_id: ids['Alice'], client_name: 'active' },
    { user_id: ids['Alice'], client_name: 'idle', last_activity: ago(400) },
    { user_id: ids['Alice'], client_name: 'ran out', last_activity: ago(300), timeout_seconds: 60 },
    // As a call that came late left it in Archon.
    { user_id: ids['Alice'], client_name: 'ended', last_activity: ago(500), disconnected_at: ago(500) },
    { user_id: ids['Bob'], client_name: 'of Bob', last_activity: ago(10) },
    { user_id: ids['Carl'], client_name: 'of Carl', last_activity: ago(20) },
    { client_name: 'of nobody', last_activity: ago(30) },
  ]
  for (const row of rows) await writeSession(api.sql, row)
})

const list = async (who: string, query = '') =>
  (await send(api.app, `GET /sessions${query}`, { token: tokens[who]! })).body

describe('GET /sessions', () => {
  refusesStrangers(api, 'GET /sessions')

  it('tells of the server and of each session', async () => {
    const user_id = await userId(api.app, await userToken('Zoe'))
    const info = { client_type: 'Claude Code', client_version: '1.0', client_name: 'Claude Code' }
    await writeSession(api.sql, {
      ...info,
      user_id,
      user_email: 'zoe@example.com',
      user_name: 'Zoe',
      era: '2025-11-25',
      protocol_version: '2025-06-18',
      metadata: { name: 'Claude Code' },
      client_capabilities: { roots: {} },
    })
    const { status, body } = await send(api.app, 'GET /sessions', { token: await userToken('Zoe') })
    expect(status).toBe(200)
    expect(body).toEqual({
      active_sessions: 1,
      session_timeout: 86_400,
      server_uptime_seconds: expect.any(Number),
      sessions: [
        {
          ...info,
          session_id: expect.any(String),
          client_type: 'Claude',
          connected_at: MOMENT,
          last_activity: MOMENT,
          status: 'active',
          user_id,
          user_email: 'zoe@example.com',
          user_name: 'Zoe',
          era: '2025-11-25',
          protocol_version: '2025-06-18',
          timeout_seconds: 86_400,
        },
      ],
      total: 1,
    })
    await api.sql`delete from archon_mcp_sessions where user_id = ${user_id}`
  })

  const cases: { who: string; query?: string; sees: string[]; live: number }[] = [
    { who: 'Alice', sees: ['active', 'idle'], live: 2 },
    { who: 'Alice', query: '?status_filter=all', sees: ['active', 'ran out', 'idle', 'ended'], live: 2 },
    { who: 'Alice', query: '?status_filter=active', sees: ['active'], live: 2 },
    { who: 'Alice', query: '?status_filter=idle', sees: ['idle'], live: 2 },
    { who: 'Alice', query: '?status_filter=disconnected', sees: ['ran out', 'ended'], live: 2 },
    { who: 'Alice', query: '?user_id=Bob', sees: [], live: 2 },
    { who: 'Bob', sees: ['of Bob'], live: 1 },
    { who: 'Mia', sees: ['active', 'of Bob', 'idle'], live: 3 },
    { who: 'Mia', query: '?department=research', sees: [], live: 3 },
    { who: 'Mia', query: '?user_id=Bob&tool=none', sees: ['of Bob'], live: 3 },
    ...['Fin', 'Ada', 'service'].flatMap((who) => [
      { who, sees: ['active', 'of Bob', 'of Carl', 'of nobody', 'idle'], live: 5 },
      { who, query: '?department=research', sees: ['of Carl'], live: 5 },
      { who, query: '?user_id=Bob', sees: ['of Bob'], live: 5 },
    ]),
  ]
  it.each(cases)('shows $who $sees of $live that live $query', async ({ who, query = '', sees, live }) => {
    const path = query.replace(/user_id=(\w+)/, (_, name: string) => `user_id=${ids[name]}`)
    const { sessions, total, active_sessions } = await list(who, path)
    expect(sessions.map(({ client_name }) => client_name)).toEqual(sees)
    expect({ total, active_sessions }).toEqual({ total: sees.length, active_sessions: live })
  })

  it('walks every row exactly once, though many have one last activity', async () => {
    const user_id = crypto.randomUUID()
    await api.sql`
      insert into archon_mcp_sessions (user_id, last_activity)
      select ${user_id}, date_trunc('second', now()) - (n / 4) * interval '1 microsecond'
      from generate_series(1, 13) as n`
    const pages = await walk(api.app, `/sessions?user_id=${user_id}&limit=5`, tokens['Ada']!)
    expect(pages.map(({ sessions, total }) => [sessions.length, total])).toEqual([
      [5, 13],
      [5, 13],
      [3, 13],
    ])
    const rows = await api.sql<{ session_id: string }[]>`
      delete from archon_mcp_sessions where user_id = ${user_id} returning session_id`
    const seen = pages.flatMap(({ sessions }) => sessions.map(({ session_id }) => session_id))
    expect(seen.toSorted()).toEqual(rows.map(({ session_id }) => session_id).toSorted())
  })

  it.each(['limit=0', 'limit=201', 'cursor=x', 'status_filter=gone', 'user_id=bob', 'department='])(
    'answers 400 to %s',
    async (query) => {
      const answer = await send(api.app, `GET /sessions?${query}`, { token: tokens['Alice'] })
      expectProblem(answer, 400, 'invalid_request')
      expect(answer.body.errors).toEqual([{ path: query.split('=')[0], message: expect.any(String) }])
    },
  )
})

describe('GET /sessions: the server', () => {
  it('tells the timeout that is configured, and for how long it has been there', async () => {
    let moment = Date.now()
    const app = apiApp(api.sql, { session: { timeoutSeconds: 1800 }, now: () => new Date(moment) })
    moment += 90_500
    const { body } = await send(app, 'GET /sessions', { token: tokens['Alice'] })
    expect(body).toMatchObject({ session_timeout: 1800, server_uptime_seconds: 90 })
  })

  it('leaves the uptime out where each request has a client of its own', async () => {
    const { body } = await send(apiApp(api.sql, { sql: () => api.sql }), 'GET /sessions', {
      token: tokens['Alice'],
    })
    expect(body).toHaveProperty('session_timeout')
    expect(body).not.toHaveProperty('server_uptime_seconds')
  })
})
