import { describe, expect, it } from 'vitest'
import { attentionList, attentionOf } from '../../src/dashboard/pages/attention.ts'
import type { CallSums } from '../../src/reports/call-sums.ts'
import type { McpBudget } from '../../src/reports/quota-rows.ts'
import { textOf } from './support.ts'

const sums = (calls: number, errors: number, unpriced_calls = 0): CallSums => ({
  calls,
  success: calls - errors,
  errors,
  prompt_tokens: 0,
  completion_tokens: 0,
  total_tokens: 0,
  cost: '0',
  unpriced_calls,
  estimated_calls: 0,
})
const report = (days: [calls: number, errors: number][], unpriced = 0) => ({
  period: { start: '', end: '', timezone: 'UTC' },
  group_by: 'day' as const,
  rows: days.map(([calls, errors], i) => ({ key: `2026-10-0${i + 1}`, ...sums(calls, errors) })),
  total: sums(
    days.reduce((sum, [calls]) => sum + calls, 0),
    days.reduce((sum, [, errors]) => sum + errors, 0),
    unpriced,
  ),
})
const budget = (more: Partial<McpBudget>): McpBudget => ({
  kind: 'budget',
  quota_id: 'id',
  scope: 'everyone',
  metric: 'cost',
  limit: '100',
  window: 'month',
  timezone: 'UTC',
  mode: 'enforce',
  warn_at: [],
  window_start: null,
  resets_at: null,
  created_at: '',
  updated_at: '',
  refused: { enforced: 0, observed: 0 },
  ...more,
})
const standing = (used: string, held = '0') => ({ used, held, left: '0', warning: null })
const NONE = { calls: 0, users: 0 }

const linesOf = (found: Partial<Parameters<typeof attentionOf>[0]>): string[] =>
  attentionOf({ quotas: [], refusals: NONE, byDay: report([]), ...found }, (id) => `<${id}>`).map(
    ({ kind, text }) => `${kind}: ${textOf(String(text)).trim()}`,
  )

describe('what needs attention', () => {
  it('is nothing where all is as usual', () => {
    const quotas = [budget(standing('79.99')), budget({ scope: 'each_user' })]
    expect(
      linesOf({
        quotas,
        byDay: report([
          [100, 2],
          [100, 3],
        ]),
      }),
    ).toEqual([])
    expect(textOf(String(attentionList([])))).toContain('Nothing needs attention')
  })

  it('is a budget from 80 % on, with what is held; those used up first', () => {
    const quotas = [
      budget({ ...standing('70', '10'), mode: 'warn' }),
      budget({
        scope: 'user',
        subject: 'u',
        metric: 'tokens',
        limit: 1000,
        window: 'total',
        used: 1000,
        held: 0,
      }),
      budget({
        scope: 'each_user',
        holders: [
          {
            subject: 'v',
            name: 'Vera',
            resets_at: null,
            refused: { enforced: 0, observed: 0 },
            ...standing('95'),
          },
        ],
      }),
    ]
    expect(linesOf({ quotas })).toEqual([
      'Used up: <u> used 100.0% of 1,000 tokens in all',
      'Near its cap: Everyone used 80.0% of $100.00 this month, which only warns',
      'Near its cap: Vera used 95.0% of $100.00 this month',
    ])
  })

  it('is a day on which three times as many calls failed as usual, if they are ten', () => {
    expect(
      linesOf({
        byDay: report([
          [1000, 10],
          [100, 20],
        ]),
      }),
    ).toEqual(['Errors: 20.0% of the calls failed on 2 Oct 2026, against 2.7% in the whole period'])
    expect(
      linesOf({
        byDay: report([
          [1000, 10],
          [10, 9],
        ]),
      }),
    ).toEqual([])
  })

  it('is what was refused, and what has no price', () => {
    expect(linesOf({ refusals: { calls: 1200, users: 1 }, byDay: report([[5, 0]], 1) })).toEqual([
      'Refused: 1,200 calls of 1 user went over a limit',
      'No price: 1 call used a model that has no price: the costs here are too low',
    ])
  })
})
