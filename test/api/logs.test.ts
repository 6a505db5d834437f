import { beforeAll, describe, expect, it } from 'vitest'
import type { LoggedCall } from '../../src/reports/logs-rows.ts'
import { type Person, usePeople, writeCalls } from '../reports/call-rows.ts'
import { parseTable } from '../support/csv.ts'
import { ago, expectProblem, MOMENT, refusesStrangers, send, useApi, writeSession } from './support.ts'

const api = useApi()
const people = usePeople(api)
let archons: string

beforeAll(async () => {
  const [alice, carl, fin] = [people.id('Alice'), people.id('Carl'), people.id('Fin')]
  // A user whom only Archon knew, and a client whose name is none of the seed's.
  const zoe = { user_id: crypto.randomUUID(), user_email: 'zoë@example.com', user_name: 'Zoë Ärmel' }
  archons = await writeSession(api.sql, { ...zoe, client_type: 'my agent' })
  const nobodys = await writeSession(api.sql, { client_type: 'Claude Code' })
  await writeCalls(
    api.sql,
    { tool_name: 'search', user_id: alice, timestamp: ago(10), client_type: 'Cursor', department: 'sales' },
    { tool_name: 'a%b', user_id: alice, timestamp: ago(20), status: 'timeout', duration_ms: 5 },
    { tool_name: 'axb', user_id: alice, timestamp: ago(30), status: 'error', error_message: 'Disk\\FULL_1' },
    { tool_name: 'open', user_id: alice, timestamp: ago(35), status: 'open' },
    {
      kind: 'api',
      tool_name: 'write',
      user_id: carl,
      timestamp: ago(40),
      cost: '0.0000000001',
      prompt_tokens: 2,
    },
    { tool_name: 'of Fin', user_id: fin, timestamp: ago(50) },
    { kind: null, tool_name: 'of Zoë', session_id: archons, timestamp: ago(60), estimated_cost: '0.0105' },
    { kind: null, method: 'tools/list', session_id: nobodys, timestamp: ago(70), prompt_tokens: null },
    { tool_name: 'of nobody', timestamp: ago(80) },
  )
})

interface Logs {
  logs: LoggedCall[]
  pagination: { total: number; limit: number; offset: number; has_more: boolean }
  next_cursor?: string
}
const list = async (who: Person, query = '') =>
  (await send(api.app, `GET /logs${query}`, { token: people.token(who) })).body as unknown as Logs
const file = async (who: Person, query = '') =>
  await api.app.request(`/api/mcp/logs?format=csv${query}`, {
    headers: { authorization: `Bearer ${people.token(who)}` },
  })
const named = (logs: LoggedCall[]) => logs.map(({ tool_name, method }) => tool_name ?? method).join(', ')

const ALICES = 'search, a%b, axb'
const EVERY = `${ALICES}, write, of Fin, of Zoë, tools/list, of nobody`

describe('GET /logs', () => {
  refusesStrangers(api, 'GET /logs')

  it('tells the calls that have ended, newest first, each with its user and its level', async () => {
    const { logs, pagination } = await list('Ada')
    expect(pagination).toEqual({ total: 8, limit: 100, offset: 0, has_more: false })
    expect(named(logs)).toBe(EVERY)
    expect(logs.map(({ level }) => level)).toEqual([
      'info',
      'warning',
      'error',
      ...Array.from({ length: 5 }, () => 'info'),
    ])
    const call = {
      request_id: expect.any(String),
      timestamp: MOMENT,
      method: 'tools/call',
      status: 'success',
    }
    const nothing = {
      prompt_tokens: 0,
      completion_tokens: 0,
      total_tokens: 0,
      cost: '0',
      estimated_cost: '0',
    }
    expect(logs[0]).toEqual({
      ...call,
      ...nothing,
      level: 'info',
      kind: 'mcp',
      tool_name: 'search',
      user_id: people.id('Alice'),
      user_email: 'alice@example.com',
      user_name: 'Alice',
      department: 'sales',
      client_type: 'Cursor',
    })
    expect(logs[3]).toMatchObject({ total_tokens: 2, cost: '0.0000000001', estimated_cost: '0' })
    expect(logs[5]).toEqual({
      ...call,
      ...nothing,
      level: 'info',
      tool_name: 'of Zoë',
      session_id: archons,
      user_id: expect.any(String),
      user_email: 'zoë@example.com',
      user_name: 'Zoë Ärmel',
      client_type: 'Unknown',
      cost: '0.0105',
      estimated_cost: '0.0105',
    })
    expect(logs[6]).toMatchObject({ client_type: 'Claude', total_tokens: 0 })
    expect(logs[7]).toEqual({ ...call, ...nothing, level: 'info', kind: 'mcp', tool_name: 'of nobody' })
  })

  const cases: { who: Person; query?: string; sees: string }[] = [
    { who: 'Alice', sees: ALICES },
    { who: 'Bob', sees: '' },
    { who: 'Mia', sees: ALICES },
    { who: 'Max', sees: '' },
    { who: 'Fin', sees: 'of Fin' },
    { who: 'service', sees: EVERY },
    { who: 'Ada', query: 'level=warning', sees: 'a%b' },
    { who: 'Ada', query: 'level=error', sees: 'axb' },
    { who: 'Alice', query: 'level=info', sees: 'search' },
    { who: 'Ada', query: 'search=SEARCH', sees: 'search' },
    { who: 'Ada', query: 'search=tools/LIST', sees: 'tools/list' },
    { who: 'Ada', query: 'search=disk', sees: 'axb' },
    { who: 'Ada', query: 'search=my+agent', sees: 'of Zoë' },
    { who: 'Ada', query: 'search=claude+code', sees: 'tools/list' },
    { who: 'Ada', query: 'search=carl@', sees: 'write' },
    { who: 'Ada', query: 'search=ZOË@', sees: 'of Zoë' },
    { who: 'Ada', query: 'search=Zoë+ÄRM', sees: 'of Zoë' },
    // What means something in a pattern is a character like any other.
    { who: 'Ada', query: 'search=a%25b', sees: 'a%b' },
    { who: 'Ada', query: 'search=%25', sees: 'a%b' },
    { who: 'Ada', query: 'search=a_b', sees: '' },
    { who: 'Ada', query: 'search=_', sees: 'axb' },
    { who: 'Ada', query: 'search=\\', sees: 'axb' },
    { who: 'Ada', query: "search='", sees: '' },
    { who: 'Ada', query: 'search=', sees: EVERY },
    // Words of two columns are not one text.
    { who: 'Ada', query: 'search=searchcursor', sees: '' },
    { who: 'Alice', query: 'search=carl', sees: '' },
    { who: 'Mia', query: 'search=alice&level=info', sees: 'search' },
    { who: 'Fin', query: 'search=alice', sees: '' },
    { who: 'Ada', query: 'user_id=Alice', sees: ALICES },
    { who: 'Ada', query: 'user_id=Alice&tool=axb', sees: 'axb' },
    { who: 'Ada', query: 'session_id=archons', sees: 'of Zoë' },
    { who: 'Ada', query: 'tool=tools/list', sees: 'tools/list' },
    { who: 'Ada', query: 'kind=api', sees: 'write' },
    { who: 'Alice', query: 'kind=api', sees: '' },
    { who: 'Ada', query: 'kind=mcp', sees: EVERY.replace(' write,', '') },
    { who: 'Fin', query: 'user_id=Alice', sees: '' },
    { who: 'Ada', query: 'from=2020-01-01&timezone=Asia/Kathmandu', sees: EVERY },
    { who: 'Ada', query: 'to=2020-01-01', sees: '' },
  ]
  it.each(cases)('shows $who "$sees" for $query, as CSV too', async ({ who, query = '', sees }) => {
    const path = query.replace('=Alice', `=${people.id('Alice')}`).replace('=archons', `=${archons}`)
    const { logs, pagination } = await list(who, `?${path}`)
    expect(named(logs)).toBe(sees)
    expect(pagination).toMatchObject({ total: logs.length, has_more: false })
    const { rows, total } = parseTable(await (await file(who, `&${path}`)).text())
    expect(rows.map(({ request_id }) => request_id)).toEqual(logs.map(({ request_id }) => request_id))
    expect(total).toMatchObject({ request_id: 'Total', timestamp: String(logs.length) })
  })

  it('filters by a period from its first moment up to, and not with, its end', async () => {
    const [first, second] = (await list('Alice')).logs
    const query = `?from=${second?.timestamp}&to=${first?.timestamp}`
    // Moments are told in ms and kept in µs.
    expect(named((await list('Alice', query)).logs)).toBe('a%b')
  })
})

describe('GET /logs: pages', () => {
  it('skips an offset, as Archon pages, of what matches', async () => {
    const pages = [
      { offset: 0, sees: ALICES, more: true },
      { offset: 3, sees: 'write, of Fin, of Zoë', more: true },
      { offset: 6, sees: 'of nobody', more: false },
      { offset: 999_999_999, sees: '', more: false },
    ]
    for (const { offset, sees, more } of pages) {
      const body = await list('Ada', `?search=tools/call&limit=3&offset=${offset}`)
      expect(named(body.logs)).toBe(sees)
      expect(body.pagination).toEqual({ total: 7, limit: 3, offset, has_more: more })
      expect('next_cursor' in body).toBe(more)
    }
  })

  it('walks every call exactly once by cursor, though many are of one moment and new ones arrive', async () => {
    const user_id = people.id('Bob')
    await api.sql`
      insert into archon_mcp_requests (request_id, kind, method, user_id, timestamp)
      select gen_random_uuid(), 'mcp', 'tools/call', ${user_id},
             date_trunc('second', now()) - (n / 4) * interval '1 microsecond'
      from generate_series(1, 23) as n`
    const rows = await api.sql<{ request_id: string }[]>`
      select request_id from archon_mcp_requests where user_id = ${user_id}
      order by timestamp desc, request_id desc`
    const seen: string[] = []
    let from = ''
    for (let arrived = 1; ; arrived++) {
      const { logs, pagination, next_cursor } = await list('Bob', `?limit=5${from}`)
      seen.push(...logs.map(({ request_id }) => request_id))
      expect(pagination).toMatchObject({ total: 22 + arrived, has_more: next_cursor !== undefined })
      if (next_cursor === undefined) break
      from = `&cursor=${next_cursor}`
      await writeCalls(api.sql, { user_id })
    }
    expect(seen).toEqual(rows.map(({ request_id }) => request_id))
    await api.sql`delete from archon_mcp_requests where user_id = ${user_id}`
  })

  const wrong = [
    'limit=0',
    'limit=1001',
    'level=fatal',
    'offset=-1',
    'offset=',
    'session_id=x',
    'tool=',
    'kind=x',
  ]
  it.each([...wrong, 'cursor=x', 'format=xml', 'search=%00', 'from=soon', `search=${'x'.repeat(256)}`])(
    'answers 400 to %s',
    async (query) => {
      const answer = await send(api.app, `GET /logs?${query}`, { token: people.token('Ada') })
      expectProblem(answer, 400, 'invalid_request')
      expect(answer.body.errors[0]).toEqual({ path: query.split('=')[0], message: expect.any(String) })
    },
  )

  it('answers 400 to an offset from a cursor', async () => {
    const { next_cursor } = await list('Ada', '?limit=1')
    const answer = await send(api.app, `GET /logs?offset=1&cursor=${next_cursor}`, {
      token: people.token('Ada'),
    })
    expectProblem(answer, 400, 'invalid_request')
    expect(answer.body.errors).toEqual([{ path: 'offset', message: 'does not go with a cursor' }])
  })
})

describe('GET /logs?format=csv', () => {
  it('has what the JSON has, in every row', async () => {
    const response = await file('Ada')
    expect(response.headers.get('content-type')).toMatch(/^text\/csv/)
    expect(response.headers.get('content-disposition')).toContain('calls.csv')
    const { header, rows, period } = parseTable(await response.text())
    const { logs } = await list('Ada')
    const told = logs.map((log) =>
      Object.fromEntries(header.map((name) => [name, String(log[name as keyof LoggedCall] ?? '')])),
    )
    expect(rows).toEqual(told)
    expect(header).toEqual(expect.arrayContaining([...new Set(logs.flatMap((log) => Object.keys(log)))]))
    expect(period.slice(0, 4)).toEqual(['Period', '', MOMENT, 'UTC'])
  })

  it('has every call once, over many pages, and none that begins meanwhile', async () => {
    const user_id = people.id('Max')
    await api.sql`
      insert into archon_mcp_requests (request_id, kind, method, user_id, error_message, timestamp)
      select gen_random_uuid(), 'mcp', 'tools/call', ${user_id}, '=1+1, "n" ' || n,
             now() - interval '1 hour' - (n / 3) * interval '1 microsecond'
      from generate_series(1, 2500) as n`
    const response = await file('Max')
    const reader = response.body!.getReader()
    const decoder = new TextDecoder()
    let text = decoder.decode((await reader.read()).value, { stream: true })
    await writeCalls(api.sql, { user_id })
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += decoder.decode(part.value, { stream: true })
    }
    const { rows, total } = parseTable(text)
    const expected = await api.sql<{ request_id: string; error_message: string }[]>`
      select request_id, '''' || error_message as error_message from archon_mcp_requests
      where user_id = ${user_id} and error_message is not null
      order by timestamp desc, request_id desc`
    expect(rows.map(({ request_id, error_message }) => ({ request_id, error_message }))).toEqual([
      ...expected,
    ])
    expect(total['timestamp']).toBe('2500')
    await api.sql`delete from archon_mcp_requests where user_id = ${user_id}`
  })
})
