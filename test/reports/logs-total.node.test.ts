import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { listErrors } from '../../src/reports/errors.ts'
import { listLogs } from '../../src/reports/logs.ts'
import type { LogsFilter } from '../../src/reports/logs-total.ts'
import type { ReportCaller } from '../../src/reports/visible-to.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { writeAnyCalls } from '../support/rollups.ts'

let database: TestDatabase
let user: string
beforeAll(async () => {
  database = await createTestDatabase()
  await writeAnyCalls(database.owner, 1000, 0.7)
  await database.sql`select archon_mcp_rebuild_rollups()`
  const [row] = await database.sql<[{ id: string }]>`select md5('user 1')::uuid as id`
  user = row.id
})
afterAll(() => database[Symbol.asyncDispose]())

const callers = (): ReportCaller[] => [
  { role: 'admin', userId: null, department: null },
  { role: 'finance', userId: user, department: 'Sales' },
  { role: 'manager', userId: user, department: 'Sales' },
  { role: 'member', userId: user, department: 'Sales' },
]

const period = { start: new Date('2026-03-02T07:30:00Z'), end: new Date('2026-03-04T19:10:00Z') }
const filters = (): LogsFilter[] => [
  { level: 'all' },
  { level: 'info' },
  { level: 'warning', period },
  { level: 'error', period },
  { level: 'all', tool: 'search', period },
  { level: 'error', tool: 'tools/call' },
  { level: 'all', userId: user },
  { level: 'all', kind: 'mcp', period },
  { level: 'all', search: 'REPORT' },
]

/** For each filter and caller the total that is told, and how many calls there are. */
async function totals(): Promise<{ told: number[]; there: number[] }> {
  const [told, there]: [number[], number[]] = [[], []]
  for (const caller of callers()) {
    for (const filter of filters()) {
      const { logs, total } = await listLogs(database.sql, caller, filter, { limit: 10_000, after: null })
      told.push(total)
      there.push(logs.length)
    }
  }
  return { told, there }
}

describe('the total of a list of calls', () => {
  it('is how many there are, for everybody and every filter', async () => {
    const { told, there } = await totals()
    expect(told).toEqual(there)
    expect(Math.min(...there.slice(0, filters().length))).toBeGreaterThan(0)
  })

  it('is that of the errors too, and their part of all', async () => {
    for (const caller of callers()) {
      for (const { level: _, ...filter } of filters()) {
        const every = { limit: 10_000, after: null }
        const { errors, summary, total } = await listErrors(database.sql, caller, 'all', filter, every)
        const { logs } = await listLogs(database.sql, caller, { level: 'all', ...filter }, every)
        const timeouts = errors.filter(({ status }) => status === 'timeout').length
        expect({ total, ...summary }).toEqual({
          total: errors.length,
          error_count: errors.length - timeouts,
          timeout_count: timeouts,
          last_error_at: errors[0]?.timestamp ?? null,
          error_rate_percent:
            logs.length === 0 ? 0 : Math.round((errors.length / logs.length) * 10_000 + 1e-9) / 100,
        })
      }
    }
  })

  it('leaves out those that went because they were old, of which sums are left, and counts those still to go', async () => {
    await database.owner`update archon_mcp_watermark set complete_from = '2026-03-03'`
    await database.owner.begin(async (tx) => {
      await tx`select set_config('archon_mcp.rollups', 'moved', true)`
      await tx`delete from archon_mcp_requests where timestamp < '2026-03-02T12:00Z'`
    })
    const { told, there } = await totals()
    expect(told).toEqual(there)
  })
})
