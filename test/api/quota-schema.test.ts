import { describe, expect, it } from 'vitest'
import { PreviewBody, QuotaBody } from '../../src/api/quota-schema.ts'

const budget = { scope: 'everyone', metric: 'requests', limit: 100, window: 'month' }
const rate = { kind: 'rate', scope: 'each_user', limit: 60, window_seconds: 60 }
const alice = '550e8400-e29b-41d4-a716-446655440000'

const faultsOf = (body: unknown): string[] =>
  (QuotaBody.safeParse(body).error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`)

describe('a body', () => {
  it('of a budget takes what is left out from the defaults', () => {
    expect(QuotaBody.parse(budget)).toEqual({
      quotaId: null,
      kind: 'budget',
      scope: 'everyone',
      subject: null,
      metric: 'requests',
      amount: '100',
      window: 'month',
      timezone: 'UTC',
      anchorDay: null,
      anchorHour: null,
      windowSeconds: null,
      burst: null,
      tools: null,
      models: null,
      mode: 'enforce',
      warnAt: [0.8, 0.95],
    })
  })

  it('of a rate has a burst of its limit unless told', () => {
    expect(QuotaBody.parse(rate)).toMatchObject({ metric: null, amount: '60', windowSeconds: 60, burst: 60 })
    expect(QuotaBody.parse({ ...rate, burst: 5 })).toMatchObject({ burst: 5 })
  })

  it('says the id of a user in small letters', () => {
    const body = { ...budget, scope: 'user', subject: alice.toUpperCase(), quota_id: alice.toUpperCase() }
    expect(QuotaBody.parse(body)).toMatchObject({ subject: alice, quotaId: alice })
    expect(QuotaBody.parse({ ...budget, scope: 'department', subject: 'Sales' })).toMatchObject({
      subject: 'Sales',
    })
  })

  const anchors = [
    [
      { window: 'week', anchor: { day_of_week: 7, hour: 6 } },
      { anchorDay: 7, anchorHour: 6 },
    ],
    [
      { window: 'month', anchor: { day_of_month: 31 } },
      { anchorDay: 31, anchorHour: null },
    ],
    [
      { window: 'day', anchor: { hour: 0 } },
      { anchorDay: null, anchorHour: 0 },
    ],
  ] as const
  it.each(anchors)('anchors %j', (fields, anchored) => {
    expect(QuotaBody.parse({ ...budget, ...fields })).toMatchObject(anchored)
  })

  const limits: [metric: string, limit: unknown, amount: string][] = [
    ['requests', 0, '0'],
    ['tokens', '1000000', '1000000'],
    ['unpriced', 1, '1'],
    ['cost', '0.0000000001', '0.0000000001'],
    ['cost', '100', '100'],
    ['cost', 100, '100'],
    ['cost', 0.1, '0.1'],
  ]
  it.each(limits)('of %s may be limited to %j', (metric, limit, amount) => {
    expect(QuotaBody.parse({ ...budget, metric, limit })).toMatchObject({ amount })
  })
})

describe('a fault', () => {
  const faults: [fields: object, path: string][] = [
    [{ limit: -1 }, 'limit'],
    [{ limit: 1.5 }, 'limit'],
    [{ limit: '1e3' }, 'limit'],
    [{ limit: 1e21 }, 'limit'],
    [{ limit: null }, 'limit'],
    [{ metric: 'unpriced', limit: 0 }, 'limit'],
    [{ metric: 'unpriced', limit: 1.5 }, 'limit'],
    [{ metric: 'cost', limit: 1e-7 }, 'limit'],
    [{ metric: 'cost', limit: '0.00000000001' }, 'limit'],
    [{ metric: 'cost', limit: '-1' }, 'limit'],
    [{ metric: 'cost', limit: '.5' }, 'limit'],
    [{ metric: 'cost', limit: 'NaN' }, 'limit'],
    [{ metric: 'calls' }, 'metric'],
    [{ window: 'year' }, 'window'],
    [{ scope: 'user' }, 'subject'],
    [{ scope: 'user', subject: 'alice' }, 'subject'],
    [{ scope: 'department' }, 'subject'],
    [{ scope: 'department', subject: '' }, 'subject'],
    [{ scope: 'each_user', subject: alice }, 'subject'],
    [{ scope: 'nobody', subject: alice }, 'scope'],
    [{ kind: 'cap' }, 'kind'],
    [{ anchor: { day_of_week: 1 } }, 'anchor.day_of_week'],
    [{ anchor: { day_of_month: 32 } }, 'anchor.day_of_month'],
    [{ anchor: { day: 1 } }, 'anchor'],
    [{ window: 'hour', anchor: { hour: 1 } }, 'anchor.hour'],
    [{ window: 'day', anchor: { hour: 24 } }, 'anchor.hour'],
    [{ timezone: 'CET' }, 'timezone'],
    [{ tools: [] }, 'tools'],
    [{ tools: ['a\0b'] }, 'tools.0'],
    [{ models: [] }, 'models'],
    [{ models: ['x'.repeat(101)] }, 'models.0'],
    [{ mode: 'block' }, 'mode'],
    [{ warn_at: [0] }, 'warn_at.0'],
    [{ warn_at: [1.1] }, 'warn_at.0'],
    [{ quota_id: 'mine' }, 'quota_id'],
    [{ color: 'red' }, ''],
    [{ window_seconds: 60 }, ''],
  ]
  it.each(faults)('of a budget: %j', (fields, path) => {
    expect(faultsOf({ ...budget, ...fields })).toEqual([expect.stringMatching(`^${path}: `)])
  })

  const rateFaults: [fields: object, path: string][] = [
    [{ limit: 0 }, 'limit'],
    [{ limit: '1.5' }, 'limit'],
    [{ limit: 2 ** 31 }, 'limit'],
    [{ window_seconds: 0 }, 'window_seconds'],
    [{ window_seconds: 1.5 }, 'window_seconds'],
    [{ burst: 0 }, 'burst'],
    [{ metric: 'requests' }, ''],
    [{ window: 'day' }, ''],
    [{ timezone: 'UTC' }, ''],
    [{ models: ['m'] }, ''],
  ]
  it.each(rateFaults)('of a rate: %j', (fields, path) => {
    expect(faultsOf({ ...rate, ...fields })).toEqual([expect.stringMatching(`^${path}: `)])
  })

  it('hides no other, whether of a field alone or of fields together', () => {
    const wrong = { scope: 'user', metric: 'cost', limit: '.1', window: 'day', anchor: { day_of_week: 1 } }
    expect(faultsOf({ ...wrong, subject: 'bob', tools: [], mode: 1, color: 'red' })).toEqual([
      'tools: Too small: expected array to have >=1 items',
      'mode: Invalid option: expected one of "observe"|"warn"|"enforce"',
      ': Unrecognized key: "color"',
      'subject: must be the id of a user',
      'limit: must be USD, not negative, with at most 10 decimals',
      'anchor.day_of_week: belongs to windows of a week',
    ])
  })

  it.each([null, [], 'quota', 1])('is a body that is %j', (body) => {
    expect(faultsOf(body)).toHaveLength(1)
  })
})

describe('a preview', () => {
  it('is of 30 days unless told', () => {
    expect(PreviewBody.parse(budget)).toEqual({ days: 30, quota: QuotaBody.parse(budget) })
    expect(PreviewBody.parse({ ...rate, days: 366 })).toMatchObject({ days: 366 })
  })

  it('tells the faults of the days and of the quota together', () => {
    const { error } = PreviewBody.safeParse({ ...budget, days: 0, limit: -1, mode: 'block' })
    expect(error?.issues.map(({ path }) => path.join('.'))).toEqual(['days', 'mode', 'limit'])
  })
})
