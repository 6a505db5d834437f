import { countFaults } from '../errors.ts'
import type { Estimate } from '../ledger/types.ts'

/** What is known of a tool before it is called. */
export interface ToolRule {
  /** What a call will use: it is admitted only if every budget has that much left. */
  estimate?: Partial<Estimate>
  /** Seconds after which a call that never ends is closed as a timeout, and charged at its estimate. */
  holdSeconds?: number
}

/** What calls are expected to use. Budgets themselves are kept in the database, and changed at run time. */
export interface QuotaRule {
  /**
   * For tools that are not named, and for other methods. Without one, budgets of tokens and cost refuse when they
   * are used up, and calls in flight at that moment may pass them.
   * @default nothing
   */
  estimate?: Partial<Estimate>
  /** By the name of the tool; of an API by the route, such as `GET /reports/:id`. */
  tools?: Record<string, ToolRule>
}

const isDecimal = (value: unknown): boolean =>
  typeof value === 'string' && /^\d{1,9}(\.\d{1,10})?$/.test(value)
const isTokens = (value: unknown): boolean =>
  Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 31

const estimateFaults = (name: string, { tokens = 0, cost = '0' }: Partial<Estimate>): string[] => [
  ...(isTokens(tokens) ? [] : [`${name}.tokens must be a whole number, got ${tokens}`]),
  ...(isDecimal(cost) ? [] : [`${name}.cost must be USD as a decimal string such as '0.05', got ${cost}`]),
]

/** What is wrong with a rule. */
export const quotaFaults = ({ estimate = {}, tools = {} }: QuotaRule): string[] => [
  ...estimateFaults('estimate', estimate),
  ...Object.entries(tools).flatMap(([tool, rule]) => [
    ...estimateFaults(`tools.${tool}.estimate`, rule.estimate ?? {}),
    ...countFaults({ [`tools.${tool}.holdSeconds`]: rule.holdSeconds }),
  ]),
]

/** What a call is opened with. */
export function expectationOf(
  { estimate, tools = {} }: QuotaRule,
  tool: string | null,
): { estimate: Estimate; holdSeconds?: number } {
  const rule = tool !== null && Object.hasOwn(tools, tool) ? tools[tool] : undefined
  const { tokens = 0, cost = '0' } = { ...estimate, ...rule?.estimate }
  return {
    estimate: { tokens, cost },
    ...(rule?.holdSeconds === undefined ? {} : { holdSeconds: rule.holdSeconds }),
  }
}
