import type { RequestId } from './json-rpc.ts'

/** Characters of one event that are held back until it is complete; a larger one passes as it comes. */
const MAX_EVENT_CHARS = 4 * 1024 * 1024

// Lines end in LF, CRLF or CR (WHATWG HTML section 9.2.6); a blank one ends an event.
const BLANK_LINE = /\r\n\r\n|\n\n|\r\r/g
const ONLY_COMMENTS = /^(?::[^\r\n]*(?:\r\n|\n|\r))+$/

/** The requests that a stream answers, and what is said of those that it leaves without an answer. */
export interface Expected {
  ids: readonly RequestId[]
  /** Whether a client comes back for the rest, by the id of the last event (2025-11-25). */
  resumable: boolean
  lost: (id: RequestId, brokeOff: boolean) => unknown
}

const field = (line: string, name: string): string | undefined =>
  line.startsWith(`${name}:`) ? line.slice(name.length + 1).replace(/^ /, '') : undefined

/** The ids of the responses in one JSON text; none when it is no JSON. */
function answeredBy(data: string): unknown[] {
  try {
    const messages: unknown = JSON.parse(data)
    return (Array.isArray(messages) ? (messages as unknown[]) : [messages]).flatMap((message) =>
      typeof message === 'object' && message !== null && 'id' in message && !('method' in message)
        ? [message.id]
        : [],
    )
  } catch {
    return []
  }
}

/** Tells which events of a text are complete, and what they answer. */
function createEventReader(ids: readonly RequestId[]) {
  const waiting = new Set<unknown>(ids)
  let held = ''
  let oversized = false
  let named = false

  function read(event: string): void {
    const lines = event.split(/\r\n|\n|\r/)
    const data = lines.flatMap((line) => field(line, 'data') ?? [])
    named ||= lines.some((line) => (field(line, 'id') ?? '') !== '')
    if (data.length > 0) for (const id of answeredBy(data.join('\n'))) waiting.delete(id)
  }

  return {
    /** @returns the text that is complete with this one. */
    push(text: string): string {
      // A blank line may begin in what is held.
      const from = Math.max(held.length - 3, 0)
      held += text
      let end = 0
      for (const blank of held.slice(from).matchAll(BLANK_LINE)) end = from + blank.index + blank[0].length
      if (end === 0 && held.length > MAX_EVENT_CHARS) oversized = true
      if (end === 0 && (held.length > MAX_EVENT_CHARS || ONLY_COMMENTS.test(held))) end = held.length
      const complete = held.slice(0, end)
      held = held.slice(end)
      for (const event of complete.split(BLANK_LINE)) read(event)
      return complete
    },
    /** The requests that were not answered; of one whose event was too large to be read nobody knows. */
    unanswered: (): RequestId[] => (oversized ? [] : ids.filter((id) => waiting.has(id))),
    /** Whether events had ids, by which a client can come back. */
    isNamed: () => named,
  }
}

/**
 * Passes an event stream on as its events become complete, and sees to it that every request is answered: a stream
 * that ends, or breaks off, too early ends with an error for each request that it owes.
 */
export function guardEvents(
  body: ReadableStream<Uint8Array>,
  { ids, resumable, lost }: Expected,
): ReadableStream<Uint8Array> {
  const source = body.getReader()
  const decoder = new TextDecoder()
  const encoder = new TextEncoder()
  const events = createEventReader(ids)
  let left = false

  /** Ends the stream; a client that comes back for the rest is not told of an error. */
  function end(
    controller: ReadableStreamDefaultController<Uint8Array>,
    brokeOff: boolean,
    error?: unknown,
  ): void {
    if (left) return
    const unanswered = events.unanswered()
    const comesBack = resumable && events.isNamed()
    if (comesBack && brokeOff && unanswered.length > 0) return controller.error(error)
    for (const id of comesBack ? [] : unanswered) {
      controller.enqueue(encoder.encode(`event: message\ndata: ${JSON.stringify(lost(id, brokeOff))}\n\n`))
    }
    controller.close()
  }

  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          for (;;) {
            const { done, value } = await source.read()
            if (done) return end(controller, false)
            const complete = events.push(decoder.decode(value, { stream: true }))
            if (complete !== '') return controller.enqueue(encoder.encode(complete))
          }
        } catch (error) {
          end(controller, true, error)
        }
      },
      async cancel(reason) {
        left = true
        await source.cancel(reason)
      },
    },
    { highWaterMark: 0 },
  )
}
