// What calls are expected to use: mcpUserContext({ quota: { estimate, tools } }).
import type { Context } from 'hono'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import type { QuotaRule } from '../../src/limits/quota-rule.ts'
import type { McpUserContextOptions } from '../../src/mcp-user-context.ts'
import type { McpVariables } from '../../src/variables.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, modern, post, tokenFor } from '../support/mcp.ts'
import { type BudgetToPut, budgetsOf, differences, putQuota } from '../support/quotas.ts'

let database: TestDatabase
let user: string
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())
// Each test has budgets of its own, which begin from the calls that are there, and a user whom nobody refused yet.
beforeEach(async () => {
  await database.owner`delete from archon_mcp_quotas`
  await database.owner`delete from archon_mcp_requests`
  user = `user-${crypto.randomUUID()}`
})

type Answer = (c: Context<{ Variables: McpVariables }>) => void | Promise<void>

/** A server whose tools do this, behind limits that expect so much of a call. */
function server(quota: QuotaRule, during: Answer = () => {}) {
  const app = appWith(
    database.sql,
    async (c) => {
      await during(c)
      return c.json({ jsonrpc: '2.0', id: 1, result: { resultType: 'complete', content: [] } })
    },
    { quota },
  )
  return async (tool: string): Promise<Response> => {
    const { body, headers } = modern(callTool(tool))
    const response = await app.request('/mcp', post(body, { token: await tokenFor(user), headers }))
    await ledgerOf(database.sql).drained()
    return response
  }
}

const EXPECTED: QuotaRule = {
  estimate: { tokens: 100, cost: '0.10' },
  tools: { cheap: { estimate: { tokens: 1, cost: '0' } }, dear: { estimate: { cost: '0.50' } } },
}

describe('a call is admitted only if its estimate fits', () => {
  // The budget, the tool, and whether there is room for a call of it.
  const cases: [BudgetToPut, string, boolean][] = [
    [{ metric: 'tokens', limit: 100 }, 'any', true],
    [{ metric: 'tokens', limit: 99 }, 'any', false],
    [{ metric: 'tokens', limit: 99 }, 'cheap', true],
    [{ metric: 'tokens', limit: 100 }, 'dear', true],
    [{ metric: 'tokens', limit: 99 }, 'dear', false],
    [{ metric: 'cost', limit: '0.1' }, 'any', true],
    [{ metric: 'cost', limit: '0.0999999999' }, 'any', false],
    [{ metric: 'cost', limit: '0.0000000001' }, 'cheap', true],
    [{ metric: 'cost', limit: 0 }, 'cheap', false],
    [{ metric: 'cost', limit: '0.49' }, 'dear', false],
    [{ metric: 'cost', limit: '0.5' }, 'dear', true],
    // Models are known only afterwards, and hold nothing.
    [{ metric: 'cost', limit: '0.01', models: ['m'] }, 'dear', true],
    [{ metric: 'tokens', limit: 1, tools: ['other'] }, 'dear', true],
    [{ metric: 'tokens', limit: 1, mode: 'warn' }, 'dear', true],
    [{ metric: 'tokens', limit: 1, mode: 'observe' }, 'dear', true],
  ]
  it.each(cases)('%j, a call of %s: %s', async (budget, tool, admitted) => {
    await putQuota(database.sql, budget)
    expect((await server(EXPECTED)(tool)).status).toBe(admitted ? 200 : 429)
  })

  it('tools named as members of every object are like the others', async () => {
    await putQuota(database.sql, { metric: 'tokens', limit: 99 })
    const call = server(EXPECTED)
    for (const tool of ['constructor', '__proto__', 'toString']) expect((await call(tool)).status).toBe(429)
  })
})

describe('while a call runs its estimate is held, and when it has ended what it used is charged', () => {
  it('in full, though that is more: such excess is counted', async () => {
    const id = await putQuota(database.sql, { metric: 'tokens', limit: 270 })
    const seen: unknown[] = []
    const call = server(EXPECTED, async (c) => {
      seen.push((await budgetsOf(database.sql, id))[0])
      c.var.usage!.add({ promptTokens: 130 })
    })
    expect((await call('any')).headers.get('ratelimit')).toMatch(/^"tokens-day";r=170;/)
    expect((await call('any')).headers.get('ratelimit')).toMatch(/^"tokens-day";r=40;/)
    expect((await call('any')).status).toBe(429)
    expect((await call('cheap')).status).toBe(200)
    expect(seen).toMatchObject([
      { used: '0', held: '100' },
      { used: '130', held: '100' },
      { used: '260', held: '1' },
    ])
    expect(await budgetsOf(database.sql, id)).toMatchObject([
      { used: '390', held: '0', excess: '189', excess_calls: 3 },
    ])
    expect((await call('cheap')).status).toBe(429)
    expect(await differences(database.sql)).toEqual([])
  })

  it('and no more than it used, so that the rest is there again', async () => {
    const id = await putQuota(database.sql, { metric: 'cost', limit: '0.55' })
    const call = server(EXPECTED, (c) => c.var.usage!.add({ cost: '0.0000000001' }))
    expect((await call('dear')).status).toBe(200)
    expect((await call('dear')).status).toBe(200)
    expect(await budgetsOf(database.sql, id)).toMatchObject([
      { used: '0.0000000002', held: '0', excess: '0', excess_calls: 0 },
    ])
  })

  it('without an estimate, so that calls are refused when it is used up and not before', async () => {
    await putQuota(database.sql, { metric: 'tokens', limit: 10 })
    const call = server({}, (c) => c.var.usage!.add({ completionTokens: 9 }))
    expect([(await call('a')).status, (await call('a')).status, (await call('a')).status]).toEqual([
      200, 200, 429,
    ])
  })
})

/** Seconds from admission to the end of the hold, as the handler finds them. */
const heldFor = async (): Promise<number> => {
  const [row] = await database.sql<{ seconds: number }[]>`
    select extract(epoch from hold_expires_at - timestamp)::float8 as seconds
    from archon_mcp_requests where status = 'open'`
  return row!.seconds
}
describe('how long a call is held', () => {
  const holds: [string, Partial<McpUserContextOptions>, number][] = [
    ['five minutes by default', {}, 300],
    ['as long as all calls', { holdSeconds: 40 }, 40],
    [
      'as long as its tool says',
      { holdSeconds: 40, quota: { tools: { slow: { holdSeconds: 3600 } } } },
      3600,
    ],
    ['as long as all, though another tool says', { quota: { tools: { quick: { holdSeconds: 5 } } } }, 300],
  ]
  it.each(holds)('%s', async (_name, options, seconds) => {
    let held = 0
    const app = appWith(
      database.sql,
      async (c) => {
        held = await heldFor()
        return c.json({ jsonrpc: '2.0', id: 1, result: { content: [] } })
      },
      options,
    )
    const { body, headers } = modern(callTool('slow'))
    await app.request('/mcp', post(body, { token: await tokenFor(user), headers }))
    expect(held).toBe(seconds)
  })

  // What the tool asks for, and how long it is held then.
  const extensions: [number, number][] = [
    [3600, 3600],
    [90.5, 90.5],
    [1, 60],
  ]
  it.each(extensions)(
    'usage.hold(%d) holds it for as long from then, and never shorter',
    async (asked, seconds) => {
      let held = 0
      const call = server({ tools: { slow: { holdSeconds: 60 } } }, async (c) => {
        await c.var.usage!.hold(asked)
        held = await heldFor()
      })
      await call('slow')
      expect(held).toBeGreaterThanOrEqual(seconds)
      expect(held).toBeLessThan(seconds + 30)
    },
  )

  it.each([Number.NaN, -1, 1e12])('usage.hold(%d) is refused', async (asked) => {
    let thrown: unknown
    const call = server({}, async (c) => {
      thrown = await c.var.usage!.hold(asked).catch((error: unknown) => error)
    })
    await call('slow')
    expect(thrown).toBeInstanceOf(TypeError)
  })
})
