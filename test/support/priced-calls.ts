import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { CLI_ACTOR } from '../../src/audit.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { CallToClose, CallToOpen, Ledger, UsageLine } from '../../src/ledger/types.ts'
import { putModelPrice } from '../../src/usage/prices.ts'
import { rerate, type Rerate } from '../../src/usage/rerate.ts'
import { createTestDatabase, type TestDatabase } from './database.ts'
import { callerNamed, callOf, JUDGED, requestBy, success } from './ledger.ts'
import { differences } from './quotas.ts'
import { beyondCalls } from './rollups.ts'

/** A Tuesday. */
export const NOON = new Date('2026-03-10T12:00:00Z')
/** Noon of a day of that month. */
export const at = (day: number): Date => new Date(NOON.getTime() + (day - 10) * 86_400_000)

/** Tokens of a prompt; with a cost, the tool says it. */
export const line = (model: string, promptTokens: number, cost?: string): UsageLine => ({
  model,
  promptTokens,
  completionTokens: 0,
  ...(cost === undefined ? {} : { cost }),
})

/** How many calls changed, and what they cost together. */
export const changed = ({ calls, cost_before, cost_after }: Rerate): unknown[] => [
  calls,
  cost_before,
  cost_after,
]

interface Made {
  call?: Partial<CallToOpen>
  close?: Partial<CallToClose>
  day?: number
  who?: string
  department?: string
}

/** Where what stands on record is not what it must add up to. */
const unequal = async ({ sql }: TestDatabase): Promise<unknown[]> => [
  ...(await differences(sql)),
  ...(await beyondCalls(sql)),
  ...(await sql`
    select call.request_id
    from archon_mcp_requests as call
    where call.kind is not null
      and call.status <> 'open'
      and not call.hold_expired
      and call.cost <> call.tool_cost + coalesce(
        (select sum(line.cost) from archon_mcp_usage as line where line.request_id = call.request_id), 0
      )`),
  // What was used beyond the estimates, which no check compares.
  ...(await sql`
    select budget.key, budget.excess, budget.excess_calls, spent.*
    from archon_mcp_budgets as budget
    join archon_mcp_quotas as quota on quota.quota_id = budget.quota_id
    cross join lateral archon_mcp_spent(
      budget.holder, quota.metric, quota.tools, quota.models, budget.starts_at, budget.ends_at
    ) as spent
    where (budget.excess, budget.excess_calls) is distinct from (spent.excess, spent.excess_calls)`),
]

/** A database for a file of tests, whose sums are added up after each. */
export function usePricedCalls() {
  let database: TestDatabase
  let now: Date
  beforeAll(async () => {
    database = await createTestDatabase({ max: 8 })
  })
  afterAll(() => database[Symbol.asyncDispose]())
  beforeEach(() => {
    now = NOON
  })
  afterEach(async () => {
    try {
      expect(await unequal(database)).toEqual([])
    } finally {
      await database.owner`
        truncate archon_mcp_quotas, archon_mcp_requests, archon_mcp_tool_prices, archon_mcp_rerates cascade`
      await database.owner`delete from archon_llm_pricing where provider = 'Test'`
    }
  })
  const ledger = (): Ledger => createLedger(database.sql, { now: () => now, closeDelayMs: 0 })
  return {
    get database() {
      return database
    },
    ledger,
    /** What 1,000 tokens of a model cost, in or out. */
    price: (model: string, usd: string, effectiveDate: string) =>
      putModelPrice(
        database.sql,
        {
          provider: 'Test',
          model,
          input: usd,
          output: usd,
          cached: null,
          effectiveDate,
          notes: null,
        },
        CLI_ACTOR,
      ),
    /** A call at noon of a day of March that has ended. @returns its id. */
    async call(usage: UsageLine[], { call, close, day = 10, who = 'alice', department }: Made = {}) {
      now = at(day)
      const caller = await callerNamed(who, { department: department ?? null })
      const wanted = callOf(call)
      const verdict = await ledger().admit(requestBy(caller, { calls: [wanted], quotas: JUDGED }))
      expect(verdict).toMatchObject({ admitted: true })
      await ledger().close(success(wanted.id, { usage, ...close }))
      return wanted.id
    },
    costOf: async (id: string) => {
      const [row] = await database.sql<[{ cost: string; tool: string; unpriced: boolean; lines: object }]>`
        select trim_scale(cost) as cost, trim_scale(tool_cost) as tool, unpriced,
               (
                 select json_object_agg(line.model, trim_scale(line.cost)::text)
                 from archon_mcp_usage as line where line.request_id = call.request_id
               ) as lines
        from archon_mcp_requests as call where request_id = ${id}`
      return row
    },
    march: (models: string[] | null = null, from = 1, to = 31): Promise<Rerate> =>
      rerate(database.sql, { from: at(from), to: at(to), models }, CLI_ACTOR),
  }
}
