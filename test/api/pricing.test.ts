import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { UsageLine } from '../../src/ledger/types.ts'
import type { McpPrice, McpToolPrice, UnpricedModel } from '../../src/reports/pricing.ts'
import { callerNamed, callOf, requestBy, success } from '../support/ledger.ts'
import {
  type Answer,
  expectProblem,
  MOMENT,
  refusesStrangers,
  send,
  serviceToken,
  useApi,
  userToken,
  walk,
} from './support.ts'

const api = useApi()

/** What the routes answer; a test reads what its own does. */
interface Told extends McpPrice, McpToolPrice {
  pricing: McpPrice[]
  total: number
  note: string
  tool_prices: McpToolPrice[]
  unpriced: UnpricedModel[]
  rerate?: { note: string; body: { from: string; models?: string[] } }
  calls: number
}

const tokens: Record<string, string> = {}
beforeAll(async () => {
  Object.assign(tokens, {
    member: await userToken('Alice', { department: 'sales' }),
    stranger: await userToken('Bob', { department: 'research' }),
    manager: await userToken('Mia', { department: 'sales', role: 'manager' }),
    finance: await userToken('Fin', { role: 'finance' }),
    admin: await userToken('Ada', { role: 'admin' }),
    service: await serviceToken(),
  })
})
afterEach(async () => {
  await api.sql`delete from archon_llm_pricing where notes = 'test' or provider = 'Test'`
  await api.sql`delete from archon_mcp_tool_prices`
  await api.sql`delete from archon_mcp_requests`
})

async function as(who: string, route: string, body?: unknown): Promise<Answer & { told: Told }> {
  const answer = await send(api.app, route, { token: tokens[who], body })
  return { ...answer, told: answer.body as unknown as Told }
}
const list = async (who: string, query = '') => (await as(who, `GET /pricing${query}`)).told
const put = (body: object, who = 'admin') => as(who, 'PUT /pricing', body)

const large = { provider: 'Test', model_name: 'large', input_price_per_1k: '1', output_price_per_1k: '2' }
const today = () => new Date().toISOString().slice(0, 10)

/** A call of somebody that has ended. */
async function call(who: string, department: string, usage: Partial<UsageLine> = {}): Promise<void> {
  const ledger = createLedger(api.sql)
  const wanted = callOf()
  await ledger.admit(requestBy(await callerNamed(who, { department }), { calls: [wanted] }))
  const line = { model: 'large', promptTokens: 1000, completionTokens: 500, ...usage }
  await ledger.close(success(wanted.id, { usage: [line] }))
}

describe('GET /pricing', () => {
  refusesStrangers(api, 'GET /pricing')

  it('answers as Archon does, with exact prices', async () => {
    const told = await list('member', '?model=GPT-4O&provider=OpenAI')
    expect(told).toEqual({
      pricing: [
        {
          id: expect.any(Number),
          model_name: 'gpt-4o',
          provider: 'OpenAI',
          input_price_per_1k: '0.0025',
          output_price_per_1k: '0.01',
          effective_date: '2024-05-13',
        },
        {
          id: expect.any(Number),
          model_name: 'gpt-4o-mini',
          provider: 'OpenAI',
          input_price_per_1k: '0.00015',
          output_price_per_1k: '0.0006',
          effective_date: '2024-07-18',
        },
      ],
      total: 2,
      note: 'Prices are per 1,000 tokens in USD',
      tool_prices: [],
      unpriced: [],
    })
  })

  const filters: [query: string, total: number][] = [
    ['', 11],
    ['?provider=OpenAI', 5],
    ['?provider=openai', 0],
    ['?provider=Anthropic&model=sonnet', 3],
    ['?model=%25', 0],
    ['?model=_', 0],
  ]
  it.each(filters)('finds by %j', async (query, total) => {
    const told = await list('member', query)
    expect([told.total, told.pricing.length]).toEqual([total, total])
  })

  it('walks every price once: by model, and of each the newest first, whoever provides it', async () => {
    for (const [provider, effective_date] of [
      ['Test', '2026-01-01'],
      ['Test', '2026-03-01'],
      ['Tést', '2026-02-01'],
    ])
      await put({ ...large, provider, effective_date, notes: 'test' })
    const whole = await list('member')
    const ofLarge = whole.pricing.filter(({ model_name }) => model_name === 'large')
    expect(ofLarge.map((price) => [price.provider, price.effective_date])).toEqual([
      ['Test', '2026-03-01'],
      ['Tést', '2026-02-01'],
      ['Test', '2026-01-01'],
    ])
    const pages = await walk(api.app, '/pricing?limit=3', tokens['member']!)
    expect(pages.flatMap((page) => (page as unknown as Told).pricing)).toEqual(whole.pricing)
    expect(pages.map(({ total }) => total)).toEqual([14, 14, 14, 14, 14])
  })

  it.each(['limit=0', 'limit=1001', 'cursor=abc', 'cursor=-1', 'model=', 'provider='])(
    'answers 400 to %s',
    async (query) => {
      expectProblem(await as('admin', `GET /pricing?${query}`), 400, 'invalid_request')
    },
  )

  it('tells which models were used without a price, of those whose calls one may see', async () => {
    await call('alice', 'sales')
    await call('bob', 'research')
    await call('bob', 'research', { model: 'huge', promptTokens: 7 })
    await call('bob', 'research', { model: 'told', cost: '1' })
    await call('bob', 'research', { model: 'gpt-4o' })
    const one = { prompt_tokens: 1000, completion_tokens: 500, first_used_at: MOMENT, last_used_at: MOMENT }
    const huge = { ...one, model: 'huge', calls: 1, prompt_tokens: 7 }
    const ofOne = { ...one, model: 'large', calls: 1 }
    const all = [{ ...one, model: 'large', calls: 2, prompt_tokens: 2000, completion_tokens: 1000 }, huge]
    const seen: Record<string, unknown[]> = {
      member: [ofOne],
      manager: [ofOne],
      stranger: [huge, ofOne],
      finance: all,
      admin: all,
      service: all,
    }
    for (const [who, models] of Object.entries(seen))
      expect([who, (await list(who)).unpriced]).toEqual([who, models])
    expect((await list('admin', '?model=hug')).unpriced).toEqual([huge])
  })
})

describe('PUT /pricing', () => {
  refusesStrangers(api, 'PUT /pricing')

  it('creates the price of a model, exactly as it was written, and replaces that of the same day', async () => {
    const body = { ...large, input_price_per_1k: 0.0000001, cached_price_per_1k: '0.0300000', notes: 'test' }
    const made = await put({ ...body, effective_date: '2026-01-31' })
    expect(made.status).toBe(201)
    const { rerate, ...price } = made.told
    expect(price).toEqual({
      ...body,
      id: expect.any(Number),
      input_price_per_1k: '0.0000001',
      cached_price_per_1k: '0.03',
      effective_date: '2026-01-31',
    })
    expect(rerate).toEqual({
      note: expect.stringContaining('Calls on record keep their cost'),
      body: { from: '2026-01-31', models: ['large'] },
    })
    expect((await list('member', '?provider=Test')).pricing).toEqual([price])

    const replaced = await put({ ...large, effective_date: '2026-01-31' }, 'service')
    expect(replaced.status).toBe(200)
    expect(replaced.told).toMatchObject({ id: price.id, input_price_per_1k: '1' })
    expect(replaced.told).not.toHaveProperty('cached_price_per_1k')
    expect(await list('member', '?provider=Test')).toMatchObject({ total: 1 })
  })

  it('begins today unless told otherwise, and says nothing of recorded calls of the future', async () => {
    expect((await put(large)).told.effective_date).toBe(today())
    const { told } = await put({ ...large, effective_date: '2999-12-31' })
    expect(told).not.toHaveProperty('rerate')
  })

  it('creates the price of a tool, and replaces that of the same moment', async () => {
    const body = {
      tool_name: 'search',
      price: '0.50',
      effective_at: '2026-01-01T01:00:00+01:00',
      remark: 'a',
    }
    const made = await put(body)
    expect(made.status).toBe(201)
    const price = { tool_name: 'search', price: '0.5', effective_at: '2026-01-01T00:00:00.000Z', remark: 'a' }
    const { rerate, ...told } = made.told
    expect(told).toEqual(price)
    expect(rerate?.body).toEqual({ from: price.effective_at })
    const replaced = await put({ tool_name: 'search', price: 0.75, effective_at: '2026-01-01' })
    expect(replaced.status).toBe(200)
    expect((await put({ tool_name: 'search', price: 1 })).status).toBe(201)
    expect((await list('member')).tool_prices).toEqual([
      { tool_name: 'search', price: '1', effective_at: MOMENT },
      { tool_name: 'search', price: '0.75', effective_at: price.effective_at },
    ])
  })

  const wrong: [body: unknown, paths: string[]][] = [
    [{}, ['provider', 'model_name', 'input_price_per_1k', 'output_price_per_1k']],
    [[], ['']],
    [
      { ...large, input_price_per_1k: -1, output_price_per_1k: '1e3' },
      ['input_price_per_1k', 'output_price_per_1k'],
    ],
    [{ ...large, input_price_per_1k: '0.12345678901' }, ['input_price_per_1k']],
    [
      { ...large, input_price_per_1k: 12345678901, cached_price_per_1k: null },
      ['input_price_per_1k', 'cached_price_per_1k'],
    ],
    [{ ...large, effective_date: '2026-02-30', price: 1 }, ['effective_date', '']],
    [{ ...large, effective_date: '0000-01-01' }, ['effective_date']],
    [{ ...large, provider: 'p'.repeat(51), model_name: 'm'.repeat(101) }, ['provider', 'model_name']],
    [{ tool_name: '', price: '-', effective_at: 'now' }, ['tool_name', 'price', 'effective_at']],
    [{ tool_name: 'a', price: 1, effective_at: '2026-01-01T00:00:00' }, ['effective_at']],
    [{ tool_name: 'a', price: 1, provider: 'x' }, ['']],
  ]
  it.each(wrong)('names every fault of %j', async (body, paths) => {
    const answer = await as('admin', 'PUT /pricing', body)
    expectProblem(answer, 400, 'invalid_request')
    expect(answer.body.errors.map(({ path }) => path)).toEqual(paths)
  })
})

describe('POST /pricing/rerate', () => {
  refusesStrangers(api, 'POST /pricing/rerate')

  it('prices calls on record anew, when it is told to, and answers with the record', async () => {
    await call('alice', 'sales')
    const { told } = await put({ ...large, effective_date: '2026-01-01' })
    expect((await list('admin')).unpriced).toHaveLength(1)
    const { status, body } = await as('admin', 'POST /pricing/rerate', told.rerate?.body)
    expect(status).toBe(200)
    const [{ id } = { id: '' }] = await api.sql<{ id: string }[]>`
      select user_id as id from archon_mcp_users where subject = 'ada'`
    expect(body).toEqual({
      rerate_id: expect.any(String),
      rerated_at: MOMENT,
      from: '2026-01-01T00:00:00.000Z',
      to: MOMENT,
      models: ['large'],
      calls: 1,
      cost_before: '0',
      cost_after: '2',
      by: id,
    })
    expect((await list('admin')).unpriced).toEqual([])
    const again = await as('service', 'POST /pricing/rerate', { from: '2026-01-01', to: '2026-02-01' })
    expect(again.body).toMatchObject({
      calls: 0,
      cost_before: '0',
      cost_after: '0',
      by: 'service',
      models: null,
    })
  })

  const wrong: [body: object, paths: string[]][] = [
    [{}, ['from']],
    [{ from: '2026-01-01', to: '2026-01-01' }, ['to']],
    [{ from: '2999-01-01' }, ['from']],
    [{ from: 'May', to: '2026-13-01', models: [], all: true }, ['from', 'to', 'models', '']],
  ]
  it.each(wrong)('names every fault of %j', async (body, paths) => {
    const answer = await as('admin', 'POST /pricing/rerate', body)
    expectProblem(answer, 400, 'invalid_request')
    expect(answer.body.errors.map(({ path }) => path)).toEqual(paths)
  })
})

describe('who may', () => {
  it.each(['member', 'manager', 'finance', 'admin', 'service'])(
    'read, set and price anew: %s',
    async (who) => {
      expect((await as(who, 'GET /pricing')).status).toBe(200)
      const may = who === 'admin' || who === 'service'
      const answers = [
        [await as(who, 'PUT /pricing', large), 201],
        [await as(who, 'PUT /pricing', { tool_name: 'search', price: 1 }), 201],
        [await as(who, 'POST /pricing/rerate', { from: '2026-01-01' }), 200],
      ] as const
      for (const [answer, status] of answers) {
        if (may) expect(answer.status).toBe(status)
        else expectProblem(answer, 403, 'forbidden')
      }
      // Before anything is said of the body.
      if (!may) expectProblem(await as(who, 'PUT /pricing', {}), 403, 'forbidden')
    },
  )
})
