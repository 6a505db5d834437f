import type { UsageLine } from '../ledger/types.ts'
import type { UsageReport } from '../variables.ts'
import { createUsageCollector } from './collector.ts'

type Fields = Record<string, unknown>
const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Where a result of ours says what it used. */
const META_KEY = 'dev.mcp-user-context/usage'

/** The first that is there: Python writes null for what it does not know. */
const first = (fields: Fields, ...names: string[]): unknown =>
  names.map((name) => fields[name]).find((value) => value !== undefined && value !== null)

const detail = (fields: Fields, names: string[], name: string): unknown => {
  const details = first(fields, ...names)
  return isObject(details) ? first(details, name) : undefined
}

const sum = (...values: unknown[]): unknown =>
  values.every((value) => value === undefined)
    ? undefined
    : values.reduce<number>((total, value) => total + Number(value ?? 0), 0)

/**
 * A report in the words of ours, of OpenAI's APIs (`prompt_tokens` or `input_tokens`, cached ones among them) or of
 * Anthropic's (`input_tokens`, with those of the cache beside them).
 */
function reportOf(fields: Fields, model: unknown): UsageReport {
  const beside = [first(fields, 'cache_read_input_tokens'), first(fields, 'cache_creation_input_tokens')]
  const found = {
    model: first(fields, 'model') ?? model,
    promptTokens: sum(first(fields, 'promptTokens', 'prompt_tokens', 'input_tokens'), ...beside),
    completionTokens: first(fields, 'completionTokens', 'completion_tokens', 'output_tokens'),
    cachedTokens:
      first(fields, 'cachedTokens', 'cached_tokens') ??
      beside[0] ??
      detail(fields, ['prompt_tokens_details', 'input_tokens_details'], 'cached_tokens'),
    reasoningTokens:
      first(fields, 'reasoningTokens', 'reasoning_tokens') ??
      detail(fields, ['completion_tokens_details', 'output_tokens_details'], 'reasoning_tokens'),
    cost: first(fields, 'cost'),
  }
  return Object.fromEntries(
    Object.entries(found).filter(([, value]) => value !== undefined && value !== null),
  )
}

const isReport = (fields: Fields): boolean =>
  first(fields, 'prompt_tokens', 'completion_tokens', 'input_tokens', 'output_tokens') !== undefined

/** What a result says in its `_meta` that it used: one report, or several. What cannot be counted is left out. */
export function usageOfResult(result: unknown): UsageLine[] {
  const meta = isObject(result) ? result['_meta'] : undefined
  if (!isObject(meta)) return []
  const told = meta[META_KEY] ?? meta['usage'] ?? (isReport(meta) ? meta : undefined)
  const collector = createUsageCollector()
  for (const each of Array.isArray(told) ? (told as unknown[]) : [told]) {
    if (!isObject(each)) continue
    try {
      collector.add(reportOf(each, meta['model']))
    } catch {
      // Somebody else's result: what it says is not ours to refuse.
    }
  }
  return collector.lines()
}
