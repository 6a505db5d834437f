import { beforeAll, describe, expect, it } from 'vitest'
import {
  ago,
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
let alice: string
beforeAll(async () => {
  Object.assign(tokens, {
    Alice: await userToken('Alice', { department: 'sales' }),
    Bob: await userToken('Bob', { department: 'sales' }),
    'manager of sales': await userToken('Mia', { department: 'sales', role: 'manager' }),
    'manager of research': await userToken('Max', { department: 'research', role: 'manager' }),
    finance: await userToken('Fin', { role: 'finance' }),
    admin: await userToken('Ada', { role: 'admin' }),
    service: await serviceToken(),
  })
  alice = await userId(api.app, tokens['Alice']!)
})

const get = (who: string, id: string, query = '') =>
  send(api.app, `GET /sessions/${id}${query}`, { token: tokens[who] })
const end = (who: string, id: string) => send(api.app, `DELETE /sessions/${id}`, { token: tokens[who] })
const endOf = async (id: string) =>
  (await api.sql`select status, disconnect_reason from archon_mcp_sessions where session_id = ${id}`)[0]

async function writeCalls(session_id: string, count: number, row: Record<string, unknown> = {}) {
  const [session] = await api.sql`
    select user_id, department from archon_mcp_sessions where session_id = ${session_id}`
  const calls = Array.from({ length: count }, () => ({
    ...session,
    session_id,
    kind: 'mcp',
    method: 'tools/call',
    ...row,
  }))
  await api.sql`insert into archon_mcp_requests ${api.sql(calls)}`
}

const othersOf = (headers: Headers) => [...headers].filter(([name]) => name !== 'x-request-id')

describe('GET /sessions/:id', () => {
  refusesStrangers(api, 'GET /sessions/550e8400-e29b-41d4-a716-446655440000')

  it('tells a session with its calls, newest first, and what they used', async () => {
    const id = await writeSession(api.sql, {
      user_id: alice,
      user_email: 'alice@example.com',
      client_type: 'Claude Code',
      client_name: 'Claude Code',
      era: '2025-11-25',
      protocol_version: '2025-11-25',
      metadata: { name: 'Claude Code' },
    })
    const used = { prompt_tokens: 10, completion_tokens: 5, cost: '0.0000000001' }
    await writeCalls(id, 1, {
      ...used,
      tool_name: 'search',
      status: 'success',
      timestamp: ago(30),
      duration_ms: 12,
    })
    await writeCalls(id, 1, { status: 'error', error_message: 'it failed', timestamp: ago(20), cost: '0.25' })
    const { status, body } = await get('Alice', id)
    expect(status).toBe(200)
    const moment = expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/)
    const call = {
      request_id: expect.any(String),
      session_id: id,
      kind: 'mcp',
      method: 'tools/call',
      timestamp: moment,
    }
    expect(body).toEqual({
      session: {
        session_id: id,
        client_type: 'Claude',
        client_name: 'Claude Code',
        metadata: { name: 'Claude Code' },
        era: '2025-11-25',
        protocol_version: '2025-11-25',
        connected_at: moment,
        last_activity: moment,
        status: 'active',
        timeout_seconds: 86_400,
        user_id: alice,
        user_email: 'alice@example.com',
      },
      requests: [
        {
          ...call,
          status: 'error',
          error_message: 'it failed',
          prompt_tokens: 0,
          completion_tokens: 0,
          total_tokens: 0,
          cost: '0.25',
          estimated_cost: '0.25',
        },
        {
          ...call,
          tool_name: 'search',
          status: 'success',
          duration_ms: 12,
          prompt_tokens: 10,
          completion_tokens: 5,
          total_tokens: 15,
          cost: '0.0000000001',
          estimated_cost: '0',
        },
      ],
      summary: {
        total_requests: 2,
        total_prompt_tokens: 10,
        total_completion_tokens: 5,
        total_tokens: 15,
        total_cost: '0.2500000001',
      },
    })
  })

  it('sums up all calls, of which it lists a hundred at a time, and no open ones', async () => {
    const id = await writeSession(api.sql, { user_id: alice })
    const used = { prompt_tokens: 3, completion_tokens: 2, cost: '0.0000000007', timestamp: ago(60) }
    await writeCalls(id, 150, { ...used, status: 'success' })
    await writeCalls(id, 7, { ...used, status: 'timeout' })
    await writeCalls(id, 4, { ...used, status: 'open', timestamp: ago(1) })
    const first = (await get('Alice', id)).body
    const second = (await get('Alice', id, `?cursor=${first.next_cursor}`)).body
    expect(first.requests?.slice(0, 5).map(({ status }) => status)).toEqual([
      ...Array.from({ length: 4 }, () => 'open'),
      expect.not.stringMatching('open'),
    ])
    expect([first.requests?.length, second.requests?.length, second.next_cursor]).toEqual([
      100,
      61,
      undefined,
    ])
    const listed = [...(first.requests ?? []), ...(second.requests ?? [])]
    expect(new Set(listed.map(({ request_id }) => request_id)).size).toBe(161)
    for (const { summary } of [first, second]) {
      expect(summary).toEqual({
        total_requests: 157,
        total_prompt_tokens: 471,
        total_completion_tokens: 314,
        total_tokens: 785,
        total_cost: '0.0000001099',
      })
    }
  })

  it('counts rows of other writers by the columns that they know', async () => {
    const id = await writeSession(api.sql, { user_id: alice })
    const archon = { session_id: id, method: 'tools/call', estimated_cost: '0.010500', prompt_tokens: 100 }
    await api.sql`insert into archon_mcp_requests ${api.sql({ ...archon, completion_tokens: null })}`
    const { body } = await get('Alice', id)
    expect(body.requests).toMatchObject([{ cost: '0.0105', estimated_cost: '0.0105', total_tokens: 100 }])
    expect(body.summary).toMatchObject({ total_tokens: 100, total_cost: '0.0105' })
  })

  const viewers = [
    { who: 'Alice', sees: 'all' },
    { who: 'manager of sales', sees: 'all' },
    { who: 'admin', sees: 'all' },
    { who: 'service', sees: 'all' },
    { who: 'finance', sees: 'sums' },
    { who: 'Bob', sees: 'nothing' },
    { who: 'manager of research', sees: 'nothing' },
  ]
  it.each(viewers)("shows $who $sees of Alice's", async ({ who, sees }) => {
    const id = await writeSession(api.sql, { user_id: alice })
    await writeCalls(id, 1)
    const answer = await get(who, id)
    if (sees === 'nothing') return expectProblem(answer, 404, 'session_not_found')
    expect(answer.body.summary.total_requests).toBe(1)
    expect(answer.body.requests?.length).toBe(sees === 'all' ? 1 : undefined)
    expect('requests' in answer.body).toBe(sees === 'all')
  })

  it('shows finance the calls of its own session', async () => {
    const id = await writeSession(api.sql, { user_id: await userId(api.app, tokens['finance']!) })
    await writeCalls(id, 1)
    expect((await get('finance', id)).body.requests).toHaveLength(1)
  })

  it('answers 404 in the same words to an id that is unknown, malformed or of somebody else', async () => {
    const foreign = await writeSession(api.sql, { user_id: crypto.randomUUID() })
    const nobodys = await writeSession(api.sql)
    const ids = [crypto.randomUUID(), 'x', '%00', foreign, nobodys]
    for (const act of [get, end]) {
      const answers = await Promise.all(ids.map((id) => act('Alice', id)))
      for (const answer of answers) {
        expectProblem(answer, 404, 'session_not_found')
        expect({ ...answer.body, request_id: '' }).toEqual({ ...answers[0]!.body, request_id: '' })
        expect(othersOf(answer.headers)).toEqual(othersOf(answers[0]!.headers))
      }
    }
    expect(await endOf(foreign)).toMatchObject({ status: 'active' })
  })

  it('answers 400 to a wrong limit or cursor', async () => {
    const id = await writeSession(api.sql, { user_id: alice })
    expectProblem(await get('Alice', id, '?limit=101'), 400, 'invalid_request')
    expectProblem(await get('Alice', id, '?cursor=x'), 400, 'invalid_request')
  })
})

describe('DELETE /sessions/:id', () => {
  refusesStrangers(api, 'DELETE /sessions/550e8400-e29b-41d4-a716-446655440000')

  const enders = [
    { who: 'Alice', status: 204, reason: 'client_disconnect' },
    { who: 'admin', status: 204, reason: 'admin' },
    { who: 'service', status: 204, reason: 'admin' },
    { who: 'manager of sales', status: 403, reason: null },
    { who: 'finance', status: 403, reason: null },
    { who: 'Bob', status: 404, reason: null },
    { who: 'manager of research', status: 404, reason: null },
  ]
  it.each(enders)("answers $who with $status for Alice's", async ({ who, status, reason }) => {
    const id = await writeSession(api.sql, { user_id: alice })
    const answer = await end(who, id)
    expect(answer.status).toBe(status)
    expect(await endOf(id)).toEqual({
      status: reason === null ? 'active' : 'disconnected',
      disconnect_reason: reason,
    })
  })

  it('writes the end whole', async () => {
    const id = await writeSession(api.sql, { user_id: alice, connected_at: ago(600) })
    expect((await end('Alice', id)).status).toBe(204)
    const { session } = (await get('Alice', id)).body
    expect(session).toMatchObject({ status: 'disconnected', disconnect_reason: 'client_disconnect' })
    const lasted = Date.parse(session.disconnected_at!) - Date.parse(session.connected_at)
    expect(session.total_duration).toBe(Math.round(lasted / 1000))
    expect(lasted).toBeGreaterThanOrEqual(600_000)
    const row = await api.sql`
      select from archon_mcp_sessions
      where session_id = ${id}
        and status = 'disconnected'
        and total_duration = extract(epoch from disconnected_at - connected_at)::integer`
    expect(row).toHaveLength(1)
  })

  it('takes the name of another route for an unknown id', async () => {
    for (const name of ['health', 'disconnected']) {
      expectProblem(await end('admin', name), 404, 'session_not_found')
    }
  })

  it('lets everybody end their own', async () => {
    for (const who of ['manager of sales', 'finance', 'admin']) {
      const id = await writeSession(api.sql, { user_id: await userId(api.app, tokens[who]!) })
      expect((await end(who, id)).status).toBe(204)
      expect(await endOf(id)).toMatchObject({ disconnect_reason: 'client_disconnect' })
    }
  })

  it('answers 204 again, and changes nothing, when the session has ended or run out', async () => {
    const ended = await writeSession(api.sql, { user_id: alice })
    expect((await end('Alice', ended)).status).toBe(204)
    expect((await end('Alice', ended)).status).toBe(204)
    expect((await end('admin', ended)).status).toBe(204)
    expect(await endOf(ended)).toMatchObject({ disconnect_reason: 'client_disconnect' })
    const ranOut = await writeSession(api.sql, {
      user_id: alice,
      last_activity: ago(100),
      timeout_seconds: 60,
    })
    expect((await end('Alice', ranOut)).status).toBe(204)
    expect(await endOf(ranOut)).toEqual({ status: 'active', disconnect_reason: null })
    expect((await get('Alice', ranOut)).body.session).toMatchObject({
      status: 'disconnected',
      disconnect_reason: 'timeout',
    })
  })
})
