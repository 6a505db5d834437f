import { beforeAll, describe, expect, it } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { UsageLine } from '../../src/ledger/types.ts'
import type { CostReport, CostRow } from '../../src/reports/costs.ts'
import { asCells, parseTable } from '../support/csv.ts'
import { callerNamed, callOf, requestBy, success } from '../support/ledger.ts'
import { ISSUER } from '../support/mcp.ts'
import {
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

const tokens: Record<string, string> = {}
const ids: Record<string, string> = {}
/** A call at a moment, of a user or of nobody. */
async function call(who: string | null, at: string, usage: UsageLine[] = [], tool = 'search'): Promise<void> {
  // Their rows are from newer tokens, which win: the department is theirs.
  const caller = who === null ? null : await callerNamed(who.toLowerCase(), { issuer: ISSUER, name: who })
  const ledger = createLedger(api.sql, { now: () => new Date(at), closeDelayMs: 0 })
  const one = callOf({ tool })
  await ledger.admit(requestBy(caller, { calls: [one] }))
  await ledger.close(success(one.id, { usage }))
}

const used = (model: string, cost: string): UsageLine => ({
  model,
  promptTokens: 100,
  completionTokens: 20,
  cost,
})

beforeAll(async () => {
  Object.assign(tokens, {
    Alice: await userToken('Alice', { department: 'sales' }),
    Bob: await userToken('Bob', { department: 'sales' }),
    Carl: await userToken('Carl', { department: 'research' }),
    Mia: await userToken('Mia', { department: 'sales', role: 'manager' }),
    Lone: await userToken('Lone', { role: 'manager' }),
    Fin: await userToken('Fin', { role: 'finance' }),
    Ada: await userToken('Ada', { role: 'admin' }),
    service: await serviceToken(),
  })
  for (const name of ['Alice', 'Bob', 'Carl', 'Mia']) ids[name] = await userId(api.app, tokens[name]!)
  await api.database.owner`insert into archon_mcp_tool_prices values ('draw', '2026-01-01', 0.01)`
  await call('Alice', '2026-10-01T10:00:00Z', [used('large', '1.5'), used('small', '0.0000000001')])
  await call('Alice', '2026-10-20T10:00:00Z', [used('large', '0.5')], 'draw')
  await call('Bob', '2026-10-20T11:00:00Z', [{ model: 'mystery', promptTokens: 7, completionTokens: 0 }])
  await call('Carl', '2026-10-31T23:30:00Z', [used('small', '0.25')])
  await call(null, '2026-10-05T10:00:00Z', [used('small', '0.125')])
  // Archon's: a session of nobody.
  const session_id = await writeSession(api.database.owner)
  await api.database.owner`
    insert into archon_mcp_requests (session_id, method, tool_name, estimated_cost, timestamp, status)
    values (${session_id}, 'tools/call', 'search', 0.000001, '2026-10-06T10:00:00Z', 'error')`
})

const OCTOBER = 'from=2026-10-01&to=2026-11-01'
const report = async (who: string, query: string): Promise<CostReport> => {
  const { status, body } = await send(api.app, `GET /costs?${query}`, { token: tokens[who] })
  expect(status, JSON.stringify(body)).toBe(200)
  return body as unknown as CostReport
}
const costs = (rows: CostRow[]) =>
  Object.fromEntries(rows.map(({ key, label, cost }) => [label ?? key, cost]))
const ALL = '2.3850010001'

describe('GET /costs', () => {
  refusesStrangers(api, 'GET /costs?group_by=user')

  it('tells who cost what, the dearest first, and forgets nobody', async () => {
    const { period, group_by, rows, total } = await report('Fin', `group_by=user&${OCTOBER}`)
    expect({ period, group_by }).toEqual({
      period: { start: '2026-10-01T00:00:00.000Z', end: '2026-11-01T00:00:00.000Z', timezone: 'UTC' },
      group_by: 'user',
    })
    const none = { unpriced_calls: 0, estimated_calls: 0 }
    expect(rows).toEqual([
      {
        key: ids['Alice'],
        label: 'Alice',
        email: 'alice@example.com',
        name: 'Alice',
        department: 'sales',
        calls: 2,
        success: 2,
        errors: 0,
        prompt_tokens: 300,
        completion_tokens: 60,
        total_tokens: 360,
        cost: '2.0100000001',
        ...none,
      },
      expect.objectContaining({ key: ids['Carl'], cost: '0.25' }),
      {
        key: null,
        label: 'Unknown user',
        calls: 2,
        success: 1,
        errors: 1,
        prompt_tokens: 100,
        completion_tokens: 20,
        total_tokens: 120,
        cost: '0.125001',
        ...none,
      },
      expect.objectContaining({ key: ids['Bob'], cost: '0', unpriced_calls: 1 }),
    ])
    expect(total).toEqual({
      calls: 6,
      success: 5,
      errors: 1,
      prompt_tokens: 507,
      completion_tokens: 100,
      total_tokens: 607,
      cost: '2.3850010001',
      unpriced_calls: 1,
      estimated_calls: 0,
    })
  })

  const groups: { group: string; rows: Record<string, string> }[] = [
    { group: 'department', rows: { sales: '2.0100000001', research: '0.25', 'No department': '0.125001' } },
    { group: 'client', rows: { Unknown: ALL } },
    { group: 'tool', rows: { search: '1.8750010001', draw: '0.51' } },
    {
      group: 'model',
      rows: {
        large: '2',
        small: '0.3750000001',
        "tools' own prices and unreported": '0.010001',
        mystery: '0',
      },
    },
  ]
  it.each(groups)('groups by $group', async ({ group, rows }) => {
    const told = await report('Fin', `group_by=${group}&${OCTOBER}`)
    expect(costs(told.rows)).toEqual(rows)
    expect(Object.keys(costs(told.rows))).toEqual(Object.keys(rows))
    expect(told.total.cost).toBe(ALL)
    expect(told.calls_overlap).toBe(group === 'model' ? true : undefined)
  })

  it('counts a call in the row of every model that it used', async () => {
    const { rows, total } = await report('Fin', `group_by=model&${OCTOBER}`)
    expect(rows.map(({ key, calls }) => [key, calls])).toEqual([
      ['large', 2],
      ['small', 3],
      // A tool's own price, and a call that reported nothing.
      [null, 2],
      ['mystery', 1],
    ])
    expect(total.calls).toBe(6)
  })

  const roles: { who: string; sees: string[]; query?: string }[] = [
    { who: 'Alice', sees: ['Alice'] },
    { who: 'Alice', query: '&user_id=Bob', sees: [] },
    { who: 'Alice', query: '&department=research', sees: [] },
    { who: 'Mia', sees: ['Alice', 'Bob'] },
    { who: 'Mia', query: '&user_id=Carl', sees: [] },
    { who: 'Lone', sees: [] },
    ...['Fin', 'Ada', 'service'].flatMap((who) => [
      { who, sees: ['Alice', 'Carl', 'Unknown user', 'Bob'] },
      { who, query: '&user_id=Carl', sees: ['Carl'] },
      { who, query: '&department=sales', sees: ['Alice', 'Bob'] },
    ]),
  ]
  it.each(roles)('shows $who $sees $query', async ({ who, query = '', sees }) => {
    const named = query.replace(/user_id=(\w+)/, (_, name: string) => `user_id=${ids[name]}`)
    for (const group of ['user', 'department', 'model', 'day']) {
      const { rows, total } = await report(who, `group_by=${group}&${OCTOBER}${named}`)
      if (group === 'user') expect(rows.map(({ label }) => label)).toEqual(sees)
      expect(total.calls).toBe(
        sees.map((name) => ({ Alice: 2, Bob: 1, Carl: 1 })[name] ?? 2).reduce((sum, calls) => sum + calls, 0),
      )
    }
  })

  it('leaves out what is open', async () => {
    const before = await report('Fin', `group_by=user&${OCTOBER}`)
    const ledger = createLedger(api.sql, { now: () => new Date('2026-10-10T10:00:00Z') })
    await ledger.admit(requestBy(null))
    expect(await report('Fin', `group_by=user&${OCTOBER}`)).toEqual(before)
  })
})

describe('GET /costs: the period', () => {
  it('begins and ends with days of the zone', async () => {
    const { period, total } = await report('Carl', `group_by=day&${OCTOBER}&timezone=Europe/Berlin`)
    expect(period).toEqual({
      start: '2026-09-30T22:00:00.000Z',
      end: '2026-10-31T23:00:00.000Z',
      timezone: 'Europe/Berlin',
    })
    // Carl's call was after midnight there.
    expect(total.calls).toBe(0)
  })

  it('is the month so far when nothing is said, or the month before its end', async () => {
    const now = new Date()
    const { period } = await report('Ada', 'group_by=user')
    expect(period.start).toBe(new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1)).toISOString())
    expect(Math.abs(Date.parse(period.end) - now.getTime())).toBeLessThan(60_000)
    const before = await report('Ada', 'group_by=user&to=2026-11-01&timezone=Asia/Kolkata')
    expect(before.period.start).toBe('2026-09-30T18:30:00.000Z')
  })

  it('takes moments, with an offset that nobody encoded too', async () => {
    const { period } = await report(
      'Ada',
      'group_by=user&from=2026-10-01T00:00:00+02:00&to=2026-10-01T00:00:00.001Z',
    )
    expect(period).toMatchObject({ start: '2026-09-30T22:00:00.000Z', end: '2026-10-01T00:00:00.001Z' })
  })

  it('has every day, with those that had no call', async () => {
    const { rows } = await report('Fin', `group_by=day&${OCTOBER}`)
    expect(rows).toHaveLength(31)
    expect(rows.map(({ key }) => key).slice(0, 3)).toEqual(['2026-10-01', '2026-10-02', '2026-10-03'])
    expect(rows.filter(({ calls }) => calls > 0).map(({ key, cost }) => [key, cost])).toEqual([
      ['2026-10-01', '1.5000000001'],
      ['2026-10-05', '0.125'],
      ['2026-10-06', '0.000001'],
      ['2026-10-20', '0.51'],
      ['2026-10-31', '0.25'],
    ])
  })

  const days: { zone: string; day: string; next: string; labels: string[] }[] = [
    {
      zone: 'Europe/Berlin',
      day: '2026-10-25',
      next: '2026-10-26',
      labels: [
        '2026-10-25 01:00+02:00',
        '2026-10-25 02:00+02:00',
        '2026-10-25 02:00+01:00',
        '2026-10-25 03:00+01:00',
      ],
    },
    {
      zone: 'America/St_Johns',
      day: '2026-03-08',
      next: '2026-03-09',
      labels: ['2026-03-08 01:00-03:30', '2026-03-08 03:00-02:30', '2026-03-08 04:00-02:30'],
    },
    {
      // Half an hour: the hour before lasts an hour and a half.
      zone: 'Australia/Lord_Howe',
      day: '2026-04-05',
      next: '2026-04-06',
      labels: ['2026-04-05 01:00+11:00', '2026-04-05 02:00+10:30', '2026-04-05 03:00+10:30'],
    },
  ]
  it.each(days)('has the hours that clocks showed in $zone on $day', async ({ zone, day, next, labels }) => {
    const { rows } = await report('Fin', `group_by=hour&from=${day}&to=${next}&timezone=${zone}`)
    expect(rows.map(({ label }) => label).slice(1, 1 + labels.length)).toEqual(labels)
    const moments = rows.map(({ key }) => Date.parse(key ?? ''))
    expect(moments).toEqual(moments.toSorted((a, b) => a - b))
    expect(rows[0]).toMatchObject({ label: expect.stringContaining(`${day} 00:00`) })
    expect(rows.at(-1)).toMatchObject({ label: expect.stringContaining(`${day} 23:00`) })
  })

  it('begins and ends within hours and days', async () => {
    const query = 'from=2026-10-01T10:20:00Z&to=2026-10-01T12:10:00Z&timezone=Asia/Kathmandu'
    const { rows } = await report('Fin', `group_by=hour&${query}`)
    expect(rows.map(({ label }) => label)).toEqual(['2026-10-01 16:00+05:45', '2026-10-01 17:00+05:45'])
    expect((await report('Fin', `group_by=day&${query}`)).rows.map(({ key }) => key)).toEqual(['2026-10-01'])
  })

  const faults = [
    ['', 'group_by'],
    ['group_by=colour', 'group_by'],
    ['group_by=user&from=yesterday', 'from'],
    ['group_by=user&from=2026-02-30', 'from'],
    ['group_by=user&from=2026-10-01T00:00:00', 'from'],
    ['group_by=user&from=0000-01-01', 'from'],
    ['group_by=user&to=2026-13-01', 'to'],
    ['group_by=user&from=2026-10-02&to=2026-10-02', 'to'],
    ['group_by=user&from=9999-01-01', 'from'],
    ['group_by=user&to=9999-12-31T23:59:59-14:00', 'to'],
    ['group_by=user&timezone=Mars/Olympus', 'timezone'],
    ['group_by=user&timezone=CET', 'timezone'],
    ['group_by=user&timezone=FOO-5', 'timezone'],
    ['group_by=user&timezone=%2B02:00', 'timezone'],
    ['group_by=user&user_id=bob', 'user_id'],
    ['group_by=user&department=', 'department'],
    ['group_by=user&format=xml', 'format'],
    ['group_by=hour&from=2024-01-01&to=2026-01-01', 'from'],
  ] as const
  it.each(faults)('answers 400 to ?%s', async (query, path) => {
    const answer = await send(api.app, `GET /costs?${query}`, { token: tokens['Fin'] })
    expectProblem(answer, 400, 'invalid_request')
    expect([...new Set(answer.body.errors.map((error) => error.path))]).toEqual([path])
  })
})

describe('GET /costs: departments', () => {
  it('splits a month at the moment at which somebody moved', async () => {
    const token = await userToken('Max', { department: 'sales' })
    const id = await userId(api.app, token)
    await call('Max', '2026-05-03T10:00:00Z', [used('large', '0.7')])
    const { status } = await send(api.app, `PATCH /users/${id}`, {
      token: tokens['Ada'],
      body: { department: 'research' },
    })
    expect(status).toBe(200)
    await call('Max', '2026-05-20T10:00:00Z', [used('large', '0.7')])
    await call('Max', '2026-05-21T10:00:00Z', [used('large', '0.7')])
    const may = `from=2026-05-01&to=2026-06-01&user_id=${id}`
    expect(costs((await report('Fin', `group_by=department&${may}`)).rows)).toEqual({
      research: '1.4',
      sales: '0.7',
    })
    expect((await report('Fin', `group_by=user&${may}`)).rows).toMatchObject([
      { label: 'Max', department: 'research', cost: '2.1' },
    ])
  })
})

const file = async (query: string) => {
  const response = await api.app.request(`/api/mcp/costs?format=csv&${query}`, {
    headers: { authorization: `Bearer ${tokens['Fin']}` },
  })
  expect(response.status).toBe(200)
  return { headers: response.headers, table: parseTable(await response.text()) }
}

describe('GET /costs as CSV', () => {
  it.each(['user', 'department', 'client', 'tool', 'model', 'day', 'hour'])(
    'says what the JSON says of each %s',
    async (group) => {
      const { rows, total, period } = await report('Fin', `group_by=${group}&${OCTOBER}`)
      const { table } = await file(`group_by=${group}&${OCTOBER}`)
      expect(table.rows).toEqual(rows.map((row) => asCells(table.header, row)))
      expect(table.total).toEqual(asCells(table.header, { key: 'Total', ...total }))
      expect(table.period.slice(0, 4)).toEqual(['Period', period.start, period.end, 'UTC'])
    },
  )

  it('is a file that says what it holds', async () => {
    const { headers, table } = await file(`group_by=user&${OCTOBER}&timezone=Europe/Berlin`)
    expect(headers.get('content-type')).toMatch(/^text\/csv; charset=utf-8/)
    expect(headers.get('content-disposition')).toBe(
      'attachment; filename="costs-by-user-2026-10-01-to-2026-10-31.csv"',
    )
    expect(headers.get('cache-control')).toBe('no-store')
    expect(table.header.join()).toBe(
      'key,label,email,name,department,calls,success,errors,prompt_tokens,completion_tokens,total_tokens,cost,unpriced_calls,estimated_calls',
    )
  })

  it('runs nothing that a tool or a user wrote', async () => {
    await call('Alice', '2026-06-01T10:00:00Z', [used('=cmd|calc', '1')], '@SUM(1+1),"x"')
    const june = 'from=2026-06-01&to=2026-07-01'
    expect((await file(`group_by=tool&${june}`)).table.rows).toMatchObject([
      { key: `'@SUM(1+1),"x"`, cost: '1' },
    ])
    expect((await file(`group_by=model&${june}`)).table.rows).toMatchObject([{ key: "'=cmd|calc" }])
  })
})
