import { beforeAll, describe, expect, it } from 'vitest'
import { createSessionManager } from '../../src/sessions/session-manager.ts'
import {
  ago,
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
const DAY = 86_400

/** A session that ended so many seconds ago. */
const ended = (seconds: number, lasted: number) => ({
  status: 'disconnected',
  connected_at: ago(seconds + lasted),
  last_activity: ago(seconds),
  disconnected_at: ago(seconds),
})
const tokens: Record<string, string> = {}
const ids: Record<string, string> = {}
beforeAll(async () => {
  Object.assign(tokens, {
    Alice: await userToken('Alice', { department: 'sales' }),
    Bob: await userToken('Bob', { department: 'sales' }),
    Carl: await userToken('Carl', { department: 'research' }),
    Dora: await userToken('Dora'),
    Mia: await userToken('Mia', { department: 'sales', role: 'manager' }),
    Max: await userToken('Max', { role: 'manager' }),
    Fin: await userToken('Fin', { role: 'finance' }),
    Ada: await userToken('Ada', { role: 'admin' }),
    service: await serviceToken(),
  })
  for (const name of ['Alice', 'Bob', 'Carl']) ids[name] = await userId(api.app, tokens[name]!)

  const rows: Record<string, unknown>[] = [
    // Nobody has come by to write that it ran out, 340 seconds ago.
    {
      client_name: 'ran out',
      user_id: ids['Alice'],
      connected_at: ago(500),
      last_activity: ago(400),
      timeout_seconds: 60,
    },
    {
      ...ended(1000, 100),
      client_name: 'left',
      user_id: ids['Alice'],
      user_name: 'Alice',
      disconnect_reason: 'client_disconnect',
      total_duration: 100,
    },
    // As Archon left what timed out: without a duration.
    {
      ...ended(2000, 600),
      client_name: 'Archon',
      client_type: 'Claude Code',
      user_id: ids['Bob'],
      disconnect_reason: 'timeout',
    },
    // As a call that came late left it in Archon.
    {
      ...ended(3000, 300),
      status: 'active',
      client_name: 'revived',
      user_id: ids['Carl'],
      disconnect_reason: 'timeout_no_activity',
      last_activity: ago(10),
    },
    { ...ended(7 * DAY - 60, 40), client_name: 'of nobody', total_duration: 40 },
    { ...ended(7 * DAY + 60, 5000), client_name: 'old', disconnect_reason: 'admin' },
    {
      client_name: 'old and run out',
      connected_at: ago(20 * DAY),
      last_activity: ago(20 * DAY),
      timeout_seconds: 60,
    },
    { client_name: 'active', user_id: ids['Alice'] },
    { client_name: 'idle', user_id: ids['Alice'], last_activity: ago(DAY / 2) },
  ]
  for (const row of rows) {
    const session_id = await writeSession(api.sql, row)
    if (row['client_name'] !== 'left') continue
    const calls = ['success', 'error', 'timeout', 'open'].map((status) => ({
      session_id,
      status,
      method: 'tools/call',
    }))
    await api.sql`insert into archon_mcp_requests ${api.sql(calls)}`
  }
})

const history = async (who: string, query = '') =>
  (await send(api.app, `GET /sessions/disconnected${query}`, { token: tokens[who]! })).body

describe('GET /sessions/disconnected', () => {
  refusesStrangers(api, 'GET /sessions/disconnected')

  it('tells what ended in the last seven days, latest first, with statistics and the period', async () => {
    const body = await history('Ada')
    const common = {
      session_id: expect.any(String),
      client_type: 'Unknown',
      connected_at: MOMENT,
      last_activity: MOMENT,
      status: 'disconnected',
      disconnected_at: MOMENT,
      timeout_seconds: 86_400,
      total_requests: 0,
    }
    expect(body).toEqual({
      sessions: [
        {
          ...common,
          client_name: 'ran out',
          user_id: ids['Alice'],
          timeout_seconds: 60,
          total_duration: 160,
          disconnect_reason: 'timeout',
        },
        {
          ...common,
          client_name: 'left',
          user_id: ids['Alice'],
          user_name: 'Alice',
          total_duration: 100,
          disconnect_reason: 'client_disconnect',
          total_requests: 3,
        },
        {
          ...common,
          client_name: 'Archon',
          client_type: 'Claude',
          user_id: ids['Bob'],
          total_duration: 600,
          disconnect_reason: 'timeout',
        },
        {
          ...common,
          client_name: 'revived',
          user_id: ids['Carl'],
          total_duration: 300,
          disconnect_reason: 'timeout_no_activity',
        },
        { ...common, client_name: 'of nobody', total_duration: 40 },
      ],
      statistics: {
        total_disconnected: 5,
        disconnect_reasons: { timeout: 2, client_disconnect: 1, timeout_no_activity: 1, unknown: 1 },
        avg_duration_seconds: 240,
        max_duration_seconds: 600,
        min_duration_seconds: 40,
      },
      period: { start: MOMENT, end: MOMENT, days: 7 },
    })
    expect(Date.parse(body.period.end) - Date.parse(body.period.start)).toBe(7 * DAY * 1000)
    expect(Math.abs(Date.now() - Date.parse(body.period.end))).toBeLessThan(60_000)
  })

  const cases: { who: string; query?: string; sees: number; longest: number }[] = [
    { who: 'Alice', sees: 2, longest: 160 },
    { who: 'Bob', sees: 1, longest: 600 },
    { who: 'Dora', sees: 0, longest: 0 },
    { who: 'Mia', sees: 3, longest: 600 },
    { who: 'Max', sees: 0, longest: 0 },
    { who: 'Fin', sees: 5, longest: 600 },
    { who: 'service', sees: 5, longest: 600 },
    { who: 'Ada', query: '?days=6', sees: 4, longest: 600 },
    { who: 'Ada', query: '?days=8', sees: 6, longest: 5000 },
    { who: 'Ada', query: '?days=30&years=3', sees: 7, longest: 5000 },
  ]
  it.each(cases)('shows $who $sees $query', async ({ who, query, sees, longest }) => {
    const { sessions, statistics } = await history(who, query)
    expect(sessions).toHaveLength(sees)
    expect(statistics).toMatchObject({ total_disconnected: sees, max_duration_seconds: longest })
  })

  it('says 0 and no reason where nothing ended', async () => {
    expect((await history('Dora')).statistics).toEqual({
      total_disconnected: 0,
      disconnect_reasons: {},
      avg_duration_seconds: 0,
      max_duration_seconds: 0,
      min_duration_seconds: 0,
    })
  })

  it('has statistics of all on every page, also after the last row', async () => {
    const pages = await walk(api.app, '/sessions/disconnected?limit=2', tokens['Ada']!)
    const { sessions, statistics } = await history('Ada')
    expect(pages.map((page) => page.sessions.length)).toEqual([2, 2, 1])
    expect(pages.flatMap((page) => page.sessions)).toEqual(sessions)
    const past = await history('Ada', `?cursor=${btoa(`0 ${crypto.randomUUID()}`)}`)
    expect(past.sessions).toEqual([])
    for (const page of [...pages, past]) expect(page.statistics).toEqual(statistics)
  })

  it('walks every row exactly once, though many ended at one moment, written or not', async () => {
    const user_id = ids['Carl']!
    await api.sql`
      insert into archon_mcp_sessions (user_id, connected_at, last_activity, disconnected_at, timeout_seconds)
      select ${user_id}, ended_at - interval '9 minutes', ended_at - interval '1 minute',
             case when n % 2 = 0 then ended_at end, 60
      from generate_series(1, 23) as n,
           lateral (select date_trunc('hour', now()) - (n / 4) * interval '1 microsecond' as ended_at) as moment`
    const pages = await walk(api.app, '/sessions/disconnected?limit=5', tokens['Carl']!)
    const rows = await api.sql<{ session_id: string }[]>`
      select session_id from archon_mcp_sessions
      where user_id = ${user_id}
      order by coalesce(disconnected_at, last_activity + interval '1 minute') desc, session_id desc`
    const seen = pages.flatMap(({ sessions }) => sessions.map(({ session_id }) => session_id))
    expect(seen).toEqual(rows.map(({ session_id }) => session_id))
    expect(seen).toHaveLength(24)
    await api.sql`delete from archon_mcp_sessions where user_id = ${user_id} and client_name is null`
  })

  it('answers the same when the sweep has come by', async () => {
    const before = await history('Ada', '?days=30')
    expect(await createSessionManager(api.sql).sweep()).toMatchObject({ sessions_ended: 2 })
    const after = await history('Ada', '?days=30')
    expect({ ...after, period: before.period }).toEqual(before)
  })

  it.each(['days=0', 'days=31', 'days=1.5', 'days=', 'limit=0', 'limit=201', 'cursor=x'])(
    'answers 400 to %s',
    async (query) => {
      const answer = await send(api.app, `GET /sessions/disconnected?${query}`, { token: tokens['Alice'] })
      expectProblem(answer, 400, 'invalid_request')
      expect(answer.body.errors).toEqual([{ path: query.split('=')[0], message: expect.any(String) }])
    },
  )
})
