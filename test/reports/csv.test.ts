import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { csvRow } from '../../src/reports/csv.ts'
import { parseCsv } from '../support/csv.ts'

describe('a line of CSV', () => {
  it('is RFC 4180', () => {
    expect(csvRow(['a,b', 'say "hi"', 'two\r\nlines', 'plain', '', null, 3, true])).toBe(
      '"a,b","say ""hi""","two\r\nlines",plain,,,3,true\r\n',
    )
    expect(csvRow([new Date('2026-10-01T00:00:00Z')])).toBe('2026-10-01T00:00:00.000Z\r\n')
  })

  it.each([
    '=1+1',
    '+1+1',
    '-1+1',
    '@SUM(A1)',
    '\t=1',
    '\r=1',
    '\n=1',
    '＝1+1',
    '+49 30 1234',
    '-',
    '=',
    '-1,5',
  ])('hides the formula %j from spreadsheets', (text) => {
    expect(parseCsv(csvRow([text]))).toEqual([[`'${text}`]])
  })

  it.each([-1, 0.5, '-0.0000000001', '12345678901234567890.0000000001', '1e-7', '-1e+7'])(
    'leaves the number %s a number',
    (number) => {
      expect(csvRow([number])).toBe(`${number}\r\n`)
    },
  )

  it('gives every text back, but for the apostrophe before a formula', () => {
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: fc.constantFrom('"', ',', '\r', '\n', '=', ' ', 'ö', 'a') }),
    )
    fc.assert(
      fc.property(fc.array(fc.array(text, { minLength: 1, maxLength: 4 }), { maxLength: 4 }), (rows) => {
        const read = parseCsv(rows.map((row) => csvRow(row)).join(''))
        expect(read.map((row) => row.map((cell) => cell.replace(/^'(?=[=+\-@\t\r\n＝＋－＠])/, '')))).toEqual(
          rows,
        )
      }),
      { seed: 5 },
    )
  })
})
