import { describe, expect, it } from 'vitest'
import { type PriceBook, pricesOf, UnknownProviderError } from '../../src/usage/price-book.ts'
import type { BookPrice } from '../../src/usage/price-sync.ts'

type Providers = NonNullable<Awaited<ReturnType<PriceBook['waitForUpdate']>>>
type Prices = Providers[number]['models'][number]['prices']

/** A book whose models are known by their ids, and by names that begin with them. */
function bookOf(providers: Record<string, Record<string, Prices>>): PriceBook {
  const all = Object.entries(providers).map(([name, models]) => ({
    id: name.toLowerCase(),
    name,
    models: Object.entries(models).map(([id, prices]) => ({ id, prices })),
  }))
  return {
    waitForUpdate: () => Promise.resolve(all),
    calcPrice(_, model, { providerId }) {
      const found = all.find(({ id }) => id === providerId)?.models.find(({ id }) => model.startsWith(id))
      return found === undefined ? null : { model: found }
    },
  }
}
const rates = { input_mtok: 3, output_mtok: 15 }
const look = async (prices: Prices, today = '2026-11-23') =>
  (await pricesOf(bookOf({ OpenAI: { model: prices } }), [], [], today))[0]

describe('a price book', () => {
  it('is read per thousand tokens, to the last digit', async () => {
    expect(await look({ input_mtok: 0.003625, output_mtok: 0.87, cache_read_mtok: 0.07 })).toEqual({
      model: 'model',
      provider: 'OpenAI',
      input: '0.000003625',
      output: '0.00087',
      cached: '0.00007',
      notes: '@pydantic/genai-prices',
    })
  })

  const tiers = { base: 3, tiers: [{ start: 200_000, price: 6 }] }
  const dated = [
    { prices: rates },
    { constraint: { type: 'start_date', start_date: '2026-03-13' }, prices: { ...rates, input_mtok: 4 } },
    { constraint: { type: 'start_date', start_date: '2027-01-01' }, prices: { ...rates, input_mtok: 5 } },
  ] as const
  const hourly = [
    { prices: rates },
    { constraint: { type: 'time_of_date' }, prices: { ...rates, input_mtok: 9 } },
  ] as const
  const cases: [name: string, prices: Prices, today: string, found: Partial<BookPrice> | undefined][] = [
    [
      'the base of tiers, and says so',
      { ...rates, input_mtok: tiers },
      '2026-11-23',
      { input: '0.003', notes: '@pydantic/genai-prices; longer prompts cost more' },
    ],
    ['what is in force today', dated, '2026-11-23', { input: '0.004', notes: '@pydantic/genai-prices' }],
    ['what was in force before', dated, '2026-03-12', { input: '0.003' }],
    ['what begins today', dated, '2027-01-01', { input: '0.005' }],
    [
      'not what holds at some hours, and says so',
      hourly,
      '2026-11-23',
      { input: '0.003', notes: '@pydantic/genai-prices; costs something else at some hours' },
    ],
    [
      'nothing where only one way is paid for as nothing',
      { input_mtok: 0.02 },
      '2026-11-23',
      { input: '0.00002', output: '0', cached: null },
    ],
    ['no price of what is paid by the hour', { audio_hours: 0.36 }, '2026-11-23', undefined],
    ['no price of what has none: it is not free', {}, '2026-11-23', undefined],
    ['a price of nothing', { input_mtok: 0, output_mtok: 0 }, '2026-11-23', { input: '0', output: '0' }],
  ]
  it.each(cases)('gives %s', async (_, prices, today, found) => {
    const price = await look(prices, today)
    if (found === undefined) expect(price).toBeUndefined()
    else expect(price).toMatchObject(found)
  })

  const book = bookOf({
    Google: { claude: { ...rates, input_mtok: 99 }, 'claude-3': rates, gemini: rates },
    Anthropic: { claude: rates },
    OpenRouter: { 'openai/gpt': rates },
  })
  const named = async (wanted: string[], names: string[] = []) =>
    (await pricesOf(book, wanted, names, '2026-11-23')).map(({ provider, model, input }) => [
      provider,
      model,
      input,
    ])

  it('gives the prices of makers, whoever else sells their models', async () => {
    expect(await named([])).toEqual([
      ['Anthropic', 'claude', '0.003'],
      ['Anthropic', 'claude-3', '0.003'],
      ['Google', 'gemini', '0.003'],
    ])
  })

  it('gives those of the providers one asks for, by id or name, the first before the second', async () => {
    expect(await named(['google', 'Anthropic'])).toEqual([
      ['Google', 'claude', '0.099'],
      ['Google', 'claude-3', '0.099'],
      ['Google', 'gemini', '0.003'],
    ])
    expect(await named(['openRouter'])).toEqual([['OpenRouter', 'openai/gpt', '0.003']])
    await expect(named(['nobody'])).rejects.toThrow(UnknownProviderError)
    await expect(named(['nobody'])).rejects.toThrow(
      'no provider "nobody": it knows google, anthropic, openrouter',
    )
  })

  it('gives prices to the names that callers use', async () => {
    expect(await named(['anthropic'], ['claude-20260101', 'mine'])).toEqual([
      ['Anthropic', 'claude', '0.003'],
      ['Anthropic', 'claude-20260101', '0.003'],
    ])
  })
})
