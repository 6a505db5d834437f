import { expect, test } from 'vitest'
import { CLI_ACTOR } from '../../src/audit.ts'
import { migrate } from '../../src/db/migrate.ts'
import { putModelPrice, putToolPrice } from '../../src/usage/prices.ts'
import { rerate } from '../../src/usage/rerate.ts'
import { contentsOf } from '../support/catalog.ts'
import { createTestDatabase } from '../support/database.ts'

test('the record of what was priced anew, and prices, survive the way down and up again', async () => {
  await using database = await createTestDatabase()
  const { owner, sql } = database
  const price = { provider: 'Test', model: 'large', input: '0.0000000001', output: '2', cached: '0' }
  await putModelPrice(sql, { ...price, effectiveDate: '2026-01-01', notes: 'agreed' }, CLI_ACTOR)
  await putToolPrice(sql, { tool: 'search', price: '0.5', effectiveAt: null, remark: null }, CLI_ACTOR)
  for (const models of [null, ['large', 'small']])
    await rerate(sql, { from: new Date('2026-01-01'), to: null, models }, CLI_ACTOR)
  const before = await contentsOf(owner)
  for (const to of [6, 0]) {
    await migrate(owner, { direction: 'down', to })
    await migrate(owner, { direction: 'up' })
    expect(await contentsOf(owner)).toEqual(before)
  }
})

test('the application may price calls anew, and an exposed API may not', async () => {
  await using database = await createTestDatabase()
  const held = await database.owner`
    select role, has_table_privilege(role, 'archon_mcp_rerates', 'select') as reads,
           has_function_privilege(role, 'archon_mcp_rerate(timestamptz, timestamptz, text[], text)', 'execute') as begins,
           has_function_privilege(role, 'archon_mcp_rerate_step(uuid, integer)', 'execute') as goes_on,
           has_function_privilege(role, 'archon_mcp_rated_calls(uuid[], text[])', 'execute') as looks
    from unnest(array['anon', 'authenticated', 'service_role']) as role order by role`
  const none = { reads: false, begins: false, goes_on: false, looks: false }
  expect([...held]).toEqual([
    { role: 'anon', ...none },
    // Finance and administrators, by the table's policy.
    { role: 'authenticated', ...none, reads: true },
    { role: 'service_role', reads: true, begins: true, goes_on: true, looks: true },
  ])
})
