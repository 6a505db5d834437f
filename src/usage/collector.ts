import type { UsageLine } from '../ledger/types.ts'
import type { UsageReport } from '../variables.ts'

/** Tokens of one call at most, and USD: beyond what columns hold, a report is a mistake. */
const MAX_TOKENS = 1_000_000_000
const MAX_COST = 1_000_000_000
const UNKNOWN_MODEL = 'unknown'

const isTokens = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= MAX_TOKENS

const isCost = (value: unknown): value is number | string =>
  (typeof value === 'number' || (typeof value === 'string' && /^\d{1,10}(\.\d{1,30})?$/.test(value))) &&
  Number(value) >= 0 &&
  Number(value) < MAX_COST

/** What is wrong with a report. */
export function reportFaults({ model, promptTokens, completionTokens, cost }: UsageReport): string[] {
  const faults: string[] = []
  if (model !== undefined && (typeof model !== 'string' || model === '')) faults.push('model must be a name')
  for (const [name, value] of Object.entries({ promptTokens, completionTokens })) {
    if (value !== undefined && !isTokens(value)) faults.push(`${name} must be a whole number of tokens`)
  }
  if (cost !== undefined && !isCost(cost)) faults.push('cost must be USD, as a number or a decimal string')
  return faults
}

/** Numbers in words that Postgres takes, never `1e-7`. */
const decimal = (cost: number | string): string => (typeof cost === 'number' ? cost.toFixed(10) : cost)

/** A report that has no fault, as the ledger takes it. */
const lineOf = ({
  model = UNKNOWN_MODEL,
  promptTokens = 0,
  completionTokens = 0,
  cost,
}: UsageReport): UsageLine => ({
  model,
  promptTokens,
  completionTokens,
  ...(cost === undefined ? {} : { cost: decimal(cost) }),
})

/** What was used in one request, as it is told. */
export interface UsageCollector {
  /** @throws TypeError for what cannot be counted. */
  add(report: UsageReport): void
  lines(): UsageLine[]
}

export function createUsageCollector(): UsageCollector {
  const lines: UsageLine[] = []
  let tokens = 0
  let cost = 0
  return {
    add(report) {
      const faults = reportFaults(report)
      const added = (report.promptTokens ?? 0) + (report.completionTokens ?? 0)
      if (tokens + added > MAX_TOKENS) faults.push('more tokens than a call can use')
      const costs = Number(report.cost ?? 0)
      if (faults.length === 0 && cost + costs > MAX_COST) faults.push('more USD than a call can cost')
      if (faults.length > 0) throw new TypeError(`usage.add(): ${faults.join('; ')}`)
      tokens += added
      cost += costs
      lines.push(lineOf(report))
    },
    lines: () => lines,
  }
}

type Fields = Record<string, unknown>
const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const META_KEY = 'dev.mcp-user-context/usage'

/** A report as a result carries it, in the words of TypeScript or of JSON. */
const reportOf = (fields: Fields): UsageReport =>
  Object.fromEntries(
    Object.entries({
      model: fields['model'],
      promptTokens: fields['promptTokens'] ?? fields['prompt_tokens'],
      completionTokens: fields['completionTokens'] ?? fields['completion_tokens'],
      cost: fields['cost'],
      // Python writes null for what it does not know.
    }).filter(([, value]) => value !== undefined && value !== null),
  )

/** What a result says in its `_meta` that it used: one report, or several. What cannot be counted is left out. */
export function usageOfResult(result: unknown): UsageLine[] {
  const meta = isObject(result) && isObject(result['_meta']) ? result['_meta'][META_KEY] : undefined
  const collector = createUsageCollector()
  for (const each of Array.isArray(meta) ? (meta as unknown[]) : [meta]) {
    if (!isObject(each)) continue
    try {
      collector.add(reportOf(each))
    } catch {
      // Somebody else's result: what it says is not ours to refuse.
    }
  }
  return collector.lines()
}
