import { describe, expect, it } from 'vitest'
import { createSseReader } from '../../src/usage/sse-reader.ts'

const encode = (text: string) => new TextEncoder().encode(text)

/** The events that are read when the bytes come in pieces of this size. */
function eventsOf(bytes: Uint8Array, size = bytes.length): { events: string[]; oversized: boolean } {
  const events: string[] = []
  const reader = createSseReader((data) => events.push(data))
  for (let start = 0; start < bytes.length; start += size) reader.push(bytes.subarray(start, start + size))
  return { events, oversized: reader.oversized() }
}

const cases: { name: string; text: string; events: string[] }[] = [
  { name: 'one event', text: 'data: {"a":1}\n\n', events: ['{"a":1}'] },
  { name: 'two events', text: 'data: a\n\ndata: b\n\n', events: ['a', 'b'] },
  { name: 'lines that end in CR', text: 'data: a\r\rdata: b\r\r', events: ['a', 'b'] },
  { name: 'lines that end in CR LF', text: 'data: a\r\n\r\ndata: b\r\n\r\n', events: ['a', 'b'] },
  { name: 'line ends mixed', text: 'data: a\r\n\ndata: b\n\r\ndata: c\r\r\n', events: ['a', 'b', 'c'] },
  { name: 'data of several lines', text: 'data: a\ndata: b\ndata:\ndata: c\n\n', events: ['a\nb\n\nc'] },
  { name: 'no space after the colon', text: 'data:a\n\n', events: ['a'] },
  { name: 'one space taken away, no more', text: 'data:  a \n\n', events: [' a '] },
  { name: 'other fields', text: 'event: message\nid: 7\nretry: 10\ndata: a\n\n', events: ['a'] },
  { name: 'comments', text: ': keep-alive\n\n:\n\ndata: a\n: x\n\n', events: ['a'] },
  { name: 'an event without data', text: 'event: ping\n\nid: 1\n\n', events: [] },
  { name: 'empty lines', text: '\n\n\r\n\r\rdata: a\n\n\n\n', events: ['a'] },
  { name: 'fields that begin like data', text: 'database: a\ndata-x: b\ndat: c\n\n', events: [] },
  { name: 'a byte order mark', text: '\ufeffdata: a\n\n', events: ['a'] },
  { name: 'characters of two, three and four bytes', text: 'data: é€😀\n\n', events: ['é€😀'] },
  { name: 'an event that never ended', text: 'data: a\n\ndata: b\n', events: ['a'] },
  { name: 'no end of the last line', text: 'data: a', events: [] },
]

describe('the events of a stream', () => {
  for (const { name, text, events } of cases) {
    it(`${name}, wherever the pieces end`, () => {
      const bytes = encode(text)
      for (let size = 1; size <= bytes.length; size += 1)
        expect(eventsOf(bytes, size)).toEqual({ events, oversized: false })
    })
  }

  it('come at once, not when the stream ends', () => {
    const events: string[] = []
    const reader = createSseReader((data) => events.push(data))
    reader.push(encode('data: a\n'))
    expect(events).toEqual([])
    reader.push(encode('\n'))
    expect(events).toEqual(['a'])
  })

  it('come also where an empty piece lies between CR and LF', () => {
    const events: string[] = []
    const reader = createSseReader((data) => events.push(data))
    for (const piece of ['data: a\r', '', '\ndata: b\r', '', '\n', '\n']) reader.push(encode(piece))
    expect(events).toEqual(['a\nb'])
  })
})

describe('an event that is too large', () => {
  const MIB = 1024 * 1024
  const line = `data: ${'x'.repeat(5 * MIB)}\n`
  const lines = `data: ${'x'.repeat(MIB)}\n`.repeat(5)
  for (const [name, large] of [
    ['in one line', line],
    ['in many lines', lines],
  ] as const) {
    for (const size of [undefined, 65_536]) {
      it(`${name}${size ? ', in pieces' : ''}, passes unread, and the next is read`, () => {
        const bytes = encode(`data: before\n\n${large}data: tail\n\ndata: after\n\n`)
        expect(eventsOf(bytes, size)).toEqual({ events: ['before', 'after'], oversized: true })
      })
    }
  }

  it('is not one of 3 MiB', () => {
    const data = 'x'.repeat(3 * MIB)
    expect(eventsOf(encode(`data: ${data}\n\n`), 65_536)).toEqual({ events: [data], oversized: false })
  })

  it('is not a long comment', () => {
    expect(eventsOf(encode(`:${'x'.repeat(5 * MIB)}\n\ndata: a\n\n`), 65_536)).toEqual({
      events: ['a'],
      oversized: false,
    })
  })
})
