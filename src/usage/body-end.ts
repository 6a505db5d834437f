/** How a body ended: read to its end, cancelled by whoever read it, broken off by whoever wrote it, or cut by us. */
export type BodyEnd = 'complete' | 'cancelled' | 'failed' | 'cut'

/** Ends a body from here: with some last bytes, or as one that broke off. */
export type CutBody = (last: Uint8Array | Error) => void

/**
 * Watches a stream without holding it up: `await next()` resolves when the headers are ready, so the end of a call
 * is the end of its body.
 * @param onChunk told each chunk as it passes.
 * @param onEnd told once how the body ended.
 * @param onOpen handed what cuts the body.
 */
export function watchBody(
  body: ReadableStream<Uint8Array>,
  onChunk: (chunk: Uint8Array) => void,
  onEnd: (end: BodyEnd) => void,
  onOpen: (cut: CutBody) => void = () => {},
): ReadableStream<Uint8Array> {
  const reader = body.getReader()
  let ended = false
  const end = (how: BodyEnd): void => {
    if (!ended) onEnd(how)
    ended = true
  }
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        onOpen((last) => {
          if (ended) return
          end('cut')
          if (last instanceof Error) controller.error(last)
          else {
            if (last.byteLength > 0) controller.enqueue(last)
            controller.close()
          }
          // The writer is told, whatever it makes of that.
          reader.cancel('cut off').catch(() => {})
        })
      },
      async pull(controller) {
        try {
          const { done, value } = await reader.read()
          if (ended) return
          if (done) {
            end('complete')
            controller.close()
          } else {
            onChunk(value)
            controller.enqueue(value)
          }
        } catch (error) {
          end('failed')
          controller.error(error)
        }
      },
      async cancel(reason) {
        end('cancelled')
        await reader.cancel(reason)
      },
    },
    // Nothing is read ahead of the client.
    { highWaterMark: 0 },
  )
}
