import { beforeAll, describe, expect, it } from 'vitest'
import type { UsageSummary } from '../../src/reports/usage.ts'
import { type Person, usePeople, writeCalls } from '../reports/call-rows.ts'
import { ago, expectProblem, MOMENT, refusesStrangers, send, useApi, writeSession } from './support.ts'

const api = useApi()
const people = usePeople(api)
const DAY = 86_400

beforeAll(async () => {
  const [alice, bob, carl] = [people.id('Alice'), people.id('Bob'), people.id('Carl')]
  const ofAlice = await writeSession(api.sql, { user_id: alice })
  const ofBob = await writeSession(api.sql, { user_id: bob })
  const ofNobody = await writeSession(api.sql)
  const search = { tool_name: 'search', prompt_tokens: 10, completion_tokens: 5 }
  await writeCalls(
    api.sql,
    { ...search, user_id: alice, session_id: ofAlice, cost: '0.0000000001' },
    { ...search, user_id: alice, session_id: ofAlice, cost: '9', status: 'error' },
    { ...search, user_id: alice, session_id: ofAlice, cost: '9', status: 'timeout' },
    { ...search, user_id: alice, session_id: ofAlice, cost: '9', status: 'open' },
    { tool_name: 'write', user_id: bob, session_id: ofBob, cost: '0.5' },
    { method: 'tools/list', user_id: bob, session_id: ofBob },
    // As Archon writes: no cost but the rounded one, and no number for no tokens.
    { ...search, kind: null, session_id: ofBob, completion_tokens: null, estimated_cost: '0.0105' },
    { ...search, user_id: carl, cost: '2' },
    { ...search, user_id: carl, cost: '4', timestamp: ago(31 * DAY) },
    // Of nobody: in a session of Archon's, and in none.
    { ...search, kind: null, session_id: ofNobody, estimated_cost: '0.25' },
    { ...search, cost: '8' },
  )
})

const summary = async (who: Person, query = '') =>
  (await send(api.app, `GET /usage/summary${query}`, { token: people.token(who) }))
    .body as unknown as UsageSummary

describe('GET /usage/summary', () => {
  refusesStrangers(api, 'GET /usage/summary')

  it('sums up the calls of the last 30 days that succeeded, in all and by tool, the most used first', async () => {
    const body = await summary('Ada')
    expect(body).toEqual({
      period: { start: MOMENT, end: MOMENT, days: 30 },
      summary: {
        total_requests: 7,
        total_prompt_tokens: 50,
        total_completion_tokens: 20,
        total_tokens: 70,
        total_cost: '10.7605000001',
        unique_sessions: 3,
      },
      by_tool: {
        search: { count: 5, tokens: 70, cost: '10.2605000001' },
        'tools/list': { count: 1, tokens: 0, cost: '0' },
        write: { count: 1, tokens: 0, cost: '0.5' },
      },
    })
    expect(Object.keys(body.by_tool)[0]).toBe('search')
    expect(Date.parse(body.period.end) - Date.parse(body.period.start)).toBe(30 * DAY * 1000)
  })

  const cases: { who: Person; query?: string; requests: number; cost: string; sessions: number }[] = [
    { who: 'Alice', requests: 1, cost: '0.0000000001', sessions: 1 },
    { who: 'Carl', requests: 1, cost: '2', sessions: 0 },
    { who: 'Mia', requests: 4, cost: '0.5105000001', sessions: 2 },
    { who: 'Max', requests: 0, cost: '0', sessions: 0 },
    { who: 'Fin', requests: 7, cost: '10.7605000001', sessions: 3 },
    { who: 'service', requests: 7, cost: '10.7605000001', sessions: 3 },
    { who: 'Ada', query: '?days=32', requests: 8, cost: '14.7605000001', sessions: 3 },
  ]
  it.each(cases)('shows $who $requests $query', async ({ who, query, requests, cost, sessions }) => {
    const body = await summary(who, query)
    expect(body.summary).toMatchObject({
      total_requests: requests,
      total_cost: cost,
      unique_sessions: sessions,
    })
    const counts = Object.values(body.by_tool).map(({ count }) => count)
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(requests)
  })

  it('takes a period from its first moment up to, and not with, its end, days in the zone that is asked for', async () => {
    const user_id = people.id('Max')
    const moments = ['2026-03-28T22:59:59.999Z', '2026-03-28T23:00:00Z', '2026-03-29T21:59:59.999Z']
    await writeCalls(
      api.sql,
      ...[...moments, '2026-03-29T22:00:00Z'].map((timestamp) => ({ user_id, timestamp })),
    )
    const day = await summary(
      'Max',
      '?start_date=2026-03-29&end_date=2026-03-30&timezone=Europe/Berlin&days=3',
    )
    // The day on which clocks are set forward has 23 hours, and is one day all the same.
    expect(day.period).toEqual({
      start: '2026-03-28T23:00:00.000Z',
      end: '2026-03-29T22:00:00.000Z',
      days: 1,
    })
    expect(day.summary.total_requests).toBe(2)
    const moment = '?start_date=2026-03-29T00:00:00%2B01:00&end_date=2026-03-29T22:00:00.001Z'
    expect((await summary('Max', moment)).summary.total_requests).toBe(3)
    await api.sql`delete from archon_mcp_requests where user_id = ${user_id}`
  })

  it('answers as the SQL function does, over any calls', async () => {
    await api.database.owner`
      insert into archon_mcp_requests
        (request_id, kind, method, tool_name, status, prompt_tokens, completion_tokens, cost, estimated_cost, timestamp)
      select gen_random_uuid(), case when n % 3 = 0 then 'mcp' end, 'prompts/get',
             case when n % 2 = 0 then 'tool ' || n % 5 end,
             (array['success', 'success', 'success', 'error', 'timeout', 'open'])[1 + n % 6],
             nullif(n % 7, 0), nullif(n % 11, 0), n / 10000000000.0, n / 1000000.0,
             '2025-01-01T00:00:00Z'::timestamptz + n * interval '1 minute'
      from generate_series(1, 2000) as n`
    const body = await summary('Ada', '?start_date=2025-01-01&end_date=2025-01-02')
    const from = '2025-01-01T00:00:00Z'
    const to = '2025-01-01T23:59:59Z'
    const [all] = await api.sql`
      select total_requests::float8, total_prompt_tokens::float8, total_completion_tokens::float8, total_tokens::float8,
             trim_scale(total_cost) as total_cost, unique_sessions::float8
      from get_mcp_usage_summary(${from}, ${to})`
    expect(body.summary).toEqual(all)
    expect(body.summary.total_requests).toBe(719)
    const tools = await api.sql<{ tool_name: string }[]>`
      select tool_name, request_count::float8 as count, total_tokens::float8 as tokens, trim_scale(total_cost) as cost
      from get_mcp_usage_by_tool(${from}, ${to})`
    expect(tools).toHaveLength(5)
    for (const { tool_name, ...sums } of tools) expect(body.by_tool[tool_name]).toEqual(sums)
    await api.database.owner`delete from archon_mcp_requests where method = 'prompts/get'`
  })

  it('keeps tools apart whatever they are called', async () => {
    const user_id = people.id('Max')
    const names = ['__proto__', '1', 'constructor', ' ', 'a"b', 'ä\u0001']
    await writeCalls(api.sql, ...names.map((tool_name) => ({ user_id, tool_name })))
    await writeCalls(api.sql, { user_id, tool_name: '' })
    const { by_tool } = await summary('Max')
    expect(Object.keys(by_tool).toSorted()).toEqual([...names, 'tools/call'].toSorted())
    await api.sql`delete from archon_mcp_requests where user_id = ${user_id}`
  })

  const wrong: { query: string; path: string }[] = [
    { query: 'days=0', path: 'days' },
    { query: 'days=367', path: 'days' },
    { query: 'start_date=2026-01-01', path: 'end_date' },
    { query: 'end_date=2026-01-01', path: 'start_date' },
    { query: 'start_date=2026-01-02&end_date=2026-01-01', path: 'end_date' },
    { query: 'start_date=2026-01-01&end_date=2026-01-01', path: 'end_date' },
    { query: 'start_date=yesterday&end_date=2026-01-01', path: 'start_date' },
    { query: 'start_date=2026-01-01T00:00:00&end_date=2026-02-01', path: 'start_date' },
    { query: 'start_date=2026-02-30&end_date=2026-03-01', path: 'start_date' },
    { query: 'start_date=0000-01-01&end_date=2026-03-01', path: 'start_date' },
    { query: 'start_date=2026-01-01&end_date=2026-01-02&timezone=Mars/Olympus', path: 'timezone' },
  ]
  it.each(wrong)('answers 400 to $query', async ({ query, path }) => {
    const answer = await send(api.app, `GET /usage/summary?${query}`, { token: people.token('Ada') })
    expectProblem(answer, 400, 'invalid_request')
    expect(answer.body.errors).toEqual([{ path, message: expect.any(String) }])
  })
})
