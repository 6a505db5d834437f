import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { analyticsPeriod } from '../../src/reports/analytics-period.ts'
import { responseTimes } from '../../src/reports/analytics-times.ts'
import { callTrends } from '../../src/reports/analytics-trends.ts'
import type { ReportCaller } from '../../src/reports/visible-to.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { writeCalls } from './call-rows.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())
afterEach(() => database.owner`truncate archon_mcp_requests cascade`)

const admin: ReportCaller = { role: 'admin', userId: null, department: null }
const NOON = new Date('2026-03-31T12:00:00Z')
const before = (minutes: number): Date => new Date(NOON.getTime() - minutes * 60_000)
const period = (days: number, zone = 'UTC', now = NOON) => analyticsPeriod(database.sql, days, zone, now)
const times = async (days = 1) => await responseTimes(database.sql, admin, await period(days))
const trends = async (days: number, zone = 'UTC', compare = false) =>
  await callTrends(database.sql, admin, await period(days, zone), compare)

/** Calls all over ten days in which clocks change in Europe, Lebanon, Chile and Australia. */
const scatter = () => database.owner`
  insert into archon_mcp_requests
    (request_id, kind, method, tool_name, status, prompt_tokens, cost, estimated_cost, duration_ms, timestamp)
  select gen_random_uuid(), case when n % 3 > 0 then 'mcp' end, 'tools/call', 'tool ' || n % 7,
         (array['success', 'success', 'error', 'timeout', 'open'])[1 + n % 5], n % 13, n / 10000000000.0,
         n / 1000000.0, (n * 7919) % 1000, '2026-03-25T00:00:00Z'::timestamptz + n * interval '431 seconds'
  from generate_series(0, 2000) as n`

describe('analyticsPeriod', () => {
  const cases: { zone: string; now: string; days: number; start: string; previous: [string, string] }[] = [
    {
      zone: 'UTC',
      now: '2026-03-31T12:00:00Z',
      days: 30,
      start: '2026-03-02T00:00:00Z',
      previous: ['2026-01-31T00:00:00Z', '2026-03-01T12:00:00Z'],
    },
    {
      zone: 'UTC',
      now: '2026-03-31T00:00:00Z',
      days: 1,
      start: '2026-03-31T00:00:00Z',
      previous: ['2026-03-30T00:00:00Z', '2026-03-30T00:00:00Z'],
    },
    // Clocks are set forward on the 29th: the two days that end at noon on the 30th have an hour less.
    {
      zone: 'Europe/Berlin',
      now: '2026-03-30T10:00:00Z',
      days: 2,
      start: '2026-03-28T23:00:00Z',
      previous: ['2026-03-26T23:00:00Z', '2026-03-28T11:00:00Z'],
    },
    // They show midnight twice, of which the first begins the day,
    {
      zone: 'America/Havana',
      now: '2026-11-02T12:00:00Z',
      days: 2,
      start: '2026-11-01T04:00:00Z',
      previous: ['2026-10-30T04:00:00Z', '2026-10-31T11:00:00Z'],
    },
    // or not at all.
    {
      zone: 'Africa/Cairo',
      now: '2026-04-24T12:00:00Z',
      days: 1,
      start: '2026-04-23T22:00:00Z',
      previous: ['2026-04-22T22:00:00Z', '2026-04-23T13:00:00Z'],
    },
    {
      zone: 'Asia/Kathmandu',
      now: '2026-03-31T18:20:00Z',
      days: 1,
      start: '2026-03-31T18:15:00Z',
      previous: ['2026-03-30T18:15:00Z', '2026-03-30T18:20:00Z'],
    },
  ]
  it.each(cases)('$days days up to $now in $zone', async ({ zone, now, days, start, previous }) => {
    expect(await period(days, zone, new Date(now))).toEqual({
      start: new Date(start),
      end: new Date(now),
      previousStart: new Date(previous[0]),
      previousEnd: new Date(previous[1]),
      days,
      timezone: zone,
    })
  })

  it('throws for a zone that Postgres does not know', async () => {
    await expect(period(1, 'Mars/Olympus')).rejects.toMatchObject({ code: '22023' })
  })
})

describe('callTrends', () => {
  const ZONES = [
    'UTC',
    'Europe/Berlin',
    'Asia/Beirut',
    'America/Santiago',
    'America/St_Johns',
    'Asia/Kolkata',
    'Asia/Kathmandu',
    'Australia/Lord_Howe',
    'Pacific/Kiritimati',
  ]
  it.each(ZONES)('has every call in one day and one hour of %s', async (zone) => {
    await scatter()
    const { daily, hourly } = (await trends(9, zone)).trends
    const { start, end } = await period(9, zone)
    const days = await database.sql`
      select to_char(call.timestamp at time zone ${zone}, 'YYYY-MM-DD') as date, count(*)::integer as requests,
             coalesce(sum(call.prompt_tokens), 0)::integer as tokens,
             trim_scale(sum(case when call.kind is null then call.estimated_cost else call.cost end)) as cost,
             round(100.0 * count(*) filter (where call.status = 'success') / count(*), 2)::float8 as success_rate
      from archon_mcp_requests as call
      where call.status <> 'open' and call.timestamp >= ${start} and call.timestamp < ${end}
      group by 1
      order by 1`
    expect(daily.filter(({ requests }) => requests > 0)).toEqual([...days])
    const hours = await database.sql`
      select extract(hour from call.timestamp at time zone ${zone})::integer as hour, count(*)::integer as requests,
             round(avg(call.duration_ms), 2)::float8 as avg_duration
      from archon_mcp_requests as call
      where call.status <> 'open' and call.timestamp >= ${start} and call.timestamp < ${end}
      group by 1
      order by 1`
    expect(hourly).toEqual([...hours])
  })

  it('has every day and every hour, those without a call too', async () => {
    const { trends: empty, ratios } = await trends(3, 'Asia/Kolkata')
    const none = { requests: 0, tokens: 0, cost: '0', success_rate: 0 }
    expect(empty.daily).toEqual(['2026-03-29', '2026-03-30', '2026-03-31'].map((date) => ({ date, ...none })))
    expect(empty.hourly).toEqual(
      Array.from({ length: 24 }, (_, hour) => ({ hour, requests: 0, avg_duration: 0 })),
    )
    expect(ratios).toEqual({ success: 0, error: 0, timeout: 0, success_rate: 0 })
    expect((await trends(90)).trends.daily).toHaveLength(90)
  })

  it('tells how calls ended, and averages what took time', async () => {
    const { sql } = database
    await writeCalls(
      sql,
      { timestamp: before(10), duration_ms: 10, prompt_tokens: 3, cost: '0.0000000001' },
      { timestamp: before(20), duration_ms: 25, status: 'error', completion_tokens: 4, cost: '0.2' },
      { timestamp: before(30), duration_ms: null, status: 'timeout' },
      { timestamp: before(40), duration_ms: 99, status: 'open', cost: '7' },
      { timestamp: NOON, duration_ms: 99, cost: '7' },
    )
    const { trends: found, ratios } = await trends(1)
    expect(found.daily).toEqual([
      { date: '2026-03-31', requests: 3, tokens: 7, cost: '0.2000000001', success_rate: 33.33 },
    ])
    expect(found.hourly[11]).toEqual({ hour: 11, requests: 3, avg_duration: 17.5 })
    expect(ratios).toEqual({ success: 1, error: 1, timeout: 1, success_rate: 33.33 })
  })

  const changes: { name: string; now: object[]; earlier: object[]; expected: Record<string, number> }[] = [
    {
      name: 'more',
      now: [{ prompt_tokens: 3 }, { cost: '0.3' }, { status: 'error' }],
      earlier: [{ prompt_tokens: 2 }, { cost: '0.9' }],
      expected: { requests: 50, success_rate: -33.33, tokens: 50, cost: -66.67 },
    },
    {
      name: 'from nothing',
      now: [{ cost: '0.0000000001' }],
      earlier: [],
      expected: { requests: 100, success_rate: 100, tokens: 0, cost: 100 },
    },
    {
      name: 'to nothing',
      now: [],
      earlier: [{ prompt_tokens: 1, cost: '1' }],
      expected: { requests: -100, success_rate: -100, tokens: -100, cost: -100 },
    },
    {
      name: 'nothing at all',
      now: [],
      earlier: [],
      expected: { requests: 0, success_rate: 0, tokens: 0, cost: 0 },
    },
  ]
  it.each(changes)('compares with the period before: $name', async ({ now, earlier, expected }) => {
    const [day, hour] = [24 * 60, 60]
    await writeCalls(database.sql, ...now.map((row) => ({ ...row, timestamp: before(hour) })))
    await writeCalls(database.sql, ...earlier.map((row) => ({ ...row, timestamp: before(day + hour) })))
    // Of yesterday, but later than it is today.
    await writeCalls(database.sql, { timestamp: before(day - hour), cost: '100' })
    const { comparison } = await trends(1, 'UTC', true)
    const found = Object.entries(comparison ?? {}).map(([name, { change_percent }]) => [name, change_percent])
    expect(Object.fromEntries(found)).toEqual(expected)
    expect(comparison?.requests).toMatchObject({ current: now.length, previous: earlier.length })
  })

  it('tells both costs to the last digit', async () => {
    await writeCalls(database.sql, { timestamp: before(60), cost: '9999999999.0000000001' })
    const { comparison } = await trends(1, 'UTC', true)
    expect(comparison?.cost).toEqual({
      current: '9999999999.0000000001',
      previous: '0',
      change_percent: 100,
    })
    expect((await trends(1)).comparison).toBeNull()
  })
})

/** Calls of a tool that took so long each. */
const took = (tool_name: string | null, ...all: (number | null)[]) =>
  all.map((duration_ms) => ({ tool_name, duration_ms, timestamp: before(60) }))

describe('responseTimes', () => {
  it('takes for a percentile the time of a call, the smallest that so many did not exceed', async () => {
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i)
    await writeCalls(database.sql, ...took('hundred', ...hundred), ...took('four', 10, 20, 30, 45))
    await writeCalls(database.sql, ...took('one', 7), ...took(null, 0, 0), ...took('four', null))
    await writeCalls(
      database.sql,
      { ...took('four', 9000)[0], status: 'open' },
      { ...took('failed', 500)[0], status: 'error' },
    )
    expect(await times()).toEqual({
      by_tool: [
        { tool: 'hundred', avg_ms: 50.5, min_ms: 1, max_ms: 100, count: 100, p50: 50, p95: 95, p99: 99 },
        { tool: 'four', avg_ms: 26.25, min_ms: 10, max_ms: 45, count: 4, p50: 20, p95: 45, p99: 45 },
        { tool: 'tools/call', avg_ms: 0, min_ms: 0, max_ms: 0, count: 2, p50: 0, p95: 0, p99: 0 },
        { tool: 'failed', avg_ms: 500, min_ms: 500, max_ms: 500, count: 1, p50: 500, p95: 500, p99: 500 },
        { tool: 'one', avg_ms: 7, min_ms: 7, max_ms: 7, count: 1, p50: 7, p95: 7, p99: 7 },
      ],
      // Of 108 times the 54th, the 103rd and the 107th.
      overall_avg: 52.43,
      p50: 47,
      p95: 96,
      p99: 100,
    })
  })

  it('has zeros where nothing took time', async () => {
    expect(await times()).toEqual({ by_tool: [], overall_avg: 0, p50: 0, p95: 0, p99: 0 })
  })

  it('lists a hundred tools, and counts all', async () => {
    const tools = Array.from({ length: 101 }, (_, i) => `tool ${i}`)
    await writeCalls(database.sql, ...tools.flatMap((tool) => took(tool, 1, 3)), ...took('rare', 1000))
    const { by_tool, overall_avg } = await times()
    expect(by_tool).toHaveLength(100)
    expect(by_tool.map(({ tool }) => tool)).not.toContain('rare')
    expect(overall_avg).toBe(6.92)
  })

  it('agrees with percentile_disc() over any calls', async () => {
    await scatter()
    const { start, end } = await period(5)
    const rows = await database.sql`
      select coalesce(call.tool_name, 'all') as tool,
             percentile_disc(0.5) within group (order by call.duration_ms) as p50,
             percentile_disc(0.95) within group (order by call.duration_ms) as p95,
             percentile_disc(0.99) within group (order by call.duration_ms) as p99
      from archon_mcp_requests as call
      where call.status <> 'open' and call.timestamp >= ${start} and call.timestamp < ${end}
      group by grouping sets ((call.tool_name), ())
      order by call.tool_name`
    const { by_tool, overall_avg, ...all } = await times(5)
    expect(overall_avg).toBeGreaterThan(0)
    const found = by_tool.map(({ tool, p50, p95, p99 }) => ({ tool, p50, p95, p99 }))
    const sorted = found.toSorted((a, b) => a.tool.localeCompare(b.tool))
    expect([...sorted, { tool: 'all', ...all }]).toEqual([...rows])
  })
})
