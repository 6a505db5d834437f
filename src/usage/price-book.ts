import { decimal } from './decimal.ts'
import type { BookPrice } from './price-sync.ts'

/** A price of a million tokens, or one that grows with the size of the prompt. */
type BookRate = number | { base: number; tiers: readonly { start: number; price: number }[] }
/** By what is paid for, such as `input_mtok`. */
type BookRates = Readonly<Record<string, BookRate | undefined>>
type BookConstraint = { type: 'start_date'; start_date: string } | { type: 'time_of_date' }

interface BookModel {
  id: string
  prices: BookRates | readonly { constraint?: BookConstraint; prices: BookRates }[]
}
interface BookProvider {
  id: string
  name: string
  models: readonly BookModel[]
}

/** As much of @pydantic/genai-prices as is read here. */
export interface PriceBook {
  /** The whole book. */
  waitForUpdate: () => Promise<readonly BookProvider[] | null>
  /** Which model of a provider a name means: callers say `claude-sonnet-4-5-20250929`, the book `claude-sonnet-4-5`. */
  calcPrice: (
    usage: Record<string, number>,
    model: string,
    options: { providerId: string },
  ) => { model: BookModel } | null
}

/**
 * Those who make models. Others sell the same ones at prices of their own, and a call says only the model. The order
 * counts: Google sells some of Anthropic's.
 */
const MAKERS = [
  'anthropic',
  'openai',
  'google',
  'mistral',
  'x-ai',
  'deepseek',
  'cohere',
  'moonshotai',
  'minimax',
  'zai',
  'voyageai',
]

const isList = (prices: BookModel['prices']): prices is Exclude<BookModel['prices'], BookRates> =>
  Array.isArray(prices)

/** Prices that began on a day are in force from it on; those of some hours of each day cannot be told by the day. */
function inForce(prices: BookModel['prices'], today: string): { rates: BookRates; hourly: boolean } {
  if (!isList(prices)) return { rates: prices, hourly: false }
  const dated = prices.filter(({ constraint }) => constraint?.type !== 'time_of_date')
  const begun = dated.findLast(
    ({ constraint }) => constraint?.type !== 'start_date' || constraint.start_date <= today,
  )
  return { rates: (begun ?? prices[0])?.prices ?? {}, hourly: dated.length < prices.length }
}

/** Of a thousand tokens, exactly. */
const perThousand = (rate: BookRate): string | null =>
  decimal(typeof rate === 'number' ? rate : rate.base, -3)

function priceOf(
  { prices }: BookModel,
  today: string,
): Pick<BookPrice, 'input' | 'output' | 'cached' | 'notes'> | null {
  const { rates, hourly } = inForce(prices, today)
  const { input_mtok: input, output_mtok: output, cache_read_mtok: cached } = rates
  // Priced by the second or the page, or not at all: tokens of it have no price.
  if (input === undefined && output === undefined) return null
  const tiered = [input, output, cached].some((rate) => typeof rate === 'object')
  const notes = [
    ...(tiered ? ['longer prompts cost more'] : []),
    ...(hourly ? ['costs something else at some hours'] : []),
  ]
  return {
    input: perThousand(input ?? 0) ?? '0',
    output: perThousand(output ?? 0) ?? '0',
    cached: cached === undefined ? null : perThousand(cached),
    notes: ['@pydantic/genai-prices', ...notes].join('; '),
  }
}

/** Some providers of the book by id or name; without any, those who make models. */
async function providersOf(book: PriceBook, wanted: readonly string[]): Promise<BookProvider[]> {
  const all = (await book.waitForUpdate()) ?? []
  return (wanted.length === 0 ? MAKERS : wanted).flatMap((each) => {
    const sought = each.toLowerCase()
    const found = all.find(({ id, name }) => id === sought || name.toLowerCase() === sought)
    if (found !== undefined) return [found]
    if (wanted.length === 0) return []
    throw new UnknownProviderError(
      each,
      all.map(({ id }) => id),
    )
  })
}

/** No provider of the book. */
export class UnknownProviderError extends Error {
  override name = 'UnknownProviderError'

  constructor(provider: string, known: readonly string[]) {
    super(`The price book has no provider "${provider}": it knows ${known.join(', ')}`)
  }
}

/**
 * What models cost today by a price book, for 1,000 tokens. The first provider that knows a name counts.
 * @param wanted providers by id or name; none: those who make models.
 * @param names under which callers report models, besides the book's own.
 * @param today `YYYY-MM-DD`.
 * @throws UnknownProviderError
 */
export async function pricesOf(
  book: PriceBook,
  wanted: readonly string[],
  names: readonly string[],
  today: string,
): Promise<BookPrice[]> {
  const providers = await providersOf(book, wanted)
  const models = [...providers.flatMap((provider) => provider.models.map(({ id }) => id)), ...names]
  return [...new Set(models)].flatMap((model) => {
    for (const { id, name: provider } of providers) {
      const found = book.calcPrice({}, model, { providerId: id })
      const price = found === null ? null : priceOf(found.model, today)
      if (price !== null) return [{ model, provider, ...price }]
    }
    return []
  })
}
