import { describe, expect, it } from 'vitest'
import { sumOf, without } from '../../src/reports/exact.ts'

describe('exact amounts', () => {
  const sums: [amounts: string[], sum: string][] = [
    [[], '0'],
    [['0.1', '0.2'], '0.3'],
    [['0.0000000001', '99999999999999.9999999999'], '100000000000000'],
    [['1.50', '-0.5'], '1'],
    [['-0.0000000001'], '-0.0000000001'],
  ]
  it.each(sums)('%j add up to %s', (amounts, sum) => {
    expect(sumOf(amounts)).toBe(sum)
  })

  it('are what is left of a sum', () => {
    expect(without('1.8750000001', ['1.5000000001', '0.25'])).toBe('0.125')
    expect(without('1', ['1.000'])).toBe('0')
  })

  it.each(['', '1e-7', 'NaN', '0.00000000001', '1,5'])('are never made of %j', (text) => {
    expect(() => sumOf([text])).toThrow('is no amount')
  })
})
