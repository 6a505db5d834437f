import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runLedger } from '../../src/ledger/statement.ts'
import type { AdmissionRequest, CallToClose, Verdict } from '../../src/ledger/types.ts'
import { rateDemand } from '../../src/limits/rate-rule.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, callOf, derived, JUDGED, requestBy, success } from '../support/ledger.ts'
import { differences, putQuota } from '../support/quotas.ts'
import { beyondCalls } from '../support/rollups.ts'

const NOW = new Date('2026-03-10T12:00:00Z')
const PER_MINUTE = rateDemand({ limit: 3, windowSeconds: 60 })

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
  const { sql } = database
  await putQuota(sql, { scope: 'each_user', metric: 'requests', limit: 5, window: 'day' }, NOW)
  await putQuota(sql, { scope: 'each_user', metric: 'tokens', limit: 10_000, window: 'month' }, NOW)
  await putQuota(sql, { scope: 'each_user', metric: 'cost', limit: '0.5', window: 'hour', mode: 'warn' }, NOW)
  await putQuota(
    sql,
    { scope: 'each_user', metric: 'cost', limit: '0.01', window: 'day', models: ['dear'], mode: 'observe' },
    NOW,
  )
  await sql`
    insert into archon_mcp_tool_prices (tool_name, effective_at, price) values ('render', ${new Date(0)}, 0.02)`
})
afterAll(() => database[Symbol.asyncDispose]())

/** What stands on record of a user, without what tells the user. */
async function recordOf(userId: string): Promise<unknown> {
  const [row] = await database.sql`
    select (
      select json_agg(to_jsonb(call) - '{request_id,user_id,session_id}'::text[] order by call.request_id)
      from archon_mcp_requests as call where call.user_id = ${userId}
    ) as calls, (
      select json_agg(to_jsonb(line) - 'request_id' order by line.request_id, line.model)
      from archon_mcp_usage as line
      join archon_mcp_requests as call on call.request_id = line.request_id and call.user_id = ${userId}
    ) as lines, (
      select json_agg(to_jsonb(budget) - '{key,holder}'::text[] order by budget.quota_id)
      from archon_mcp_budgets as budget where budget.holder = ${`user ${userId}`}
    ) as budgets, (
      select json_agg(cell.empty_at) from archon_mcp_rate_cells as cell where cell.key like ${`%user ${userId}`}
    ) as rates, (
      select json_agg(to_jsonb(total) - 'user_id') from archon_mcp_user_days as total where total.user_id = ${userId}
    ) as days, (
      select json_agg(to_jsonb(total) - 'user_id') from archon_mcp_user_totals as total where total.user_id = ${userId}
    ) as totals`
  return row
}

interface Shape {
  request?: Partial<AdmissionRequest>
  call?: Parameters<typeof callOf>[0]
  close?: Partial<CallToClose>
}
const used = (model: string, promptTokens: number, cost?: string) => ({
  usage: [{ model, promptTokens, completionTokens: 30, ...(cost === undefined ? {} : { cost }) }],
})
const shapes: Record<string, Shape> = {
  'one that reports nothing': {},
  'one whose model says what it cost': { close: used('gpt-4o-mini', 120, '0.003') },
  'one whose model has a price': { close: used('gpt-4o-mini', 120) },
  'one whose model has none': { close: used('homemade', 120) },
  'one with several models': { close: { usage: [...used('a', 1, '1').usage, ...used('b', 2, '2').usage] } },
  'one that a budget of its model counts': { close: used('dear', 50, '0.2') },
  'one whose texts were counted': { close: { counted: { promptTokens: 7, completionTokens: 9 } } },
  'one of a tool with a price': { call: { tool: 'render' }, close: used('gpt-4o-mini', 10, '0.001') },
  'a round that asks for input': { call: { tool: 'render' }, close: { round: true } },
  'an error': { close: { status: 'error', error: 'no such file', bytes: 12 } },
  'one that held less than it used': {
    call: { estimate: { tokens: 10, cost: '0.1' } },
    close: used('x', 500, '0.4'),
  },
  'one that no limit counts': { call: { method: 'ping', tool: null } },
  'one in a derived session': { request: { session: derived('Cursor') }, close: used('gpt-4o-mini', 5) },
}

/** Four times the same call, so that the limits refuse the last; another user's beside each, or nobody's. */
async function calls(
  name: string,
  { request, call, close }: Shape,
  companion: string | null,
): Promise<unknown> {
  const { sql } = database
  const options = { again: false, now: NOW }
  const verdicts: Verdict[] = []
  const names = companion === null ? [name] : [name, companion]
  for (let turn = 0; turn < 4; turn += 1) {
    const callers = await Promise.all(names.map((each) => callerNamed(each, { department: 'Research' })))
    const requests = callers.map((caller) =>
      requestBy(caller, { ...request, calls: [callOf(call)], rate: PER_MINUTE, quotas: JUDGED }),
    )
    const answers = await runLedger(sql, { requests, closes: [], refusals: [] }, options)
    verdicts.push(answers[0]!)
    const closes = requests.map((each) => success(each.calls[0]!.id, close))
    await runLedger(sql, { requests: [], closes, refusals: [] }, options)
  }
  const { firstId } = await callerNamed(name)
  const told = verdicts.map((verdict) => ({ ...verdict, user: null, userId: null, sessionId: null }))
  return { told, record: await recordOf(firstId) }
}

describe('calls that go alone are judged and recorded as those of a group', () => {
  it.each(Object.entries(shapes))('%s', async (what, shape) => {
    const alone = await calls(`alone with ${what}`, shape, null)
    expect(alone).toEqual(await calls(`beside with ${what}`, shape, `companion with ${what}`))
    expect(await differences(database.sql)).toEqual([])
    expect(await beyondCalls(database.sql)).toEqual([])
  })
})
