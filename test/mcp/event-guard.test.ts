import { describe, expect, it } from 'vitest'
import { guardEvents } from '../../src/mcp/event-guard.ts'

const RESULT = 'data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n'
const PROGRESS = 'event: message\ndata: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n'
const lostError = (id: unknown, how: string) =>
  `event: message\ndata: {"lost":${JSON.stringify(id)},"how":"${how}"}\n\n`

/** A stream of these texts, which then ends or breaks off. */
function streamOf(chunks: string[], breaksOff: boolean): ReadableStream<Uint8Array> {
  const rest = chunks.map((chunk) => new TextEncoder().encode(chunk))
  return new ReadableStream({
    pull(controller) {
      const next = rest.shift()
      if (next !== undefined) controller.enqueue(next)
      else if (breaksOff) controller.error(new Error('broke off'))
      else controller.close()
    },
  })
}

const lost = (id: unknown, broke: boolean) => ({ lost: id, how: broke ? 'broke off' : 'ended' })

async function passedOf(
  chunks: string[],
  { ids = [1] as (string | number)[], breaksOff = false, resumable = false },
) {
  const reader = guardEvents(streamOf(chunks, breaksOff), { ids, resumable, lost }).getReader()
  const decoder = new TextDecoder()
  const passed: string[] = []
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return passed
      passed.push(decoder.decode(value))
    }
  } catch {
    return [...passed, 'broke off']
  }
}

describe('an event stream from upstream', () => {
  const cases: {
    name: string
    chunks: string[]
    options?: Parameters<typeof passedOf>[1]
    passed: string[]
  }[] = [
    { name: 'passes as it comes', chunks: [PROGRESS, RESULT], passed: [PROGRESS, RESULT] },
    { name: 'passes several events at once', chunks: [PROGRESS + RESULT], passed: [PROGRESS + RESULT] },
    {
      name: 'is cut at events, wherever its bytes were cut',
      chunks: [PROGRESS.slice(0, 20), PROGRESS.slice(20) + RESULT.slice(0, -1), RESULT.slice(-1)],
      passed: [PROGRESS, RESULT],
    },
    {
      name: 'may end its lines in CR LF, cut between the two',
      chunks: ['data: {"id":1,"result":{}}\r\n\r', '\n'],
      passed: ['data: {"id":1,"result":{}}\r\n\r\n'],
    },
    {
      name: 'passes comments at once, which keep it alive',
      chunks: [': ping\n', RESULT],
      passed: [': ping\n', RESULT],
    },
    {
      name: 'that ends without the result ends with an error',
      chunks: [PROGRESS],
      passed: [PROGRESS, lostError(1, 'ended')],
    },
    {
      name: 'that breaks off within the result ends with an error in its place',
      chunks: [PROGRESS, RESULT.slice(0, 30)],
      options: { breaksOff: true },
      passed: [PROGRESS, lostError(1, 'broke off')],
    },
    {
      name: 'that breaks off after the result has ended',
      chunks: [RESULT],
      options: { breaksOff: true },
      passed: [RESULT],
    },
    {
      name: 'owes each request of a batch its answer',
      chunks: [RESULT],
      options: { ids: [1, 'two', 3] },
      passed: [RESULT, lostError('two', 'ended'), lostError(3, 'ended')],
    },
    {
      name: 'may answer a batch in one event',
      chunks: ['data: [{"id":1,"result":{}},{"id":"two","error":{}}]\n\n'],
      options: { ids: [1, 'two'] },
      passed: ['data: [{"id":1,"result":{}},{"id":"two","error":{}}]\n\n'],
    },
    {
      name: 'is not answered by a request of the server with the same id',
      chunks: ['data: {"id":1,"method":"ping"}\n\n'],
      passed: ['data: {"id":1,"method":"ping"}\n\n', lostError(1, 'ended')],
    },
    {
      name: 'may say what is no JSON, which answers nothing',
      chunks: ['data: hello\n\n'],
      passed: ['data: hello\n\n', lostError(1, 'ended')],
    },
    {
      name: 'that may be taken up again ends as it does',
      chunks: ['id: 7\ndata:\n\n'],
      options: { resumable: true },
      passed: ['id: 7\ndata:\n\n'],
    },
    {
      name: 'that may be taken up again breaks off as it does',
      chunks: ['id: 7\ndata:\n\n'],
      options: { resumable: true, breaksOff: true },
      passed: ['id: 7\ndata:\n\n', 'broke off'],
    },
    {
      name: 'without ids cannot be taken up again',
      chunks: [PROGRESS],
      options: { resumable: true },
      passed: [PROGRESS, lostError(1, 'ended')],
    },
    { name: 'of nobody owes nothing', chunks: [PROGRESS], options: { ids: [] }, passed: [PROGRESS] },
  ]
  it.each(cases)('$name', async ({ chunks, options = {}, passed }) => {
    expect(await passedOf(chunks, options)).toEqual(passed)
  })

  it('holds back no more than four million characters of one event', async () => {
    const half = 'x'.repeat(3_000_000)
    const passed = await passedOf([`data: ${half}`, half, '\n\n'], {})
    expect(passed.map(({ length }) => length)).toEqual([6_000_006, 2])
  })

  it('is given up when its reader leaves', async () => {
    let cancelled: unknown
    const body = new ReadableStream<Uint8Array>({ cancel: (reason) => void (cancelled = reason) })
    const reader = guardEvents(body, { ids: [1], resumable: false, lost: () => null }).getReader()
    const waiting = reader.read()
    await reader.cancel('gone')
    expect([cancelled, (await waiting).done]).toEqual(['gone', true])
  })
})
