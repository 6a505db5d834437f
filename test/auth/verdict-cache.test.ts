import { describe, expect, it } from 'vitest'
import { createVerdictCache } from '../../src/auth/verdict-cache.ts'

const FAR = 1e12

describe('createVerdictCache', () => {
  it('gives back what it was given', () => {
    const cache = createVerdictCache<string>()
    cache.set('token', 'yes', FAR, 0)
    expect(cache.get('token', 1)).toBe('yes')
    expect(cache.get('other', 1)).toBeUndefined()
  })

  it('compares tokens whole: the same last 43 characters are not enough', () => {
    const cache = createVerdictCache<string>()
    const end = 's'.repeat(43)
    cache.set(`ada.${end}`, 'ada', FAR, 0)
    expect(cache.get(`eve.${end}`, 1)).toBeUndefined()
    cache.set(`eve.${end}`, 'eve', FAR, 1)
    expect(cache.get(`eve.${end}`, 1)).toBe('eve')
    expect(cache.get(`ada.${end}`, 1)).toBeUndefined()
  })

  it('forgets a token when it expires, to the millisecond', () => {
    const cache = createVerdictCache<string>()
    cache.set('token', 'yes', 1000, 0)
    expect(cache.get('token', 999)).toBe('yes')
    expect(cache.get('token', 1000)).toBeUndefined()
    expect(cache.size).toBe(0)
  })

  it('forgets any token after five minutes, so that a rotated-out key stops working', () => {
    const cache = createVerdictCache<string>()
    cache.set('token', 'yes', FAR, 0)
    expect(cache.get('token', 5 * 60 * 1000 - 1)).toBe('yes')
    expect(cache.get('token', 5 * 60 * 1000)).toBeUndefined()
  })

  it('keeps nothing that has expired already', () => {
    const cache = createVerdictCache<string>()
    cache.set('token', 'yes', 10, 10)
    expect(cache.size).toBe(0)
  })

  it('never holds more than two generations', () => {
    const cache = createVerdictCache<number>({ capacity: 10 })
    for (let i = 0; i < 1000; i++) {
      cache.set(`token ${i}`, i, FAR, 0)
      expect(cache.size).toBeLessThanOrEqual(20)
    }
  })

  it('keeps what is asked for while others come and go', () => {
    const cache = createVerdictCache<string>({ capacity: 10 })
    cache.set('busy', 'yes', FAR, 0)
    for (let i = 0; i < 1000; i++) {
      cache.set(`token ${i}`, 'no', FAR, 0)
      expect(cache.get('busy', 1)).toBe('yes')
    }
    expect(cache.get('token 0', 1)).toBeUndefined()
  })

  it('does not serve an older verdict once a newer one was set', () => {
    const cache = createVerdictCache<string>({ capacity: 2 })
    for (const token of ['a', 'b', 'c']) cache.set(token, 'first', FAR, 0)
    cache.set('a', 'second', FAR, 0)
    for (const token of ['d', 'e']) cache.set(token, 'first', FAR, 0)
    expect(cache.get('a', 1)).toBe('second')
  })

  it.each([0, -1, 1.5, Number.NaN])('refuses a capacity of %s', (capacity) => {
    expect(() => createVerdictCache({ capacity })).toThrow('capacity must be a positive integer')
  })
})
