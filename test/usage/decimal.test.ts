import { expect, it } from 'vitest'
import { decimal } from '../../src/usage/decimal.ts'

const cases: [value: number | string, places: number, text: string | null][] = [
  [0.15, -3, '0.00015'],
  [1e-7, 0, '0.0000001'],
  [1.5e-7, -3, '0.00000000015'],
  [15, -3, '0.015'],
  [3000, -3, '3'],
  [12.5, 1, '125'],
  [12.5, 2, '1250'],
  [1e21, 0, '1000000000000000000000'],
  ['0.1200', 0, '0.12'],
  ['0010.50', 0, '10.5'],
  ['100', 0, '100'],
  [0, -3, '0'],
  [-1, 0, null],
  [Number.NaN, 0, null],
  [Infinity, 0, null],
  ['1,5', 0, null],
  ['', 0, null],
]
it.each(cases)('%j moved by %i is %j', (value, places, text) => {
  expect(decimal(value, places)).toBe(text)
})

it('is exact where a division is not', () => {
  expect(String(0.03 / 1000)).toBe('0.000029999999999999997')
  expect(decimal(0.03, -3)).toBe('0.00003')
})
