import { expect, test } from 'vitest'
import { readCsv } from '../src/cli-csv.ts'

const cells = (text: string) => readCsv(text).map((line) => line.cells)

const files: [string, string, string[][]][] = [
  [
    'commas and CRLF',
    'a,b\r\n1,2\r\n',
    [
      ['a', 'b'],
      ['1', '2'],
    ],
  ],
  [
    'semicolons',
    'a;b\n1,5;2\n',
    [
      ['a', 'b'],
      ['1,5', '2'],
    ],
  ],
  [
    'tabs',
    'a\tb\n1\t2',
    [
      ['a', 'b'],
      ['1', '2'],
    ],
  ],
  ['one column, old line ends', 'a\r1\r', [['a'], ['1']]],
  [
    'a byte order mark',
    '\uFEFFa,b\n1,2\n',
    [
      ['a', 'b'],
      ['1', '2'],
    ],
  ],
  [
    'quotes, and what only quotes can hold',
    'a,b\n"say ""x"", y","1\r\n2"\n',
    [
      ['a', 'b'],
      ['say "x", y', '1\r\n2'],
    ],
  ],
  [
    'white space around',
    ' a , b \n 1 ,2 \n',
    [
      ['a', 'b'],
      ['1', '2'],
    ],
  ],
  [
    'empty cells and lines',
    'a,b\n,2\n\n,\n1,\n',
    [
      ['a', 'b'],
      ['', '2'],
      ['1', ''],
    ],
  ],
  ['nothing', '', []],
]
test.each(files)('reads %s', (_, text, table) => {
  expect(cells(text)).toEqual(table)
})

test('numbers lines as editors do', () => {
  const text = 'a,b\r\n"one\r\ntwo",2\r\n\r\n3,4\r\n'
  expect(readCsv(text).map(({ line, cells: [first] }) => [line, first])).toEqual([
    [1, 'a'],
    [2, 'one\r\ntwo'],
    [5, '3'],
  ])
})

test.each(['a,b\n"open,2\n3,4\n', 'a,b\n"x"y,2\n'])('names the line of a quotation mark in %j', (text) => {
  expect(() => readCsv(text)).toThrow('line 2: a quotation mark has no partner')
})
