import { describe, expect, it } from 'vitest'
import type { BudgetState, RateState } from '../../src/ledger/types.ts'
import { limitHeaders } from '../../src/limit-refusal.ts'

const NOW = Date.parse('2026-03-04T18:00:00Z')

const rate: RateState = { limit: 60, windowSeconds: 60, remaining: 12, resetMs: 47_001 }
const budget = (more: Partial<BudgetState> = {}): BudgetState => ({
  scope: 'user',
  metric: 'requests',
  window: 'day',
  limit: '100',
  remaining: '40',
  startsAt: new Date('2026-03-04T00:00:00Z'),
  resetsAt: new Date('2026-03-05T00:00:00Z'),
  warning: null,
  ...more,
})
const cost = (limit: string, remaining: string) => budget({ metric: 'cost', limit, remaining })

// draft-ietf-httpapi-ratelimit-headers-10: q and w of the policy, r and t of where it stands.
describe('RateLimit-Policy and RateLimit', () => {
  const cases: [string, Parameters<typeof limitHeaders>[0], string, string][] = [
    ['of a rate', { rate }, '"rate";q=60;w=60', '"rate";r=12;t=48'],
    ['of a budget', { budget: budget() }, '"requests-day";q=100;w=86400', '"requests-day";r=40;t=21600'],
    [
      'of both',
      { rate, budget: budget() },
      '"rate";q=60;w=60, "requests-day";q=100;w=86400',
      '"rate";r=12;t=48, "requests-day";r=40;t=21600',
    ],
    [
      'of tokens, with their unit',
      { budget: budget({ metric: 'tokens', limit: '9000', remaining: '1' }) },
      '"tokens-day";q=9000;qu="tokens";w=86400',
      '"tokens-day";r=1;t=21600',
    ],
    [
      'of a total, which has no window',
      { budget: budget({ window: 'total', startsAt: null, resetsAt: null }) },
      '"requests-total";q=100',
      '"requests-total";r=40',
    ],
    [
      'of a day on which clocks are set forward',
      { budget: budget({ startsAt: new Date('2026-03-04T01:00:00Z') }) },
      '"requests-day";q=100;w=82800',
      '"requests-day";r=40;t=21600',
    ],
    [
      'of a window that is over by the clock of this process',
      { budget: budget({ resetsAt: new Date(NOW - 1) }) },
      '"requests-day";q=100;w=64800',
      '"requests-day";r=40;t=0',
    ],
    [
      'of more than a structured field can hold',
      { budget: budget({ limit: '99999999999999999999', remaining: '1e18' }) },
      '"requests-day";q=999999999999999;w=86400',
      '"requests-day";r=999999999999999;t=21600',
    ],
  ]
  it.each(cases)('%s', (_what, state, policy, now) => {
    expect(limitHeaders(state, NOW)).toEqual({ 'ratelimit-policy': policy, ratelimit: now })
  })

  it('are not there where nothing is limited', () => {
    expect(limitHeaders({ rate: null, budget: undefined }, NOW)).toEqual({})
  })
})

describe('money in the header fields is cents, of what is left no more than there is', () => {
  const cases: [string, string, number, number][] = [
    ['100', '50', 10_000, 5000],
    ['0.05', '0.05', 5, 5],
    ['0.29', '0.29', 29, 29],
    ['19.99', '1.15', 1999, 115],
    ['4.35', '0.57', 435, 57],
    ['1', '0.0199999999', 100, 1],
    ['0.0000000001', '0.0000000001', 0, 0],
  ]
  it.each(cases)('of %s USD, %s left: %i and %i', (limit, remaining, q, r) => {
    expect(limitHeaders({ budget: cost(limit, remaining) }, NOW)).toEqual({
      'ratelimit-policy': `"cost-day";q=${q};qu="usd-cents";w=86400`,
      ratelimit: `"cost-day";r=${r};t=21600`,
    })
  })
})
