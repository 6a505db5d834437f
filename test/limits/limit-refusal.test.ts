import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { BudgetLeft, BudgetState, RefusedVerdict } from '../../src/ledger/types.ts'
import { limitRefusal, rateRefusal } from '../../src/limit-refusal.ts'

const NOW = new Date('2026-03-04T18:00:00Z')
const MIDNIGHT = new Date('2026-03-05T00:00:00Z')
const SIX_HOURS = 6 * 3600 * 1000
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: NOW })
})
afterEach(() => {
  vi.useRealTimers()
})

/** A day's budget of 100 requests of a user, used up. */
const budget = (more: Partial<BudgetState> = {}): BudgetState => ({
  scope: 'user',
  metric: 'requests',
  window: 'day',
  limit: '100',
  remaining: '0',
  startsAt: new Date('2026-03-04T00:00:00Z'),
  resetsAt: MIDNIGHT,
  warning: 0.95,
  ...more,
})
const never: Partial<BudgetState> = { window: 'total', startsAt: null, resetsAt: null }

/** The refusal of a budget that comes back at midnight, unless told otherwise. */
const refused = (more: Partial<BudgetState> = {}, verdict: Partial<RefusedVerdict> = {}): RefusedVerdict => ({
  admitted: false,
  code: 'quota_exceeded',
  userId: 'a user',
  quotaId: 'a quota',
  calls: 1,
  retryAfterMs: SIX_HOURS,
  budget: budget(more),
  ...verdict,
})
const forever: RefusedVerdict = {
  admitted: false,
  code: 'quota_exceeded',
  userId: 'a user',
  quotaId: 'a quota',
  calls: 1,
  budget: budget(never),
}
const left = (more: Partial<BudgetLeft> = {}): BudgetLeft => ({
  scope: 'user',
  metric: 'tokens',
  window: 'month',
  tools: null,
  models: null,
  remaining: '5000',
  ...more,
})
const sentenceOf = (verdict: RefusedVerdict) => limitRefusal(verdict, null)?.detail

const COMES_BACK = 'comes back at 2026-03-05T00:00:00.000Z, in 6 hours.'

describe('the sentence names the budget', () => {
  const cases: [Partial<BudgetState>, string][] = [
    [{}, 'Your budget of 100 requests a day'],
    [{ scope: 'each_user' }, 'Your budget of 100 requests a day'],
    [{ scope: 'department' }, "Your department's budget of 100 requests a day"],
    [{ scope: 'each_department' }, "Your department's budget of 100 requests a day"],
    [{ scope: 'everyone' }, "Everybody's budget of 100 requests a day"],
    [{ metric: 'tokens', limit: '250000' }, 'Your budget of 250000 tokens a day'],
    [{ metric: 'cost', limit: '0.5' }, 'Your budget of 0.5 USD a day'],
    [{ metric: 'unpriced' }, 'Your budget of 100 unpriced calls a day'],
    [{ metric: 'unpriced', limit: '1' }, 'Your budget of 1 unpriced call a day'],
    [{ window: 'minute' }, 'Your budget of 100 requests a minute'],
    [{ window: 'hour' }, 'Your budget of 100 requests an hour'],
    [{ window: 'week' }, 'Your budget of 100 requests a week'],
    [{ window: 'month' }, 'Your budget of 100 requests a month'],
  ]
  it.each(cases)('%j: %s', (more, name) => {
    const sooner =
      more.metric === 'unpriced'
        ? ' An administrator may price the models, and those calls anew, before.'
        : ''
    expect(sentenceOf(refused(more))).toBe(`${name} is used up and ${COMES_BACK}${sooner}`)
  })

  it('of which nothing comes back by itself', () => {
    expect(sentenceOf(forever)).toBe(
      'Your budget of 100 requests in total is used up and does not come back by itself: ask an administrator.',
    )
  })
})

describe('the sentence says what is in the way', () => {
  const tokens: Partial<BudgetState> = { metric: 'tokens', limit: '9000', remaining: '40' }
  const cases: [string, RefusedVerdict, string][] = [
    [
      'less left than the call may use',
      refused(tokens),
      `Your budget of 9000 tokens a day has 40 tokens left, which is less than this call may use and ${COMES_BACK}`,
    ],
    [
      'less money left',
      refused({ metric: 'cost', limit: '2', remaining: '0.0000000001' }),
      `Your budget of 2 USD a day has 0.0000000001 USD left, which is less than this call may use and ${COMES_BACK}`,
    ],
    [
      'all of it held by other calls',
      refused({}, { retryAfterMs: 1000, held: true }),
      'Your budget of 100 requests a day is used up while other calls are in flight; try again when one of them has ended.',
    ],
    [
      'too much of it held by other calls',
      refused(tokens, { retryAfterMs: 1000, held: true }),
      'Your budget of 9000 tokens a day has 40 tokens left, which is less than this call may use while other calls are in flight; try again when one of them has ended.',
    ],
    [
      'all of a total held by other calls',
      refused(never, { retryAfterMs: 1000, held: true }),
      'Your budget of 100 requests in total is used up while other calls are in flight; try again when one of them has ended.',
    ],
    [
      'a rate',
      {
        ...refused(),
        code: 'rate_limited',
        rate: { limit: 60, windowSeconds: 60, remaining: 0, resetMs: 60_000 },
      },
      'At most 60 calls in 60 seconds; wait 6 hours before you call again.',
    ],
    [
      'calls in flight',
      { ...refused(), code: 'too_many_calls' },
      'At most 8 calls of a user may run at once; try again when one of them has ended.',
    ],
  ]
  it.each(cases)('%s', (_what, verdict, sentence) => {
    expect(limitRefusal(verdict, 8)?.detail).toBe(sentence)
  })

  it('though the clock of this process is behind that of the database', () => {
    vi.setSystemTime(+NOW - 5000)
    expect(sentenceOf(refused())).toContain(COMES_BACK)
  })

  it('though the clock of this process is ahead of that of the database', () => {
    vi.setSystemTime(MIDNIGHT)
    expect(sentenceOf(refused({}, { retryAfterMs: 1000, held: true }))).toContain(
      'while other calls are in flight',
    )
  })
})

describe('the sentence says what is left elsewhere', () => {
  const cases: [string, BudgetLeft[], string][] = [
    ['nothing', [], ''],
    ['tokens of a month', [left()], ' Left elsewhere: 5000 tokens of your month.'],
    [
      'money of all, for tools',
      [left({ scope: 'everyone', metric: 'cost', window: 'total', remaining: '1.25', tools: ['a', 'b'] })],
      " Left elsewhere: 1.25 USD of everybody's total for a, b.",
    ],
    [
      'several, with models',
      [left({ models: ['gpt-4o'] }), left({ scope: 'department', metric: 'requests', remaining: '0' })],
      " Left elsewhere: 5000 tokens of your month with gpt-4o; 0 requests of your department's month.",
    ],
  ]
  it.each(cases)('%s', (_what, elsewhere, words) => {
    expect(sentenceOf(refused({}, { elsewhere }))).toBe(
      `Your budget of 100 requests a day is used up and ${COMES_BACK}${words}`,
    )
  })
})

describe('a duration in words is never shorter than it is', () => {
  const cases: [number, string][] = [
    [0, 'a second'],
    [1, 'a second'],
    [1000, 'a second'],
    [1001, '2 seconds'],
    [119_999, '120 seconds'],
    [120_000, '2 minutes'],
    [120_001, '3 minutes'],
    [7_199_999, '120 minutes'],
    [7_200_000, '2 hours'],
    [172_799_999, '48 hours'],
    [172_800_000, '2 days'],
    [30 * 86_400_000 + 1, '31 days'],
  ]
  it.each(cases)('%i ms: %s', (ms, words) => {
    expect(rateRefusal({ limit: 1, windowSeconds: 1, remaining: 0, resetMs: ms }, ms).detail).toContain(
      `wait ${words} before`,
    )
  })
})

describe('programs are told the same', () => {
  it('of a budget: amounts as numbers, money as decimals', () => {
    const elsewhere = [left({ metric: 'cost', remaining: '0.10' })]
    const { code, retryAfterSeconds, data } = limitRefusal(refused({}, { elsewhere }), null)!
    expect([code, retryAfterSeconds]).toEqual(['quota_exceeded', SIX_HOURS / 1000])
    expect(data).toEqual({
      kind: 'quota',
      scope: 'user',
      metric: 'requests',
      window: 'day',
      limit: 100,
      remaining: 0,
      reset_at: MIDNIGHT,
      retry_after_ms: SIX_HOURS,
      elsewhere: [{ ...left(), metric: 'cost', remaining: '0.10' }],
    })
    expect(
      limitRefusal(refused({ metric: 'cost', limit: '19.99', remaining: '0.01' }), null)?.data,
    ).toMatchObject({
      limit: '19.99',
      remaining: '0.01',
    })
  })

  it('of a budget that does not come back: no moment, and no Retry-After', () => {
    const refusal = limitRefusal(forever, null)!
    expect(refusal).not.toHaveProperty('retryAfterSeconds')
    expect(refusal.data).toMatchObject({ reset_at: null, retry_after_ms: null })
  })

  it('of a rate and of calls in flight: the moment at which to come again', () => {
    const rate = { limit: 5, windowSeconds: 60, remaining: 0, resetMs: 60_000 }
    const verdict: RefusedVerdict = { ...refused(), code: 'rate_limited', retryAfterMs: 12_000, rate }
    expect(limitRefusal(verdict, null)).toMatchObject({
      retryAfterSeconds: 12,
      data: { kind: 'rate', limit: 5, remaining: 0, reset_at: new Date(+NOW + 12_000) },
    })
    expect(limitRefusal({ ...refused(), code: 'too_many_calls' }, 8)).toMatchObject({
      retryAfterSeconds: 1,
      data: { kind: 'in_flight', limit: 8, remaining: 0, reset_at: new Date(+NOW + 1000) },
    })
  })

  it('of a batch above what is left of a rate: what is left, as the header says it', () => {
    const rate = { limit: 5, windowSeconds: 60, remaining: 3, resetMs: 24_000 }
    const verdict: RefusedVerdict = { ...refused(), code: 'rate_limited', retryAfterMs: 12_000, rate }
    expect(limitRefusal(verdict, null)).toMatchObject({
      headers: { ratelimit: expect.stringContaining('"rate";r=3;') },
      data: { remaining: 3 },
    })
  })

  it.each(['blocked', 'invalid_token', 'session_not_found'] as const)('and %s is no limit', (code) => {
    expect(limitRefusal({ admitted: false, code, userId: null, quotaId: null, calls: 1 }, 8)).toBeNull()
  })
})
