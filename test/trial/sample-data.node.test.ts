import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import { insertSampleData, removeSampleData } from '../../src/trial/sample-data.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, requestBy, success } from '../support/ledger.ts'
import { differences } from '../support/quotas.ts'
import { beyondCalls } from '../support/rollups.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
  await insertSampleData(database.owner)
})
afterAll(() => database[Symbol.asyncDispose]())

const contents = async () => {
  const [row] = await database.owner`
    select (select count(*)::integer from archon_mcp_users) as users,
           (select count(*)::integer from archon_mcp_sessions) as sessions,
           (select count(*)::integer from archon_mcp_requests) as calls,
           (select count(*)::integer from archon_mcp_usage) as usage,
           (select count(*)::integer from archon_mcp_quotas) as quotas`
  return row
}

describe('the sample data', () => {
  it('are three departments with thirty users and a month of calls, nobody of whom has a token', async () => {
    const departments = await database.owner`
      select department, count(*)::integer as calls, count(distinct user_id)::integer as users,
             sum(cost) > 0 as cost, count(distinct timestamp::date) > 20 as days
      from archon_mcp_requests group by department order by department`
    expect([...departments]).toEqual([
      { department: 'Engineering', calls: expect.any(Number), users: 14, cost: true, days: true },
      { department: 'Finance', calls: expect.any(Number), users: 7, cost: true, days: true },
      { department: 'Sales', calls: expect.any(Number), users: 9, cost: true, days: true },
    ])
    const [row] = await database.owner`
      select max(timestamp) < now() as past, min(timestamp) > now() - interval '33 days' as month
      from archon_mcp_requests`
    expect(row).toEqual({ past: true, month: true })
  })

  it('cost what their tokens cost, and their budgets are the sum of their calls', async () => {
    const wrong = await database.owner`
      select from archon_mcp_requests as call
      where call.cost <> (select sum(line.cost) from archon_mcp_usage as line where line.request_id = call.request_id)
         or call.cost <= 0`
    expect(wrong).toHaveLength(0)
    expect(await differences(database.owner)).toEqual([])
    expect(await beyondCalls(database.owner)).toEqual([])
    const [rolled] = await database.owner`
      select (select sum(calls) from archon_mcp_user_days) = (select count(*) from archon_mcp_requests) as all`
    expect(rolled).toEqual({ all: true })
  })

  it('are the same when they are written again', async () => {
    const before = await contents()
    await insertSampleData(database.owner)
    expect(await contents()).toEqual(before)
  })

  it('go at once, and leave what is not theirs', async () => {
    const ledger = createLedger(database.sql)
    const own = requestBy(await callerNamed('somebody', { department: 'Sales' }))
    expect((await ledger.admit(own)).admitted).toBe(true)
    await ledger.close(success(own.calls[0]!.id))
    expect(await removeSampleData(database.owner)).toBe(30)
    expect(await beyondCalls(database.owner)).toEqual([])
    const left = await database.owner`
      select day.user_id, day.calls, total.calls as total
      from archon_mcp_user_days as day left join archon_mcp_user_totals as total using (user_id)`
    expect([...left]).toEqual([{ user_id: own.caller!.firstId, calls: '1', total: '1' }])
    expect(await contents()).toEqual({ users: 1, sessions: 0, calls: 1, usage: 0, quotas: 0 })
    expect(await removeSampleData(database.owner)).toBe(0)
  })
})
