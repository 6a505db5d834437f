import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { migrate } from '../../src/db/migrate.ts'
import type { CallTrends } from '../../src/reports/analytics-trends.ts'
import type { McpClient } from '../../src/reports/clients.ts'
import type { CostReport } from '../../src/reports/costs.ts'
import type { LoggedCall } from '../../src/reports/logs-rows.ts'
import type { UsageSummary } from '../../src/reports/usage.ts'
import type { UsersReport } from '../../src/reports/users.ts'
import { apiApp, send, serviceToken, userToken } from '../api/support.ts'
import { ALICE, archonSession, BOB, CAROL, databaseOn } from '../support/archon.ts'
import type { TestDatabase } from '../support/database.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await databaseOn('archon')
  await migrate(database.owner, { direction: 'up' })
})
afterAll(() => database[Symbol.asyncDispose]())

const get = async (path: string, token?: string) =>
  (await send(apiApp(database.sql), `GET ${path}`, { token: token ?? (await serviceToken()) }))
    .body as unknown

describe("Archon's history after the upgrade", () => {
  it('is in the usage, by tool', async () => {
    const { summary, by_tool } = (await get('/usage/summary?days=30')) as UsageSummary
    expect(summary).toEqual({
      total_requests: 9,
      total_prompt_tokens: 610,
      total_completion_tokens: 305,
      total_tokens: 915,
      total_cost: '4.75',
      unique_sessions: 7,
    })
    expect(by_tool).toEqual({
      search: { count: 4, tokens: 615, cost: '3.25' },
      ping: { count: 2, tokens: 0, cost: '0' },
      'resources/read': { count: 1, tokens: 0, cost: '0' },
      'tools/list': { count: 1, tokens: 0, cost: '0' },
      write_file: { count: 1, tokens: 300, cost: '1.5' },
    })
    const all = (await get('/usage/summary?days=366')) as UsageSummary
    expect(all.summary).toMatchObject({ total_requests: 11, total_cost: '8.75', unique_sessions: 8 })
  })

  it('is in the analytics, with what failed', async () => {
    const { trends, ratios, comparison } = (await get('/analytics?days=29')) as CallTrends
    expect(ratios).toEqual({ success: 9, error: 1, timeout: 1, success_rate: 81.82 })
    expect(trends.daily.reduce((sum, { tokens }) => sum + tokens, 0)).toBe(955)
    expect(comparison).toMatchObject({
      requests: { current: 11, previous: 1 },
      cost: { current: '5.25', previous: '1' },
    })
  })

  it('is in the log, with the users of that time, and anonymous calls among them', async () => {
    const { logs, pagination } = (await get('/logs')) as { logs: LoggedCall[]; pagination: object }
    expect(pagination).toMatchObject({ total: 13, has_more: false })
    const of = (user: string | undefined) => logs.filter(({ user_id }) => user_id === user)
    expect([ALICE, BOB, CAROL, undefined].map((user) => of(user).length)).toEqual([6, 3, 1, 3])
    expect(of(undefined).map(({ session_id }) => session_id)).toEqual(
      [7, 7, 6].map((number) => archonSession(number)),
    )
    expect(new Set(of(ALICE).map(({ user_name }) => user_name))).toEqual(
      new Set(['Alice New', 'Alice', 'Alice Old']),
    )
    const { logs: found } = (await get('/logs?search=alice%20old')) as { logs: LoggedCall[] }
    expect(found.map(({ session_id }) => session_id)).toEqual([archonSession(1), archonSession(1)])
  })

  it('is in the costs, those of nobody as of an unknown user', async () => {
    const { rows, total } = (await get('/costs?group_by=user&from=2000-01-01')) as CostReport
    expect(rows.map(({ label, calls, total_tokens, cost }) => [label, calls, total_tokens, cost])).toEqual([
      ['Alice New', 6, 1440, '6'],
      ['Carol', 1, 1500, '3'],
      ['Bob', 3, 15, '0.25'],
      ['Unknown user', 3, 0, '0'],
    ])
    expect(total).toMatchObject({ calls: 13, total_tokens: 2955, cost: '9.25' })
    // Archon knew no departments.
    expect(await get('/costs?group_by=department&from=2000-01-01')).toMatchObject({
      rows: [{ key: null, label: 'No department', calls: 13, cost: '9.25' }],
    })
  })

  it('is in the users and their sessions, and anonymous sessions are listed too', async () => {
    const { users } = (await get('/users')) as UsersReport
    expect(users.map((user) => [user.name, user.total_sessions, user.total_requests])).toEqual([
      ['Alice New', 3, 6],
      ['Carol', 1, 1],
      ['Bob', 2, 3],
    ])
    const { clients, total } = (await get('/clients?status_filter=all')) as {
      clients: McpClient[]
      total: number
    }
    const anonymous = clients.filter(({ user_id }) => user_id === undefined)
    expect([total, anonymous.map(({ session_id }) => session_id)]).toEqual([
      8,
      [7, 6].map((number) => archonSession(number)),
    ])
  })

  it('is in the errors, and shows members their own', async () => {
    expect(await get('/errors')).toMatchObject({
      errors: [{ error_message: 'timed out' }, { error_message: 'disk full', cost: '0.5', total_tokens: 40 }],
      summary: { error_count: 1, timeout_count: 1, error_rate_percent: 15.38 },
    })
    // Supabase's subject is the id that Archon wrote.
    const alice = await userToken(ALICE)
    expect(await get('/errors', alice)).toMatchObject({ errors: [{ error_message: 'disk full' }], total: 1 })
    expect(await get('/logs', alice)).toMatchObject({ pagination: { total: 6 } })
  })
})
