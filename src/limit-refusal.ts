import type { Refusal } from './errors.ts'
import type { BudgetLeft, BudgetState, RateState, RefusedVerdict } from './ledger/types.ts'

/** Where the limits of a request stand: the rate and the budget that are nearest their end. */
export interface LimitState {
  rate?: RateState | null | undefined
  budget?: BudgetState | null | undefined
}

// Structured fields hold integers of 15 digits (RFC 9651 section 3.3.1).
const MAX_INTEGER = 999_999_999_999_999
const integer = (amount: number): number => Math.min(Math.floor(amount), MAX_INTEGER)

/** Money is told in cents: the fields know no fractions. By its digits, since 0.29 * 100 is less than 29. */
function inUnits({ metric }: BudgetState, amount: string): number {
  const [whole = '0', fraction = ''] = amount.split('.')
  return integer(Number(metric === 'cost' ? whole + fraction.padEnd(2, '0').slice(0, 2) : whole))
}

const UNITS = {
  requests: '',
  tokens: ';qu="tokens"',
  cost: ';qu="usd-cents"',
  unpriced: ';qu="unpriced-calls"',
}

const seconds = (ms: number): number => Math.max(Math.ceil(ms / 1000), 0)

function budgetFields(budget: BudgetState, now: number): { policy: string; state: string } {
  const { metric, window, startsAt, resetsAt, limit, remaining } = budget
  const name = `"${metric}-${window}"`
  const w = startsAt === null || resetsAt === null ? '' : `;w=${seconds(+resetsAt - +startsAt)}`
  const t = resetsAt === null ? '' : `;t=${seconds(+resetsAt - now)}`
  return {
    policy: `${name};q=${inUnits(budget, limit)}${UNITS[metric]}${w}`,
    state: `${name};r=${inUnits(budget, remaining)}${t}`,
  }
}

/** The two header fields of draft-ietf-httpapi-ratelimit-headers-10, as structured fields (RFC 9651). */
export function limitHeaders({ rate, budget }: LimitState, now = Date.now()): Record<string, string> {
  const policies: string[] = []
  const states: string[] = []
  if (rate) {
    policies.push(`"rate";q=${rate.limit};w=${rate.windowSeconds}`)
    states.push(`"rate";r=${rate.remaining};t=${seconds(rate.resetMs)}`)
  }
  if (budget) {
    const { policy, state } = budgetFields(budget, now)
    policies.push(policy)
    states.push(state)
  }
  return policies.length === 0
    ? {}
    : { 'ratelimit-policy': policies.join(', '), ratelimit: states.join(', ') }
}

/** A duration as people say it, never shorter than it is. */
function inWords(ms: number): string {
  const steps: [number, string][] = [
    [86_400, 'day'],
    [3600, 'hour'],
    [60, 'minute'],
    [1, 'second'],
  ]
  // From two of a unit on, so that nobody waits an hour for the half of one.
  const [size, unit] = steps.find(([size]) => ms >= size * 2000) ?? [1, 'second']
  const count = Math.max(Math.ceil(ms / 1000 / size), 1)
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}

const WHOSE = {
  user: 'Your',
  each_user: 'Your',
  department: "Your department's",
  each_department: "Your department's",
  everyone: "Everybody's",
}

const ONE = { requests: 'request', tokens: 'token', unpriced: 'unpriced call' }

const amountOf = (metric: BudgetState['metric'], amount: string): string =>
  metric === 'cost' ? `${amount} USD` : `${amount} ${ONE[metric]}${amount === '1' ? '' : 's'}`

const windowOf = (window: BudgetState['window']): string =>
  window === 'total' ? 'in total' : `a${window === 'hour' ? 'n' : ''} ${window}`

const budgetName = ({ scope, metric, window }: BudgetState | BudgetLeft, amount: string): string =>
  `${WHOSE[scope]} budget of ${amountOf(metric, amount)} ${windowOf(window)}`

/** What is left of other budgets: the model may choose a smaller step, or another tool. */
function elsewhereInWords(left: BudgetLeft[]): string {
  if (left.length === 0) return ''
  const parts = left.map(({ scope, metric, window, tools, models, remaining }) =>
    [
      `${amountOf(metric, remaining)} of ${WHOSE[scope].toLowerCase()} ${window === 'total' ? 'total' : window}`,
      ...(tools === null ? [] : [`for ${tools.join(', ')}`]),
      ...(models === null ? [] : [`with ${models.join(', ')}`]),
    ].join(' '),
  )
  return ` Left elsewhere: ${parts.join('; ')}.`
}

const amountForPrograms = (metric: BudgetState['metric'], amount: string): number | string =>
  metric === 'cost' ? amount : Number(amount)

/** What ran out, and when it comes back. */
function quotaInWords(budget: BudgetState, { held, retryAfterMs }: RefusedVerdict): string {
  const { metric, window, limit, remaining, resetsAt } = budget
  const name = budgetName(budget, limit)
  const left = Number(remaining) > 0
  if (retryAfterMs === undefined && (window !== 'total' || left))
    return `${name} never has room for as much as this.`
  const what = left
    ? `${name} has ${amountOf(metric, remaining)} left, which is less than this call may use`
    : `${name} is used up`
  if (held === true) return `${what} while other calls are in flight; try again when one of them has ended.`
  // Before the window is over, if those calls cost something after all.
  const sooner =
    metric === 'unpriced' ? ' An administrator may price the models, and those calls anew, before.' : ''
  return retryAfterMs === undefined || resetsAt === null
    ? `${what} and does not come back by itself: ask an administrator.${sooner}`
    : `${what} and comes back at ${resetsAt.toISOString()}, in ${inWords(retryAfterMs)}.${sooner}`
}

function quotaRefusal(budget: BudgetState, verdict: RefusedVerdict): Refusal {
  const { scope, metric, window, limit, remaining, resetsAt } = budget
  const { retryAfterMs, elsewhere = [] } = verdict
  return {
    code: 'quota_exceeded',
    detail: quotaInWords(budget, verdict) + elsewhereInWords(elsewhere),
    ...(retryAfterMs === undefined ? {} : { retryAfterSeconds: retryAfterMs / 1000 }),
    data: {
      kind: 'quota',
      scope,
      metric,
      window,
      limit: amountForPrograms(metric, limit),
      remaining: amountForPrograms(metric, remaining),
      reset_at: resetsAt,
      retry_after_ms: retryAfterMs ?? null,
      elsewhere: elsewhere.map((left) => ({
        ...left,
        remaining: amountForPrograms(left.metric, left.remaining),
      })),
    },
  }
}

const countOfCalls = (count: number): string => `${count} call${count === 1 ? '' : 's'}`

/**
 * The refusal of a rate: when it comes back, for programs and for the model.
 * @param retryAfterMs undefined for more calls than may ever come at once.
 */
export function rateRefusal(
  { limit, windowSeconds, remaining }: RateState,
  retryAfterMs: number | undefined,
): Refusal {
  const rule = `At most ${countOfCalls(limit)} in ${windowSeconds} seconds`
  const known = { kind: 'rate', limit, remaining }
  if (retryAfterMs === undefined) {
    const data = { ...known, reset_at: null, retry_after_ms: null }
    return { code: 'rate_limited', detail: `${rule}, and fewer at once: send these one by one.`, data }
  }
  const wait = inWords(retryAfterMs).replace(/^1 second$/, 'a second')
  return {
    code: 'rate_limited',
    detail: `${rule}; wait ${wait} before you call again.`,
    retryAfterSeconds: retryAfterMs / 1000,
    data: {
      ...known,
      reset_at: new Date(Date.now() + retryAfterMs),
      retry_after_ms: Math.ceil(retryAfterMs),
    },
  }
}

/** How soon a call may have ended, and with it made room for another. */
const IN_FLIGHT_RETRY_SECONDS = 1

const inFlightRefusal = (maxCallsInFlight: number): Refusal => ({
  code: 'too_many_calls',
  detail: `At most ${countOfCalls(maxCallsInFlight)} of a user may run at once; try again when one of them has ended.`,
  retryAfterSeconds: IN_FLIGHT_RETRY_SECONDS,
  data: {
    kind: 'in_flight',
    limit: maxCallsInFlight,
    remaining: 0,
    reset_at: new Date(Date.now() + IN_FLIGHT_RETRY_SECONDS * 1000),
    retry_after_ms: IN_FLIGHT_RETRY_SECONDS * 1000,
  },
})

/**
 * What a limit's refusal says: a sentence for the model (what ran out, when it comes back, what is left elsewhere),
 * the same for programs, and headers for clients.
 * @returns null when it was no limit that refused.
 */
export function limitRefusal(verdict: RefusedVerdict, maxCallsInFlight: number | null): Refusal | null {
  const refusal = refusalOf(verdict, maxCallsInFlight)
  return refusal === null ? null : { ...refusal, headers: limitHeaders(verdict) }
}

function refusalOf(verdict: RefusedVerdict, maxCallsInFlight: number | null): Refusal | null {
  const { code, rate, budget, retryAfterMs } = verdict
  if (code === 'rate_limited' && rate !== undefined) return rateRefusal(rate, retryAfterMs)
  if (code === 'quota_exceeded' && budget !== undefined) return quotaRefusal(budget, verdict)
  return code === 'too_many_calls' ? inFlightRefusal(maxCallsInFlight ?? 0) : null
}
