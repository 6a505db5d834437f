import { type Context, type Handler, Hono } from 'hono'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { userContext } from '../../src/auth/user-context.ts'
import type { Sql } from '../../src/db/client.ts'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { quota, type QuotaOptions } from '../../src/quota.ts'
import type { MeterVariables } from '../../src/variables.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { unreachable } from '../support/ledger.ts'
import { callTool, initialize, mcpHeaders, optionsFor, post, tokenFor } from '../support/mcp.ts'
import { budgetsOf, differences, putQuota } from '../support/quotas.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())
afterEach(() => {
  vi.useRealTimers()
})

const answer: Handler = (c) => c.json({ jsonrpc: '2.0', id: 1, result: { content: [] } })
/** What a handler finds where the kit put it. */
const usageOf = (c: Context) => (c.var as MeterVariables).usage

/** A REST route with budgets, and nothing else. */
const restApp = (
  options: Partial<QuotaOptions> = {},
  handler: Handler = (c) => c.text('a report'),
  sql?: Sql,
) =>
  new Hono()
    .use(userContext({ ...optionsFor(database.sql), refuse: 'problem' }))
    .use(quota({ sql: sql ?? database.sql, kind: 'api', ...options }))
    .get('/reports/:id', handler)

const mcpApp = (sql: Sql, options: Partial<QuotaOptions> = {}, handler = answer) =>
  new Hono().use('/mcp', userContext(optionsFor(sql)), quota({ sql, ...options })).all('/mcp', handler)

const get = async (app: Pick<ReturnType<typeof restApp>, 'request'>, user: string, path = '/reports/1') =>
  await app.request(path, { headers: mcpHeaders({ token: await tokenFor(user) }) })

/** Moves the clock until there is an answer. */
async function timeFliesUntil<T>(answer: Promise<T>): Promise<T> {
  for (;;) {
    const tick = vi.advanceTimersByTimeAsync(500).then(() => false)
    if (await Promise.race([answer.then(() => true), tick])) return await answer
  }
}

const callsOf = async (user: string) => {
  await ledgerOf(database.sql).drained()
  return [
    ...(await database.sql`
      select call.kind, call.method, call.tool_name as tool, call.status, call.counted,
             call.reserved_tokens::integer as reserved, call.total_tokens as tokens, trim_scale(call.cost)::text as cost
      from archon_mcp_requests as call join archon_mcp_users as u using (user_id)
      where u.name = ${user} order by call.timestamp, call.request_id`),
  ]
}

describe('quota() alone on a REST route', () => {
  it('tells what is left, and answers 429 as problem details when nothing is', async () => {
    await using own = await createTestDatabase()
    await putQuota(own.sql, { scope: 'each_user', limit: 1 })
    const app = restApp({}, undefined, own.sql)
    const first = await get(app, 'Reader')
    expect([first.status, await first.text()]).toEqual([200, 'a report'])
    expect(first.headers.get('ratelimit-policy')).toBe('"requests-day";q=1;w=86400')
    expect(first.headers.get('ratelimit')).toMatch(/^"requests-day";r=0;t=\d+$/)

    const refused = await get(app, 'Reader')
    expect(refused.status).toBe(429)
    expect(refused.headers.get('content-type')).toBe('application/problem+json')
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(refused.headers.get('ratelimit')).toMatch(/^"requests-day";r=0;t=\d+$/)
    expect(await refused.json()).toEqual({
      type: 'about:blank',
      title: 'A quota is used up',
      status: 429,
      detail: expect.stringMatching(/^Your budget of 1 request a day is used up and comes back at /),
      code: 'quota_exceeded',
      request_id: expect.any(String),
      kind: 'quota',
      scope: 'each_user',
      metric: 'requests',
      window: 'day',
      limit: 1,
      remaining: 0,
      reset_at: expect.any(String),
      retry_after_ms: expect.any(Number),
      elsewhere: [],
    })
    expect((await get(app, 'Another')).status).toBe(200)
  })

  it('records the request as a call, and charges what the handler reports', async () => {
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 1000, window: 'total' })
    const app = restApp({ tools: { 'GET /reports/:id': { estimate: { tokens: 100 } } } }, (c) => {
      usageOf(c).add({ model: 'm', promptTokens: 120, completionTokens: 30, cost: '0.25' })
      return c.text('a report')
    })
    expect(await (await get(app, 'Payer', '/reports/7')).text()).toBe('a report')
    const call = { kind: 'api', method: 'GET', tool: 'GET /reports/:id', status: 'success', counted: true }
    expect(await callsOf('Payer')).toEqual([{ ...call, reserved: 100, tokens: 150, cost: '0.25' }])
    expect(await budgetsOf(database.sql, id)).toMatchObject([
      { holder: 'everyone', used: '150', held: '0', excess: '50', excess_calls: 1 },
    ])
    expect(await differences(database.sql)).toEqual([])
  })

  it('does not run a handler that is refused, nor records it', async () => {
    await using own = await createTestDatabase()
    await putQuota(own.sql, { metric: 'cost', limit: '0.05' })
    let ran = 0
    const app = restApp({ estimate: { cost: '0.06' } }, (c) => c.text(`${(ran += 1)}`), own.sql)
    const refused = await get(app, 'Poor')
    expect(await refused.json()).toMatchObject({
      detail: expect.stringMatching(
        /^Everybody's budget of 0\.05 USD a day never has room for as much as this/,
      ),
      limit: '0.05',
      remaining: '0.05',
    })
    expect(ran).toBe(0)
    expect(await own.sql`select from archon_mcp_requests`).toHaveLength(0)
  })
})

describe('quota() alone on an MCP route', () => {
  it('counts each call of a batch, and leaves discovery alone', async () => {
    await using own = await createTestDatabase()
    const id = await putQuota(own.sql, { limit: 3 })
    const app = mcpApp(own.sql)
    const token = await tokenFor('Alice')
    const send = async (body: unknown) => await app.request('/mcp', post(body, { token }))
    const opened = await send(initialize())
    expect([opened.status, opened.headers.get('ratelimit')]).toEqual([200, null])
    expect((await send([callTool('a', {}, 1), callTool('b', {}, 2)])).headers.get('ratelimit')).toMatch(
      /;r=1;/,
    )
    const refused = await send([callTool('a', {}, 3), callTool('b', {}, 'four')])
    expect(refused.status).toBe(429)
    expect(await refused.json()).toMatchObject([
      { id: 3, error: { code: 42901 } },
      { id: 'four', error: { code: 42901 } },
    ])
    expect((await send(callTool('a'))).status).toBe(200)
    expect((await send(callTool('a'))).status).toBe(429)
    expect((await send(initialize())).status).toBe(200)
    await ledgerOf(own.sql).drained()
    expect(await budgetsOf(own.sql, id)).toMatchObject([{ used: '3', held: '0' }])
  })

  it('holds anonymous callers to the budgets of everyone alone', async () => {
    await using own = await createTestDatabase()
    await putQuota(own.sql, { scope: 'each_user', limit: 0 })
    await putQuota(own.sql, { scope: 'each_department', limit: 0 })
    const app = new Hono()
      .use('/mcp', userContext({ ...optionsFor(own.sql), required: false }), quota({ sql: own.sql }))
      .all('/mcp', answer)
    const ask = async (token?: string) => (await app.request('/mcp', post(callTool('a'), { token }))).status
    expect(await ask()).toBe(200)
    expect(await ask(await tokenFor('Known'))).toBe(429)
    await putQuota(own.sql, { limit: 0 })
    expect(await ask()).toBe(429)
  })

  it('answers 503 when the database is out of reach, and the handler does not run', async () => {
    let ran = false
    const app = mcpApp(unreachable(), {}, (c) => {
      ran = true
      return c.json({})
    })
    const request = post(callTool('a', {}, 8), { token: await tokenFor('Alice') })
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
    const response = await timeFliesUntil(Promise.resolve(app.request('/mcp', request)))
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2'])
    expect(await response.json()).toMatchObject({ id: 8, error: { data: { code: 'database_unavailable' } } })
    expect(ran).toBe(false)
  })
})

describe('wrong options stop the start, each fault named', () => {
  const cases: [string, Record<string, unknown>, string][] = [
    ['no database', { sql: undefined }, 'sql must be a postgres.js client, or a function that gives one'],
    ['half a token', { estimate: { tokens: 0.5 } }, 'estimate.tokens must be a whole number, got 0.5'],
    ['less than nothing', { estimate: { tokens: -1 } }, 'estimate.tokens must be a whole number, got -1'],
    [
      'money as a number',
      { estimate: { cost: 0.05 } },
      "estimate.cost must be USD as a decimal string such as '0.05', got 0.05",
    ],
    [
      'a wrong tool',
      { tools: { search: { estimate: { cost: '1e3' }, holdSeconds: 0 } } },
      "tools.search.estimate.cost must be USD as a decimal string such as '0.05', got 1e3; " +
        'tools.search.holdSeconds must be a positive integer, got 0',
    ],
    [
      'many',
      { estimate: { tokens: 2 ** 31 }, onLimit: 'shrug', holdSeconds: 1.5 },
      'estimate.tokens must be a whole number, got 2147483648; onLimit must be error, tool-error or jsonrpc, got shrug; ' +
        'holdSeconds must be a positive integer, got 1.5',
    ],
  ]
  it.each(cases)('%s', (_name, options, faults) => {
    const start = () => quota({ sql: database.sql, ...options })
    expect(start).toThrow(new TypeError(`quota: ${faults}`))
  })
})
