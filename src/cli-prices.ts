import type { ZodType } from 'zod'
import { CLI_ACTOR } from './audit.ts'
import { PriceBody, RerateBody } from './api/pricing-schema.ts'
import { parse, refuseMore, say, table, UsageError, withDatabase } from './cli-run.ts'
import { errorCode } from './db/client.ts'
import { listPrices, listToolPrices, unpricedModels } from './reports/pricing.ts'
import { type PriceBook, pricesOf, UnknownProviderError } from './usage/price-book.ts'
import { knownModels, type PriceDifference, syncPrices } from './usage/price-sync.ts'
import { putModelPrice, putToolPrice } from './usage/prices.ts'
import { rerate } from './usage/rerate.ts'

const text = { type: 'string' } as const
const texts = { type: 'string', multiple: true } as const

/** The fields of the API's bodies, by the options that set them. */
const MODEL_FIELDS = {
  provider: 'provider',
  model: 'model_name',
  input: 'input_price_per_1k',
  output: 'output_price_per_1k',
  cached: 'cached_price_per_1k',
  date: 'effective_date',
  notes: 'notes',
}
const TOOL_FIELDS = { tool: 'tool_name', price: 'price', from: 'effective_at', remark: 'remark' }
const RERATE_FIELDS = { from: 'from', to: 'to', model: 'models' }

/** The body that the API would be sent. */
const bodyOf = (values: object, fields: Record<string, string>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(values).map(([option, value]: [string, unknown]) => [fields[option] ?? option, value]),
  )

function read<T>(schema: ZodType<T>, values: object, fields: Record<string, string>): T {
  const { success, data, error } = schema.safeParse(bodyOf(values, fields))
  if (success) return data
  const optionOf = (field: PropertyKey | undefined): string =>
    Object.keys(fields).find((option) => fields[option] === field) ?? String(field)
  throw new UsageError(
    error.issues
      .map(({ path, message }) => (path.length === 0 ? message : `--${optionOf(path[0])}: ${message}`))
      .join('\n'),
  )
}

async function list(args: string[]): Promise<void> {
  const { values, positionals } = parse(args, { model: text, json: { type: 'boolean' } })
  refuseMore(positionals)
  await withDatabase(async (sql) => {
    const everybody = { role: 'service', userId: null, department: null } as const
    const { pricing } = await listPrices(sql, { model: values.model }, { limit: 10_000, after: null })
    const tool_prices = await listToolPrices(sql)
    const unpriced = await unpricedModels(sql, everybody, values.model)
    if (values.json) return say(JSON.stringify({ pricing, tool_prices, unpriced }, null, 2))
    if (pricing.length === 0) say('No model has a price')
    else {
      const lines = pricing.map((price) => [
        price.model_name,
        price.provider,
        price.input_price_per_1k,
        price.output_price_per_1k,
        price.cached_price_per_1k ?? '',
        price.effective_date,
      ])
      say(table(['model', 'provider', 'input', 'output', 'cached', 'from'], lines))
    }
    if (tool_prices.length > 0) {
      const lines = tool_prices.map(({ tool_name, price, effective_at }) => [tool_name, price, effective_at])
      say(`\n${table(['tool', 'a call', 'from'], lines)}`)
    }
    if (unpriced.length > 0) {
      const lines = unpriced.map((used) => [
        used.model,
        String(used.calls),
        String(used.prompt_tokens + used.completion_tokens),
        used.first_used_at,
        used.last_used_at,
      ])
      say(`\n${table(['without a price', 'calls', 'tokens', 'first', 'last'], lines, [1, 2])}`)
    }
  })
}

const bodyOptions = (fields: Record<string, string>): Record<string, typeof text> =>
  Object.fromEntries(Object.keys(fields).map((option) => [option, text]))

async function set(args: string[]): Promise<void> {
  const options = { ...MODEL_FIELDS, ...TOOL_FIELDS }
  const { values, positionals } = parse(args, bodyOptions(options))
  refuseMore(positionals)
  const price = read(PriceBody, values, options)
  await withDatabase(async (sql) => {
    const { created } = await ('tool' in price
      ? putToolPrice(sql, price, CLI_ACTOR)
      : putModelPrice(sql, price, CLI_ACTOR))
    say(`${created ? 'created' : 'replaced'} the price of ${'tool' in price ? price.tool : price.model}`)
    const isPast = 'tool' in price ? price.effectiveAt !== null : price.effectiveDate !== null
    if (isPast) say('Calls on record keep their cost: "prices rerate" prices those of a period anew')
  })
}

/** Loaded when it is asked for, and by its name: no request comes near it. */
async function loadBook(): Promise<PriceBook> {
  try {
    return await import('@pydantic/genai-prices')
  } catch (cause) {
    if (errorCode(cause) !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new Error('The price book is not installed: npm install @pydantic/genai-prices', { cause })
  }
}

const amounts = ({ input, output, cached }: { input: string; output: string; cached: string | null }) =>
  [input, output, ...(cached === null ? [] : [`${cached} cached`])].join(' / ')

function lineOf({ outcome, provider, model, known, notes, ...price }: PriceDifference): string[] {
  const before = known === null ? '' : `${amounts(known)} since ${known.since}`
  const why = outcome !== 'kept' ? notes.split('; ').slice(1).join('; ') : `${known?.provider}'s is on record`
  return [outcome, provider, model, amounts(price), before, why]
}

async function sync(args: string[]): Promise<void> {
  const { values, positionals } = parse(args, { 'dry-run': { type: 'boolean' }, provider: texts })
  refuseMore(positionals)
  const book = await loadBook()
  await withDatabase(async (sql) => {
    const { names, today } = await knownModels(sql)
    const prices = await pricesOf(book, values.provider ?? [], names, today).catch((error: unknown) => {
      throw error instanceof UnknownProviderError ? new UsageError(error.message, { cause: error }) : error
    })
    const dry = values['dry-run'] === true
    const differing = await syncPrices(sql, prices, dry, CLI_ACTOR)
    const head = ['', 'provider', 'model', 'input / output', 'before', 'note']
    if (differing.length > 0) say(table(head, differing.map(lineOf)))
    const count = (wanted: string) => differing.filter(({ outcome }) => outcome === wanted).length
    say(
      `${prices.length} prices looked up: ${count('added')} ${dry ? 'would be ' : ''}added, ` +
        `${count('changed')} changed from ${today} on, ${count('kept')} kept that differ`,
    )
  })
}

async function rerateCalls(args: string[]): Promise<void> {
  const { values, positionals } = parse(args, { from: text, to: text, model: texts })
  refuseMore(positionals)
  const request = read(RerateBody, values, RERATE_FIELDS)
  await withDatabase(async (sql) => {
    const done = await rerate(sql, request, CLI_ACTOR)
    const calls = done.calls === 1 ? '1 call' : `${done.calls} calls`
    const costs = done.calls === 0 ? '' : `: ${done.cost_before} USD before, ${done.cost_after} USD after`
    say(`From ${done.from} up to ${done.to} the cost of ${calls} changed${costs}`)
    say(`archon_mcp_rerates has the record, ${done.rerate_id}`)
  })
}

const ACTIONS: Record<string, (args: string[]) => Promise<void>> = { list, set, sync, rerate: rerateCalls }

export async function pricesCommand([action = '', ...args]: string[]): Promise<void> {
  const run = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined
  if (!run) throw new UsageError(`prices what? "${action}" is not one of ${Object.keys(ACTIONS).join(', ')}`)
  await run(args)
}
