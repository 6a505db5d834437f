/** Characters of one event that are kept to be read; a larger result passes unread. */
const MAX_EVENT_CHARS = 4 * 1024 * 1024

export interface SseReader {
  push: (chunk: Uint8Array) => void
  /** Whether an event was too large to be read. */
  oversized: () => boolean
  /** Whether events had ids, by which a client that lost the stream can take it up again. */
  named: () => boolean
}

/**
 * Reads the data of each event of a `text/event-stream` as its bytes pass (WHATWG HTML section 9.2.6). It keeps the
 * event that is arriving, and nothing else.
 * @param onData told the data of each complete event.
 */
export function createSseReader(onData: (data: string) => void): SseReader {
  const decoder = new TextDecoder()
  let line = ''
  let data: string[] = []
  let size = 0
  let afterCarriageReturn = false
  let oversized = false
  let named = false

  function endLine(): void {
    if (line === '') {
      if (data.length > 0 && size <= MAX_EVENT_CHARS) onData(data.join('\n'))
      data = []
      size = 0
      return
    }
    named ||= /^id: ?./.test(line)
    if (line.startsWith('data:')) {
      size += line.length
      if (size > MAX_EVENT_CHARS) {
        oversized = true
        data = []
      } else {
        data.push(line.slice(line[5] === ' ' ? 6 : 5))
      }
    }
    line = ''
  }

  return {
    oversized: () => oversized,
    named: () => named,
    push(chunk) {
      let text = decoder.decode(chunk, { stream: true })
      if (text === '') return
      // A line may end in CR, LF or both, and the two may arrive in different chunks.
      if (afterCarriageReturn && text.startsWith('\n')) text = text.slice(1)
      afterCarriageReturn = text.endsWith('\r')
      const lines = text.split(/\r\n|\n|\r/)
      for (const [index, part] of lines.entries()) {
        if (line.length <= MAX_EVENT_CHARS) line += part
        if (index < lines.length - 1) endLine()
      }
    },
  }
}
