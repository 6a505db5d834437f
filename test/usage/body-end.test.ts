import { describe, expect, it } from 'vitest'
import { type BodyEnd, watchBody } from '../../src/usage/body-end.ts'

/** A body that its writer drives, watched. */
function watched() {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined
  const log: string[] = []
  let cancelledWith: unknown
  const source = new ReadableStream<Uint8Array>({
    start: (given) => {
      controller = given
    },
    cancel: (reason) => {
      cancelledWith = reason
    },
  })
  const ends: BodyEnd[] = []
  const body = watchBody(
    source,
    (chunk) => log.push(new TextDecoder().decode(chunk)),
    (end) => ends.push(end),
  )
  const write = (text: string) => controller!.enqueue(new TextEncoder().encode(text))
  return { body, log, ends, write, controller: controller!, cancelledWith: () => cancelledWith }
}

describe('a body that is watched', () => {
  it('passes chunk by chunk, while its writer goes on', async () => {
    const { body, log, ends, write, controller } = watched()
    const reader = body.getReader()
    write('a')
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('a')
    expect([log, ends]).toEqual([['a'], []])
    write('b')
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('b')
    controller.close()
    expect((await reader.read()).done).toBe(true)
    expect([log, ends]).toEqual([['a', 'b'], ['complete']])
  })

  it('is not read ahead of its reader', async () => {
    const { body, log, write } = watched()
    write('a')
    await new Promise((resolve) => setTimeout(resolve, 0))
    expect(log).toEqual([])
    await body.getReader().read()
    expect(log).toEqual(['a'])
  })

  it('ends once when it is cancelled between chunks, and its writer is told why', async () => {
    const { body, ends, write, cancelledWith } = watched()
    const reader = body.getReader()
    write('a')
    await reader.read()
    await reader.cancel('gone')
    expect(ends).toEqual(['cancelled'])
    expect(cancelledWith()).toBe('gone')
  })

  it('ends once when it is cancelled while its reader waits', async () => {
    const { body, ends, cancelledWith } = watched()
    const reader = body.getReader()
    const waiting = reader.read()
    await reader.cancel('gone')
    expect((await waiting).done).toBe(true)
    expect(ends).toEqual(['cancelled'])
    expect(cancelledWith()).toBe('gone')
  })

  it('ends once when its writer fails, and its reader is told', async () => {
    const { body, ends, controller } = watched()
    const reader = body.getReader()
    controller.error(new Error('disk full'))
    await expect(reader.read()).rejects.toThrow('disk full')
    expect(ends).toEqual(['failed'])
  })
})
