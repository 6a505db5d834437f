import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { Sql } from '../../src/db/client.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import type {
  AdmissionRequest,
  CallToOpen,
  Estimate,
  Ledger,
  LedgerCaller,
  UsageLine,
  Verdict,
} from '../../src/ledger/types.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, callOf, JUDGED, requestBy, success } from '../support/ledger.ts'
import { budgetsOf, differences } from '../support/quotas.ts'

export let database: TestDatabase
/** A Tuesday. Time goes on when a test says so. */
export const NOON = new Date('2026-03-10T12:00:00Z')
export let now: Date
/** The time that it is from here on. */
export const setTime = (moment: Date): void => {
  now = moment
}
export const pass = (ms: number): void => {
  now = new Date(now.getTime() + ms)
}
export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE

/** An instance that has refused nothing so far. */
export const instance = (sql: Sql = database.sql): Ledger =>
  createLedger(sql, { now: () => now, closeDelayMs: 0 })
export const asking = (caller: LedgerCaller | null, ...calls: Partial<CallToOpen>[]): AdmissionRequest =>
  requestBy(caller, { quotas: JUDGED, calls: (calls.length === 0 ? [{}] : calls).map(callOf) })
export const ask = (caller: LedgerCaller | null, ...calls: Partial<CallToOpen>[]): Promise<Verdict> =>
  instance().admit(asking(caller, ...calls))
/** How each of them was answered, one after another. */
export async function answers(
  callers: (LedgerCaller | null)[],
  call: Partial<CallToOpen> = {},
): Promise<boolean[]> {
  const all: boolean[] = []
  for (const caller of callers) all.push((await ask(caller, call)).admitted)
  return all
}
/** Opens a call and tells its id. */
export async function open(caller: LedgerCaller | null, call: Partial<CallToOpen> = {}): Promise<string> {
  const request = asking(caller, call)
  expect(await instance().admit(request)).toMatchObject({ admitted: true })
  return request.calls[0]!.id
}
export const used = (tokens: number, cost = '0', model = 'large'): UsageLine[] => [
  { model, promptTokens: 0, completionTokens: tokens, cost },
]
export const close = (id: string, usage: UsageLine[] = []): Promise<void> =>
  instance().close(success(id, { usage }))
export const sweep = () => database.sql`select archon_mcp_sweep(${now}, 100)`
export const estimate = (tokens: number, cost = '0'): { estimate: Estimate } => ({
  estimate: { tokens, cost },
})

/** The one budget of a quota. */
export async function budget(id: string) {
  const [row] = await budgetsOf(database.sql, id)
  return { used: row?.used, held: row?.held }
}
export const refusals = async () => [
  ...(await database.sql`
    select quarter, known.subject as user, code, quota_id, enforced, calls::integer as calls
    from archon_mcp_refusals left join archon_mcp_users as known using (user_id)
    order by enforced, quarter, subject`),
]

let users = 0
/** Somebody whom no other test knows. */
export const somebody = (department: string | null = null): Promise<LedgerCaller> =>
  callerNamed(`user-${(users += 1)}`, { department })

/** A database for a file of tests, in which nothing is left of one test for the next. */
export function useBudgets(): void {
  beforeAll(async () => {
    database = await createTestDatabase({ max: 8 })
  })
  afterAll(() => database[Symbol.asyncDispose]())
  beforeEach(() => {
    now = NOON
  })
  afterEach(async () => {
    try {
      // Whatever a test did: every budget is the sum of its calls.
      expect(await differences(database.sql)).toEqual([])
    } finally {
      await database.owner`
        truncate archon_mcp_quotas, archon_mcp_refusals, archon_mcp_requests, archon_mcp_rate_cells cascade`
    }
  })
}
