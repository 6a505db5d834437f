import { beforeAll, describe, expect, it } from 'vitest'
import type { ResponseTimes } from '../../src/reports/analytics-times.ts'
import type { CallTrends } from '../../src/reports/analytics-trends.ts'
import { type Person, usePeople, writeCalls } from '../reports/call-rows.ts'
import { expectProblem, MOMENT, refusesStrangers, send, useApi, writeSession } from './support.ts'

const api = useApi()
const people = usePeople(api)

beforeAll(async () => {
  const call = { tool_name: 'search', duration_ms: 10, prompt_tokens: 2, cost: '1' }
  const ofBob = await writeSession(api.sql, { user_id: people.id('Bob') })
  const ofNobody = await writeSession(api.sql)
  await writeCalls(
    api.sql,
    { ...call, user_id: people.id('Alice'), duration_ms: 30, status: 'error' },
    { ...call, user_id: people.id('Alice'), status: 'open', cost: '100' },
    { ...call, kind: null, session_id: ofBob, estimated_cost: '0.5', completion_tokens: null },
    { ...call, user_id: people.id('Carl'), status: 'timeout', duration_ms: null },
    { ...call, kind: null, session_id: ofNobody, tool_name: null, estimated_cost: '0.25' },
    { ...call, cost: '8' },
  )
})

type Analytics = CallTrends & {
  period: { start: string; end: string; days: number; timezone: string }
  response_times: ResponseTimes
}
const get = async (who: Person, query = '') =>
  (await send(api.app, `GET /analytics${query}`, { token: people.token(who) })).body as unknown as Analytics

/** What clocks show there, fourteen hours ahead. */
const onKiritimati = (moment: string) => new Date(Date.parse(moment) + 14 * 3_600_000).toISOString()

describe('GET /analytics', () => {
  refusesStrangers(api, 'GET /analytics')

  it('tells how calls went, ended and took in the last 30 days, against the 30 before', async () => {
    const body = await get('Ada')
    expect(body).toEqual({
      period: { start: MOMENT, end: MOMENT, days: 30, timezone: 'UTC' },
      trends: { daily: expect.any(Array), hourly: expect.any(Array) },
      ratios: { success: 3, error: 1, timeout: 1, success_rate: 60 },
      response_times: {
        by_tool: [
          { tool: 'search', avg_ms: 16.67, min_ms: 10, max_ms: 30, count: 3, p50: 10, p95: 30, p99: 30 },
          { tool: 'tools/call', avg_ms: 10, min_ms: 10, max_ms: 10, count: 1, p50: 10, p95: 10, p99: 10 },
        ],
        overall_avg: 15,
        p50: 10,
        p95: 30,
        p99: 30,
      },
      comparison: {
        requests: { current: 5, previous: 0, change_percent: 100 },
        success_rate: { current: 60, previous: 0, change_percent: 100 },
        tokens: { current: 10, previous: 0, change_percent: 100 },
        cost: { current: '10.75', previous: '0', change_percent: 100 },
      },
    })
    const { daily, hourly } = body.trends
    expect(daily).toHaveLength(30)
    expect(daily.at(-1)).toEqual({
      date: body.period.end.slice(0, 10),
      requests: 5,
      tokens: 10,
      cost: '10.75',
      success_rate: 60,
    })
    expect(daily[0]?.date).toBe(body.period.start.slice(0, 10))
    expect(hourly.map(({ hour }) => hour)).toEqual(Array.from({ length: 24 }, (_, hour) => hour))
    expect(hourly.filter(({ requests }) => requests > 0)).toEqual([
      { hour: expect.any(Number), requests: 5, avg_duration: 15 },
    ])
  })

  const cases: { who: Person; requests: number; cost: string; timed: number }[] = [
    { who: 'Alice', requests: 1, cost: '1', timed: 1 },
    { who: 'Bob', requests: 1, cost: '0.5', timed: 1 },
    { who: 'Mia', requests: 2, cost: '1.5', timed: 2 },
    { who: 'Max', requests: 0, cost: '0', timed: 0 },
    { who: 'Fin', requests: 5, cost: '10.75', timed: 4 },
    { who: 'Ada', requests: 5, cost: '10.75', timed: 4 },
    { who: 'service', requests: 5, cost: '10.75', timed: 4 },
  ]
  it.each(cases)('shows $who $requests', async ({ who, requests, cost, timed }) => {
    const { trends, ratios, response_times, comparison } = await get(who)
    expect(trends.daily.at(-1)).toMatchObject({ requests, cost })
    expect(ratios.success + ratios.error + ratios.timeout).toBe(requests)
    expect(comparison).toMatchObject({ requests: { current: requests }, cost: { current: cost } })
    expect(response_times.by_tool.reduce((sum, { count }) => sum + count, 0)).toBe(timed)
  })

  it('compares with nothing where that is not wanted', async () => {
    const body = await get('Ada', '?compare=false&days=90')
    expect(body.comparison).toBeNull()
    expect(body.trends.daily).toHaveLength(90)
  })

  it('has days in the zone that is asked for', async () => {
    const { period, trends } = await get('Ada', '?days=1&timezone=Pacific/Kiritimati')
    expect(onKiritimati(period.start)).toMatch(/T00:00:00.000Z$/)
    expect(trends.daily.map(({ date }) => date)).toEqual([onKiritimati(period.end).slice(0, 10)])
  })

  const wrong = ['days=0', 'days=91', 'compare=maybe', 'timezone=Mars/Olympus', 'timezone=XYZ3', 'timezone=']
  it.each(wrong)('answers 400 to %s', async (query) => {
    const answer = await send(api.app, `GET /analytics?${query}`, { token: people.token('Ada') })
    expectProblem(answer, 400, 'invalid_request')
    expect(answer.body.errors[0]).toEqual({ path: query.split('=')[0], message: expect.any(String) })
  })
})
