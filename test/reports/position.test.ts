import { describe, expect, it } from 'vitest'
import { cursorOf, cutPage, positionOf } from '../../src/reports/position.ts'

const id = '550e8400-e29b-41d4-a716-446655440000'

describe('a cursor', () => {
  it.each(['0', '1767225600123456', '-62135596800000000'])('says %s and comes back', (micros) => {
    const cursor = cursorOf({ micros, id })
    expect(cursor).toMatch(/^[\w-]+$/)
    expect(positionOf(cursor)).toEqual({ micros, id })
  })

  const wrong = [
    '',
    'é',
    '%%%',
    btoa(id),
    btoa(`1.5 ${id}`),
    btoa(`1 ${id}0`),
    btoa(`1 ${id} `),
    btoa('1 --'),
  ]
  it.each(wrong)('is none when it reads %j', (cursor) => {
    expect(positionOf(cursor)).toBeNull()
  })
})

const row = (micros: string) => ({ micros, id })

describe('a page', () => {
  it('ends with a position only where there is more', () => {
    const rows = [row('3'), row('2'), row('1')]
    expect(cutPage(rows, 2)).toEqual({ rows: [row('3'), row('2')], next: row('2') })
    expect(cutPage(rows, 3)).toEqual({ rows, next: null })
    expect(cutPage([], 3)).toEqual({ rows: [], next: null })
  })
})
