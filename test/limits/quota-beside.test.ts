// quota() beside the other pieces: what each of them asks, records and holds when they are mounted together.
import { type Handler, Hono, type MiddlewareHandler } from 'hono'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { userContext } from '../../src/auth/user-context.ts'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { rateLimit } from '../../src/limits/rate-limit.ts'
import { mcpUserContext } from '../../src/mcp-user-context.ts'
import { quota } from '../../src/quota.ts'
import { session } from '../../src/sessions/session.ts'
import { meter } from '../../src/usage/meter.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { counting } from '../support/ledger.ts'
import { callTool, initialize, optionsFor, post, tokenFor } from '../support/mcp.ts'
import { budgetsOf, putQuota } from '../support/quotas.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())
// Budgets begin from the calls that are there.
beforeEach(async () => {
  await database.owner`delete from archon_mcp_quotas`
  await database.owner`delete from archon_mcp_requests`
})

const answer: Handler = (c) => c.json({ jsonrpc: '2.0', id: 1, result: { content: [] } })

/** How two calls of a user are answered behind these middlewares. */
async function twoCalls(...middlewares: MiddlewareHandler[]): Promise<Response[]> {
  const app = new Hono()
  for (const middleware of middlewares) app.use('/mcp', middleware)
  app.all('/mcp', answer)
  const token = await tokenFor(`user-${crypto.randomUUID()}`)
  const { headers } = await app.request('/mcp', post(initialize(), { token }))
  const session = headers.get('mcp-session-id') ?? undefined
  const first = await app.request('/mcp', post(callTool('echo'), { token, session }))
  const second = await app.request('/mcp', post(callTool('whoami'), { token, session }))
  await ledgerOf(database.sql).drained()
  return [first, second]
}
const statusesOf = (responses: Response[]) => responses.map(({ status }) => status)
const user = () => userContext(optionsFor(database.sql))

describe('a meter()', () => {
  it('after it records nothing more, and the budget holds', async () => {
    const { sql } = database
    const id = await putQuota(sql, { limit: 1 })
    expect(statusesOf(await twoCalls(user(), quota({ sql }), meter({ sql })))).toEqual([200, 429])
    expect(await budgetsOf(sql, id)).toMatchObject([{ used: '1', held: '0' }])
    const rows = await sql`select tool_name, status from archon_mcp_requests where counted`
    expect([...rows]).toEqual([{ tool_name: 'echo', status: 'success' }])
  })

  it('before it is a mistake, since the calls are on record before anybody judges them', async () => {
    const log = vi.spyOn(console, 'error').mockReturnValue()
    const { sql } = database
    expect(statusesOf(await twoCalls(user(), meter({ sql }), quota({ sql })))).toEqual([500, 500])
    expect(String(log.mock.calls[0])).toContain('quota(): mount it before meter(), or in its place')
    log.mockRestore()
  })
})

describe('behind mcpUserContext()', () => {
  it('asks nothing again, and the call counts once', async () => {
    const id = await putQuota(database.sql, { limit: 2 })
    const { sql, statements } = counting(database.sql)
    expect(statusesOf(await twoCalls(mcpUserContext(optionsFor(database.sql)), quota({ sql })))).toEqual([
      200, 200,
    ])
    expect(statements()).toBe(0)
    expect(await budgetsOf(database.sql, id)).toMatchObject([{ used: '2', held: '0' }])
  })
})

describe('a session()', () => {
  it('before it gives the call its session', async () => {
    await putQuota(database.sql, { limit: 1 })
    const { sql } = database
    expect(statusesOf(await twoCalls(user(), session({ sql }), quota({ sql })))).toEqual([200, 429])
    const rows = await sql`
      select tool_name, client_name from archon_mcp_requests join archon_mcp_sessions using (session_id) where counted`
    expect([...rows]).toEqual([{ tool_name: 'echo', client_name: 'Claude Code' }])
  })
})

const beside = (): MiddlewareHandler[] => [
  user(),
  rateLimit({ sql: database.sql, limit: 50, windowSeconds: 3600 }),
  quota({ sql: database.sql }),
]

describe('a rateLimit()', () => {
  it('before it tells of the rate, and of the budget', async () => {
    await putQuota(database.sql, { limit: 9 })
    const [first] = await twoCalls(...beside())
    expect(first!.headers.get('ratelimit')).toMatch(/"rate";r=49;/)
    expect(first!.headers.get('ratelimit')).toMatch(/"requests-day";r=8;/)
  })

  it('before it counts a call once by a rate in the database', async () => {
    await putQuota(database.sql, { scope: 'each_user', limit: 2, windowSeconds: 3600 })
    expect(statusesOf(await twoCalls(...beside()))).toEqual([200, 200])
  })
})

describe('a rate of mcpUserContext()', () => {
  it('is not spent by a call that a budget refuses: all or nothing', async () => {
    await putQuota(database.sql, { limit: 0, tools: ['echo'] })
    const limits = mcpUserContext({
      ...optionsFor(database.sql),
      rateLimit: { limit: 1, windowSeconds: 3600 },
    })
    expect(statusesOf(await twoCalls(limits))).toEqual([429, 200])
  })
})
