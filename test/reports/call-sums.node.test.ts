import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { callSums, type SummedBy, type SummedCalls } from '../../src/reports/call-sums.ts'
import { responseTimes } from '../../src/reports/analytics-times.ts'
import type { ReportCaller } from '../../src/reports/visible-to.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { DEEP } from '../support/deep.ts'
import { writeAnyCalls } from '../support/rollups.ts'

let database: TestDatabase
let user: string
beforeAll(async () => {
  database = await createTestDatabase()
  await writeAnyCalls(database.owner, 2000, 0.3)
  // Models are written by hand, which no trigger notices.
  await database.sql`select archon_mcp_rebuild_rollups()`
  const [row] = await database.sql<[{ id: string }]>`select md5('user 1')::uuid as id`
  user = row.id
})
afterAll(() => database[Symbol.asyncDispose]())

const SUMS = [
  'calls',
  'success',
  'timeouts',
  'prompt_tokens',
  'completion_tokens',
  'cost',
  'success_cost',
  'unpriced_calls',
  'estimated_calls',
  'duration_ms',
  'timed_calls',
] as const
const KNOWN_BY_ALL = SUMS.filter((name) => !/^(timeouts|success_cost|duration_ms|timed_calls)$/.test(name))

const literal = (text: string | null | undefined): string => (text == null ? 'null' : `'${text}'`)

/** The same from the calls alone, row by row. */
async function fromCalls(
  caller: ReportCaller,
  by: readonly SummedBy[],
  { period, userId, department }: SummedCalls,
): Promise<Record<string, string>> {
  const key =
    by.length === 0
      ? `''`
      : `concat_ws('|', ${by.map((name) => `coalesce(call.${name}::text, '-')`).join(', ')})`
  const [everyone, manages] = [
    ['admin', 'finance'].includes(caller.role),
    caller.role === 'manager' ? caller.department : null,
  ]
  const rows = await database.sql.unsafe<{ key: string; sums: string }[]>(`
    select ${key} as key, concat_ws(' ', ${SUMS.map((name) => `trim_scale(sum(call.${name})::numeric)`).join(', ')}) as sums
    from (
      select user_id, department, coalesce(client_type, null) as client_type,
             coalesce(nullif(tool_name, ''), method) as tool,
             date_bin('15 minutes', timestamp, timestamptz 'epoch') as quarter,
             1 as calls, (status = 'success')::integer as success, (status = 'timeout')::integer as timeouts,
             coalesce(prompt_tokens, 0) as prompt_tokens, coalesce(completion_tokens, 0) as completion_tokens,
             money as cost, case when status = 'success' then money else 0 end as success_cost,
             unpriced::integer as unpriced_calls, estimated::integer as estimated_calls,
             coalesce(duration_ms, 0) as duration_ms, (duration_ms is not null)::integer as timed_calls
      from archon_mcp_requests
      cross join lateral (select case when kind is null then coalesce(estimated_cost, 0) else cost end as money) as exact
      where status <> 'open'
        and timestamp >= ${literal((period?.start as Date | undefined)?.toISOString() ?? '-infinity')}
        and timestamp < ${literal((period?.end as Date | undefined)?.toISOString() ?? 'infinity')}
        and archon_mcp_sees(${everyone}, ${literal(caller.userId)}, ${literal(manages)}, user_id, department)
        ${userId === undefined ? '' : `and user_id = ${literal(userId)}`}
        ${department === undefined ? '' : `and department = ${literal(department)}`}
    ) as call
    group by 1`)
  return Object.fromEntries(rows.map((row) => [row.key, row.sums]))
}

async function fromReport(
  caller: ReportCaller,
  by: readonly SummedBy[],
  of: SummedCalls,
): Promise<Record<string, Record<string, unknown>>> {
  const { sql } = database
  const rows = await sql<Record<string, unknown>[]>`select call.* from ${callSums(sql, caller, by, of)}`
  return Object.fromEntries(
    rows
      .filter((row) => Number(row['calls']) > 0)
      .map((row) => [by.map((name) => (row[name] as string | null) ?? '-').join('|'), row]),
  )
}

const trimmed = (value: unknown): string => (value as string).replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '')

const callers = (): [string, ReportCaller][] => [
  ['admin', { role: 'admin', userId: null, department: null }],
  ['finance', { role: 'finance', userId: user, department: 'Sales' }],
  ['manager', { role: 'manager', userId: user, department: 'Sales' }],
  ['manager of none', { role: 'manager', userId: user, department: null }],
  ['member', { role: 'member', userId: user, department: 'Sales' }],
]
const day = (text: string): Date => new Date(text)

/** Of all the questions there are, which `npm test` asks: each thing that may be asked stands beside each other one. */
const EVERY = DEEP ? 1 : 3

describe('sums of calls', () => {
  const periods: [string, SummedCalls['period']][] = [
    ['all time', undefined],
    ['whole days of UTC', { start: day('2026-03-02T00:00Z'), end: day('2026-03-04T00:00Z') }],
    ['days of Kathmandu', { start: day('2026-03-01T18:15Z'), end: day('2026-03-03T18:15Z') }],
    [
      'from any moment to any moment',
      { start: day('2026-03-01T10:07:03.123Z'), end: day('2026-03-04T01:59:59.999Z') },
    ],
    ['early to late', { start: day('2026-03-01T02:00:30Z'), end: day('2026-03-04T22:00:30Z') }],
    ['most of a day', { start: day('2026-03-02T01:00:30Z'), end: day('2026-03-02T23:00:30Z') }],
    ['a few minutes', { start: day('2026-03-02T10:07Z'), end: day('2026-03-02T10:13Z') }],
    ['from a moment on', { start: day('2026-03-03T07:30Z'), end: day('2099-01-01T00:00Z') }],
  ]
  const groups: SummedBy[][] = [
    [],
    ['user_id'],
    ['department'],
    ['client_type'],
    ['tool'],
    ['user_id', 'department'],
    ['department', 'tool'],
    ['user_id', 'tool'],
  ]

  it.each(periods)('are those of the calls, whoever asks for whatever: %s', async (_name, period) => {
    let turn = 0
    for (const [name, caller] of callers()) {
      for (const by of groups) {
        for (const filter of [{}, { userId: user }, { department: 'Sales' }, { department: 'Research' }]) {
          for (const costsOnly of [false, true]) {
            turn += 1
            if (turn % EVERY !== 0) continue
            const of = { period, ...filter, costsOnly }
            const expected = await fromCalls(caller, by, of)
            const found = await fromReport(caller, by, of)
            const told = (sums: string) => {
              const values = sums.split(' ')
              return Object.fromEntries(SUMS.map((sum, i) => [sum, values[i]]))
            }
            const compared = costsOnly ? KNOWN_BY_ALL : SUMS
            const pick = (row: Record<string, unknown>) =>
              Object.fromEntries(compared.map((sum) => [sum, trimmed(row[sum])]))
            expect([name, by, filter, mapped(found, pick)]).toEqual([
              name,
              by,
              filter,
              mapped(expected, (sums) => pick(told(sums))),
            ])
          }
        }
      }
    }
  })

  it('by quarters of an hour are those of the calls too', async () => {
    const { sql } = database
    const [, period] = periods[3]!
    const admin: ReportCaller = { role: 'admin', userId: null, department: null }
    const rows = await sql`
      select count(*)::integer as differing
      from ${callSums(sql, admin, ['quarter'], { period })}
      full join (
        select date_bin('15 minutes', timestamp, timestamptz 'epoch') as quarter, count(*) as calls
        from archon_mcp_requests
        where status <> 'open' and timestamp >= ${period!.start as Date} and timestamp < ${period!.end as Date}
        group by 1
      ) as raw on raw.quarter = call.quarter
      where raw.calls is distinct from call.calls`
    expect([...rows]).toEqual([{ differing: 0 }])
  })
})

const mapped = <A, B>(record: Record<string, A>, to: (value: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, to(value)]))

describe('percentiles of very many calls', () => {
  it('come from buckets of durations, never further from the exact one than a bucket is wide', async () => {
    await using many = await createTestDatabase()
    await many.owner`select set_config('archon_mcp.rollups', 'moved', false)`
    await many.owner`
      insert into archon_mcp_requests (session_id, kind, method, tool_name, status, timestamp, duration_ms)
      select null, 'mcp', 'tools/call', 'search', 'success', timestamptz '2026-03-02T12:00Z' + n * interval '0.1 second',
             (n * 7919 % 5000)::integer
      from generate_series(1, 100001) as n`
    await many.sql`select archon_mcp_rebuild_rollups()`
    const [exact] = await many.sql<[{ p50: number; p95: number; p99: number }]>`
      select percentile_disc(0.5) within group (order by duration_ms) as p50,
             percentile_disc(0.95) within group (order by duration_ms) as p95,
             percentile_disc(0.99) within group (order by duration_ms) as p99
      from archon_mcp_requests`
    const admin: ReportCaller = { role: 'admin', userId: null, department: null }
    const period = { start: new Date('2026-03-02T00:00Z'), end: new Date('2026-03-04T00:00Z') }
    const { p50, p95, p99, by_tool } = await responseTimes(many.sql, admin, { ...period } as never)
    expect(by_tool).toMatchObject([
      { tool: 'search', count: 100001, avg_ms: expect.closeTo(2500, -1) as number },
    ])
    for (const [found, right] of [
      [p50, exact.p50],
      [p95, exact.p95],
      [p99, exact.p99],
    ] as const) {
      expect(found / right).toBeGreaterThan(1 / Math.SQRT2)
      expect(found / right).toBeLessThan(Math.SQRT2)
    }
  })
})
