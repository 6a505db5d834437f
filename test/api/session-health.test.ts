import { beforeAll, describe, expect, it } from 'vitest'
import {
  ago,
  MOMENT,
  refusesStrangers,
  send,
  serviceToken,
  useApi,
  userId,
  userToken,
  writeSession,
} from './support.ts'

const api = useApi()
const DAY = 86_400

const tokens: Record<string, string> = {}
const sessions: Record<string, string> = {}
beforeAll(async () => {
  Object.assign(tokens, {
    Alice: await userToken('Alice', { department: 'sales' }),
    Bob: await userToken('Bob', { department: 'research' }),
    Dora: await userToken('Dora'),
    Mia: await userToken('Mia', { department: 'sales', role: 'manager' }),
    Max: await userToken('Max', { role: 'manager' }),
    Fin: await userToken('Fin', { role: 'finance' }),
    Ada: await userToken('Ada', { role: 'admin' }),
    service: await serviceToken(),
  })
  const [alice, bob] = [await userId(api.app, tokens['Alice']!), await userId(api.app, tokens['Bob']!)]
  const rows: Record<string, Record<string, unknown>> = {
    active: { user_id: alice, client_type: 'Claude Code', connected_at: ago(600) },
    nobodys: { connected_at: ago(60), last_activity: ago(60), client_type: 'my-script' },
    aging: { user_id: alice, connected_at: ago(4000), last_activity: ago(400), status: 'idle' },
    stale: { user_id: bob, connected_at: ago(2 * DAY), last_activity: ago(700) },
    // Nobody has come by to write that it ran out, 800 seconds ago.
    ranOut: { user_id: alice, connected_at: ago(2000), last_activity: ago(1000), timeout_seconds: 200 },
    // As a call that came late left it in Archon, without a duration.
    revived: { user_id: bob, connected_at: ago(3600), last_activity: ago(2500), disconnected_at: ago(3000) },
    old: {
      user_id: bob,
      status: 'disconnected',
      connected_at: ago(3 * DAY),
      last_activity: ago(2 * DAY),
      disconnected_at: ago(2 * DAY),
    },
  }
  for (const [name, row] of Object.entries(rows)) sessions[name] = await writeSession(api.sql, row)
})

const health = async (who: string) =>
  (await send(api.app, 'GET /sessions/health', { token: tokens[who]! })).body

/** So many minutes, though the test may take its time. */
const minutes = (count: number): unknown => expect.closeTo(count, 0)
const recent = (name: string, more: Record<string, unknown>) => ({
  session_id: `${sessions[name]?.slice(0, 8)}...`,
  client_type: 'Unknown',
  ...more,
})

describe('GET /sessions/health', () => {
  refusesStrangers(api, 'GET /sessions/health')

  it('tells how sessions are doing, those that ran out as ended', async () => {
    expect(await health('Ada')).toEqual({
      status_breakdown: { active: 2, idle: 2, disconnected: 3, total: 7 },
      age_distribution: { healthy: 2, aging: 1, stale: 1 },
      // Of the five that came since yesterday, one lasted 600 seconds and one 1200.
      connection_health: {
        avg_duration_seconds: 900,
        sessions_per_hour: 0.21,
        disconnect_rate_percent: 40,
        total_sessions_24h: 5,
      },
      recent_activity: [
        recent('active', {
          client_type: 'Claude',
          status: 'active',
          age_minutes: minutes(0),
          uptime_minutes: minutes(10),
        }),
        recent('nobodys', { status: 'active', age_minutes: minutes(1), uptime_minutes: minutes(1) }),
        recent('aging', { status: 'idle', age_minutes: minutes(6.7), uptime_minutes: minutes(66.7) }),
        recent('stale', { status: 'idle', age_minutes: minutes(11.7), uptime_minutes: minutes(2880) }),
        recent('ranOut', { status: 'disconnected', age_minutes: minutes(16.7), uptime_minutes: 20 }),
        recent('revived', { status: 'disconnected', age_minutes: minutes(41.7), uptime_minutes: 10 }),
        recent('old', { status: 'disconnected', age_minutes: minutes(2880), uptime_minutes: 1440 }),
      ],
      timestamp: MOMENT,
    })
  })

  const viewers = [
    { who: 'Alice', active: 1, idle: 1, disconnected: 1, lately: 3 },
    { who: 'Bob', active: 0, idle: 1, disconnected: 2, lately: 1 },
    { who: 'Mia', active: 1, idle: 1, disconnected: 1, lately: 3 },
    { who: 'Fin', active: 2, idle: 2, disconnected: 3, lately: 5 },
    { who: 'service', active: 2, idle: 2, disconnected: 3, lately: 5 },
  ]
  it.each(viewers)('shows $who what they may see', async ({ who, lately, ...counts }) => {
    const { status_breakdown, age_distribution, connection_health, recent_activity } = await health(who)
    const total = counts.active + counts.idle + counts.disconnected
    expect(status_breakdown).toEqual({ ...counts, total })
    const { healthy, aging, stale } = age_distribution
    expect([healthy, aging + stale]).toEqual([counts.active, counts.idle])
    expect(connection_health.total_sessions_24h).toBe(lately)
    expect(recent_activity).toHaveLength(total)
  })

  it.each(['Dora', 'Max'])('says 0 to %s, who may see none', async (who) => {
    expect(await health(who)).toEqual({
      status_breakdown: { active: 0, idle: 0, disconnected: 0, total: 0 },
      age_distribution: { healthy: 0, aging: 0, stale: 0 },
      connection_health: {
        avg_duration_seconds: 0,
        sessions_per_hour: 0,
        disconnect_rate_percent: 0,
        total_sessions_24h: 0,
      },
      recent_activity: [],
      timestamp: MOMENT,
    })
  })

  it('lists the ten with the latest activity', async () => {
    const user_id = await userId(api.app, tokens['Dora']!)
    await api.sql`
      insert into archon_mcp_sessions (user_id, last_activity)
      select ${user_id}, now() - n * interval '10 minutes'
      from generate_series(1, 12) as n`
    const { status_breakdown, recent_activity } = await health('Dora')
    expect(status_breakdown).toMatchObject({ idle: 12, total: 12 })
    expect(recent_activity.map(({ age_minutes }) => Math.round(age_minutes / 10))).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
    ])
    await api.sql`delete from archon_mcp_sessions where user_id = ${user_id}`
  })
})
