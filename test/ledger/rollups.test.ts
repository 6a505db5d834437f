import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { beyondCalls, writeAnyCalls } from '../support/rollups.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())
afterEach(async () => {
  await database.owner`truncate archon_mcp_requests, archon_mcp_sessions cascade`
  expect(await beyondCalls(database.sql)).toEqual([])
  await database.owner`truncate archon_mcp_rebuilds`
})

const one = async (query: string): Promise<unknown> => (await database.sql.unsafe(query))[0]
const rebuild = (from: string | null = null) =>
  database.sql<[{ differed: string }]>`select archon_mcp_rebuild_rollups(${from}::date) as differed`

/** Of ended calls, straight from their rows. */
const SUMS = `
  count(*) as calls, count(*) filter (where status = 'success') as success,
  sum(coalesce(prompt_tokens, 0)) as prompt, sum(coalesce(completion_tokens, 0)) as completion,
  trim_scale(sum(case when kind is null then coalesce(estimated_cost, 0) else cost end)) as cost`
const SUMS_OF_SUMS = `
  sum(calls) as calls, sum(success) as success, sum(prompt_tokens) as prompt, sum(completion_tokens) as completion,
  trim_scale(sum(cost)) as cost`
const ended = (key: string, where = 'true') => `
  select ${key} as key, ${SUMS} from archon_mcp_requests where status <> 'open' and ${where} group by 1 order by 1`
const rolled = (key: string, table: string) =>
  `select ${key} as key, ${SUMS_OF_SUMS} from ${table} group by 1 order by 1`

describe('roll-ups that are made from the calls', () => {
  const questions: [what: string, calls: string, rollup: string][] = [
    ['users', ended('user_id'), rolled('user_id', 'archon_mcp_user_days')],
    ['departments', ended('department'), rolled('department', 'archon_mcp_user_days')],
    ['departments, by quarters', ended('department'), rolled('department', 'archon_mcp_quarters')],
    [
      'days of Kathmandu',
      ended(`(timestamp at time zone 'Asia/Kathmandu')::date`),
      rolled(`(quarter at time zone 'Asia/Kathmandu')::date`, 'archon_mcp_quarters'),
    ],
    ['clients', ended('client_type'), rolled('client_type', 'archon_mcp_tool_days')],
    [
      'tools, or methods where there is none',
      ended(`coalesce(nullif(tool_name, ''), method)`),
      rolled('tool', 'archon_mcp_tool_days'),
    ],
    [
      'users of all times',
      ended('user_id', 'user_id is not null').replace(/count\(\*\) filter[^,]*success/, 'null as success'),
      rolled('user_id', 'archon_mcp_user_totals').replace('sum(success)', 'null'),
    ],
    [
      'sessions',
      ended('session_id', 'session_id is not null').replace(
        /count\(\*\) filter[^,]*success/,
        'null as success',
      ),
      rolled('session_id', 'archon_mcp_session_totals').replace('sum(success)', 'null'),
    ],
    [
      'models, with what no model accounts for',
      `select key, sum(calls) as calls, sum(prompt) as prompt, sum(cached) as cached, trim_scale(sum(cost)) as cost
       from (
         select model as key, count(*) as calls, sum(line.prompt_tokens) as prompt, sum(line.cached_tokens) as cached,
                sum(line.cost) as cost
         from archon_mcp_usage as line group by 1
         union all
         select null, count(*) filter (where line.request_id is null or call.tool_cost <> 0),
                sum(coalesce(prompt_tokens, 0) - coalesce(line.prompt, 0)), 0,
                sum(case when kind is null then coalesce(estimated_cost, 0) else call.cost end - coalesce(line.cost, 0))
         from archon_mcp_requests as call
         left join (
           select request_id, sum(prompt_tokens) as prompt, sum(cost) as cost from archon_mcp_usage group by 1
         ) as line using (request_id)
         where status <> 'open'
       ) as part
       group by 1 order by 1`,
      `select model as key, sum(model_calls) as calls, sum(prompt_tokens) as prompt, sum(cached_tokens) as cached,
              trim_scale(sum(cost)) as cost
       from archon_mcp_tool_days group by 1 order by 1`,
    ],
    [
      'durations',
      `select archon_mcp_duration_bucket(duration_ms) as key, count(*) as calls, sum(duration_ms) as duration
       from archon_mcp_requests where status <> 'open' and duration_ms is not null group by 1 order by 1`,
      `select bucket as key, sum(calls) as calls, sum(duration_ms) as duration
       from archon_mcp_duration_days group by 1 order by 1`,
    ],
    [
      'what succeeded and how the rest ended',
      `select count(*) filter (where status = 'timeout') as timeouts, sum(duration_ms) as duration,
              count(duration_ms) as timed, count(*) filter (where unpriced) as unpriced,
              count(*) filter (where estimated) as estimated,
              sum(prompt_tokens) filter (where status = 'success') as prompt,
              trim_scale(sum(case when kind is null then coalesce(estimated_cost, 0) else cost end)
                filter (where status = 'success')) as cost
       from archon_mcp_requests where status <> 'open'`,
      `select sum(timeouts) as timeouts, sum(duration_ms) as duration, sum(timed_calls) as timed,
              sum(unpriced_calls) as unpriced, sum(estimated_calls) as estimated,
              sum(success_prompt_tokens) as prompt, trim_scale(sum(success_cost)) as cost
       from archon_mcp_tool_days`,
    ],
  ]

  it('say of every question what the calls say, to the last digit', async () => {
    await writeAnyCalls(database.owner, 1500, 0.1)
    await rebuild()
    for (const [what, calls, rollup] of questions) {
      const expected = [...(await database.sql.unsafe(calls))]
      expect(expected.length, what).toBeGreaterThan(0)
      expect([...(await database.sql.unsafe(rollup))], what).toEqual(expected)
    }
    expect(await beyondCalls(database.sql)).toEqual([])
  })

  it('are made anew where they are wrong, on record', async () => {
    await writeAnyCalls(database.owner, 200, 0.2)
    await rebuild()
    await database.owner`truncate archon_mcp_rebuilds`
    await database.owner`
      update archon_mcp_user_days set calls = calls + 2, cost = cost + 0.5 where (user_id, day) in (
        select user_id, day from archon_mcp_user_days where user_id is not null limit 1
      )`
    await database.owner`delete from archon_mcp_tool_days where day = '2026-03-02'`
    const found = await beyondCalls(database.sql)
    expect(found).toContainEqual({
      rollup: 'user_days',
      key: expect.objectContaining({ day: expect.any(String), user_id: expect.any(String) }),
      beyond: { calls: 2, cost: 0.5 },
    })
    const [{ differed }] = await rebuild()
    expect(Number(differed)).toBe(found.length)
    expect(await beyondCalls(database.sql)).toEqual([])
    const records = await database.sql`
      select rollup, from_day = '-infinity' as all, calls_beyond < 0 as missing from archon_mcp_rebuilds order by rollup`
    expect([...records]).toEqual([
      { rollup: 'tool_days', all: true, missing: true },
      { rollup: 'user_days', all: true, missing: false },
      { rollup: 'user_totals', all: true, missing: true },
    ])
  })

  it('put a duration into the bucket whose bounds are around it, each sqrt(2) times as wide as the one before', async () => {
    const rows = await database.sql`
      select ms, (archon_mcp_duration_bounds())[bucket] as at_least, (archon_mcp_duration_bounds())[bucket + 1] as less_than
      from (values (0), (1), (5), (90), (91), (1023), (1024), (2147483647)) as given (ms)
      cross join lateral archon_mcp_duration_bucket(ms) as bucket`
    expect(rows.map(({ ms, at_least, less_than }) => [ms, at_least, less_than])).toEqual([
      [0, null, 1],
      [1, 1, 2],
      [5, 4, 6],
      [90, 64, 91],
      [91, 91, 128],
      [1023, 725, 1024],
      [1024, 1024, 1449],
      [2147483647, 1518500250, null],
    ])
  })
})

describe('when old calls go', () => {
  const WHOLE = 'select sum(calls) as calls, sum(cost) as cost from archon_mcp_user_days'

  it('their sums stay, and nobody compares or rebuilds what is before the watermark', async () => {
    await writeAnyCalls(database.owner, 400, 0.3)
    await rebuild()
    const before = [await one(WHOLE), await one('select max(last_call_at) as at from archon_mcp_user_totals')]
    const first = 'select min(first_call_at) as at from archon_mcp_user_totals'
    const began = await one(first)
    await database.owner.begin(async (tx) => {
      await tx`update archon_mcp_watermark set complete_from = '2026-03-03'`
      await tx`delete from archon_mcp_requests where timestamp < '2026-03-03Z'`
    })
    try {
      expect(await beyondCalls(database.sql)).toEqual([])
      await rebuild()
      await rebuild('2026-03-04')
      expect([
        await one(WHOLE),
        await one('select max(last_call_at) as at from archon_mcp_user_totals'),
      ]).toEqual(before)
      expect(await one(first)).toEqual(began)
      expect(await one('select sum(calls) as calls, sum(cost) as cost from archon_mcp_user_totals')).toEqual(
        await one(`${WHOLE} where user_id is not null`),
      )
      await expect(rebuild('2026-03-02')).rejects.toThrow('calls before 2026-03-03 are not all there')
    } finally {
      await database.owner`update archon_mcp_watermark set complete_from = '-infinity'`
      await database.owner`truncate archon_mcp_requests cascade`
    }
  })
})
