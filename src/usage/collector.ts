import type { UsageLine } from '../ledger/types.ts'
import type { RequestId } from '../mcp/json-rpc.ts'
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
export function reportFaults(report: UsageReport): string[] {
  const { model, promptTokens, completionTokens, cachedTokens, reasoningTokens, cost } = report
  const faults: string[] = []
  if (model !== undefined && (typeof model !== 'string' || model === '')) faults.push('model must be a name')
  const counts = { promptTokens, completionTokens, cachedTokens, reasoningTokens }
  for (const [name, value] of Object.entries(counts)) {
    if (value !== undefined && !isTokens(value)) faults.push(`${name} must be a whole number of tokens`)
  }
  if (isTokens(cachedTokens) && cachedTokens > (promptTokens ?? 0))
    faults.push('cachedTokens are part of promptTokens')
  if (isTokens(reasoningTokens) && reasoningTokens > (completionTokens ?? 0))
    faults.push('reasoningTokens are part of completionTokens')
  if (cost !== undefined && !isCost(cost)) faults.push('cost must be USD, as a number or a decimal string')
  return faults
}

/** Numbers in words that Postgres takes, never `1e-7`. */
const decimal = (cost: number | string): string => (typeof cost === 'number' ? cost.toFixed(10) : cost)

/** A report that has no fault, as the ledger takes it. */
const lineOf = (report: UsageReport): UsageLine => ({
  model: report.model ?? UNKNOWN_MODEL,
  promptTokens: report.promptTokens ?? 0,
  completionTokens: report.completionTokens ?? 0,
  ...(report.cachedTokens === undefined ? {} : { cachedTokens: report.cachedTokens }),
  ...(report.reasoningTokens === undefined ? {} : { reasoningTokens: report.reasoningTokens }),
  ...(report.cost === undefined ? {} : { cost: decimal(report.cost) }),
})

/** What was used in one request, as it is told. */
export interface UsageCollector {
  /** @throws TypeError for what cannot be counted. */
  add(report: UsageReport): void
  /** Those of a request of a batch, and for `first` also those that name none. */
  lines(requestId?: RequestId | null, first?: boolean): UsageLine[]
}

export function createUsageCollector(): UsageCollector {
  const told: { requestId: RequestId | undefined; line: UsageLine }[] = []
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
      told.push({ requestId: report.requestId, line: lineOf(report) })
    },
    lines: (requestId, first = true) =>
      told
        .filter((each) =>
          each.requestId === undefined ? first : requestId === undefined || each.requestId === requestId,
        )
        .map(({ line }) => line),
  }
}
