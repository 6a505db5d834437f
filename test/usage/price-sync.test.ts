import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { CLI_ACTOR } from '../../src/audit.ts'
import { type BookPrice, knownModels, syncPrices } from '../../src/usage/price-sync.ts'
import { putModelPrice } from '../../src/usage/prices.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())
afterEach(() => database.owner`delete from archon_llm_pricing where model_name like 'test-%'`)

const book = (model: string, input: string, provider = 'Test'): BookPrice => ({
  model,
  provider,
  input,
  output: '2',
  cached: null,
  notes: 'book',
})
const known = (model: string, input: string, effectiveDate: string | null, provider = 'Test') =>
  putModelPrice(
    database.sql,
    {
      provider,
      model,
      input,
      output: '2',
      cached: null,
      effectiveDate,
      notes: null,
    },
    CLI_ACTOR,
  )
const onRecord = async () => [
  ...(await database.sql`
    select model_name as model, provider, trim_scale(input_price_per_1k) as input,
           effective_date = (now() at time zone 'UTC')::date as today
    from archon_llm_pricing where model_name like 'test-%'
    order by model_name, effective_date, provider`),
]

it('adds what is new, changes what differs from today on, and leaves the rest', async () => {
  await known('test-old', '1', '2026-01-01')
  await known('test-same', '1', '2026-01-01')
  const prices = [book('test-new', '0.1'), book('test-old', '3', 'TEST'), book('test-same', '1.0000000000')]
  const differing = [
    { ...book('test-new', '0.1'), outcome: 'added', known: null },
    {
      ...book('test-old', '3', 'TEST'),
      outcome: 'changed',
      known: { provider: 'Test', input: '1', output: '2', cached: null, since: '2026-01-01' },
    },
  ]
  const before = await onRecord()
  expect(await syncPrices(database.sql, prices, true, CLI_ACTOR)).toEqual(differing)
  expect(await onRecord()).toEqual(before)
  expect(await syncPrices(database.sql, prices, false, CLI_ACTOR)).toEqual(differing)
  expect(await onRecord()).toEqual([
    { model: 'test-new', provider: 'Test', input: '0.1', today: true },
    { model: 'test-old', provider: 'Test', input: '1', today: false },
    { model: 'test-old', provider: 'Test', input: '3', today: true },
    { model: 'test-same', provider: 'Test', input: '1', today: false },
  ])
  expect(await syncPrices(database.sql, prices, false, CLI_ACTOR)).toEqual([])
})

it('overwrites nothing: neither a price of today, nor one that was agreed on with somebody else', async () => {
  await known('test-today', '1', null)
  await known('test-agreed', '1', '2026-01-01', 'Contoso')
  const before = await onRecord()
  const found = await syncPrices(
    database.sql,
    [book('test-today', '3'), book('test-agreed', '3')],
    false,
    CLI_ACTOR,
  )
  expect(found).toMatchObject([
    { model: 'test-agreed', outcome: 'kept', known: { provider: 'Contoso' } },
    { model: 'test-today', outcome: 'kept' },
  ])
  expect(await onRecord()).toEqual(before)
})

it('looks at what is in force today, not at what begins later', async () => {
  await known('test-later', '3', '2999-01-01')
  expect(await syncPrices(database.sql, [book('test-later', '3')], false, CLI_ACTOR)).toMatchObject([
    { outcome: 'added' },
  ])
})

it('tells a price for cached tokens from none', async () => {
  await known('test-cached', '1', '2026-01-01')
  const cached = { ...book('test-cached', '1'), cached: '0.1' }
  expect(await syncPrices(database.sql, [cached], true, CLI_ACTOR)).toMatchObject([
    { outcome: 'changed', cached: '0.1' },
  ])
})

it('knows the models that have a price, and those that were used without', async () => {
  const [call] = await database.owner<[{ id: string }]>`
    insert into archon_mcp_requests (method, kind) values ('tools/call', 'mcp') returning request_id as id`
  await database.owner`
    insert into archon_mcp_usage (request_id, model, prompt_tokens, completion_tokens, cost, unpriced)
    values (${call.id}, 'test-used', 1, 1, 0, true), (${call.id}, 'test-told', 1, 1, 0, false)`
  const { names, today } = await knownModels(database.sql)
  expect(names).toEqual(expect.arrayContaining(['gpt-4o', 'test-used']))
  expect(names).not.toContain('test-told')
  expect(today).toBe(new Date().toISOString().slice(0, 10))
})
