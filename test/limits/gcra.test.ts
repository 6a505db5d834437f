import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decideRate, type Rate } from '../../src/limits/gcra.ts'
import { createMemoryStore } from '../../src/limits/memory-store.ts'

const MINUTE: Rate = { limit: 60, windowSeconds: 60, burst: 60 }

describe('a rate of 60 a minute, 60 at once', () => {
  const cases: { name: string; emptyAt: number | undefined; calls: number; expected: object }[] = [
    {
      name: 'admits the first call',
      emptyAt: undefined,
      calls: 1,
      expected: { allowed: true, emptyAtMs: 1000, remaining: 59, resetMs: 1000 },
    },
    {
      name: 'admits the whole burst at once',
      emptyAt: undefined,
      calls: 60,
      expected: { allowed: true, remaining: 0, resetMs: 60_000 },
    },
    {
      name: 'refuses the next until one is worked off',
      emptyAt: 60_000,
      calls: 1,
      expected: { allowed: false, retryAfterMs: 1000, remaining: 0, resetMs: 60_000 },
    },
    {
      name: 'admits one when one is worked off',
      emptyAt: 59_000,
      calls: 1,
      expected: { allowed: true, remaining: 0 },
    },
    {
      name: 'takes a batch whole or not at all',
      emptyAt: 58_500,
      calls: 2,
      expected: { allowed: false, retryAfterMs: 500, remaining: 1 },
    },
    {
      name: 'forgets what is long past',
      emptyAt: -10_000,
      calls: 1,
      expected: { allowed: true, emptyAtMs: 1000 },
    },
  ]
  it.each(cases)('$name', ({ emptyAt, calls, expected }) => {
    expect(decideRate(MINUTE, emptyAt, 0, calls)).toMatchObject(expected)
  })
})

/** The slow, obvious model: a bucket of `burst` tokens that drip back one by one, counted in whole ticks. */
class Bucket {
  tokens: number
  last = 0
  readonly rate: Rate
  constructor(rate: Rate) {
    this.rate = rate
    this.tokens = rate.burst
  }
  take(calls: number, nowMs: number): boolean {
    const perMs = this.rate.limit / (this.rate.windowSeconds * 1000)
    this.tokens = Math.min(this.rate.burst, this.tokens + (nowMs - this.last) * perMs)
    this.last = nowMs
    if (this.tokens + 1e-6 < calls) return false
    this.tokens -= calls
    return true
  }
}

const rates = fc.record({
  limit: fc.integer({ min: 1, max: 100 }),
  windowSeconds: fc.integer({ min: 1, max: 3600 }),
  burst: fc.integer({ min: 1, max: 100 }),
})
const arrivals = fc.array(fc.record({ waitMs: fc.nat(100_000), calls: fc.integer({ min: 1, max: 5 }) }), {
  maxLength: 60,
})

it('decides as a bucket of tokens does', () => {
  fc.assert(
    fc.property(rates, arrivals, (rate, sequence) => {
      const bucket = new Bucket(rate)
      const store = createMemoryStore()
      let now = 0
      for (const { waitMs, calls } of sequence) {
        now += waitMs
        expect(store.take('key', rate, calls, now).allowed).toBe(bucket.take(calls, now))
      }
    }),
    { numRuns: 500 },
  )
})

it('admits at the moment that a refusal names, and not before', () => {
  fc.assert(
    fc.property(rates, arrivals, (rate, sequence) => {
      const store = createMemoryStore()
      let now = 0
      for (const { waitMs, calls } of sequence) {
        now += waitMs
        const decision = store.take('key', rate, calls, now)
        if (decision.allowed || calls > rate.burst) continue
        expect(store.take('key', rate, calls, now + decision.retryAfterMs - 2).allowed).toBe(false)
        now += decision.retryAfterMs
        expect(store.take('key', rate, calls, now).allowed).toBe(true)
      }
    }),
    { numRuns: 300 },
  )
})

it('forgets the cells that are soonest empty when there are too many', () => {
  const store = createMemoryStore(10)
  for (let key = 0; key < 11; key += 1) store.take(`key ${key}`, MINUTE, key + 1, 0)
  expect(store.take('key 0', MINUTE, 60, 0).allowed).toBe(true)
  expect(store.take('key 10', MINUTE, 60, 0).allowed).toBe(false)
})
