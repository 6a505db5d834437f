/** How a body ended: read to its end, cancelled by whoever read it, or broken off by whoever wrote it. */
export type BodyEnd = 'complete' | 'cancelled' | 'failed'

/**
 * Watches a stream without holding it up: `await next()` resolves when the headers are ready, so the end of a call
 * is the end of its body.
 * @param onChunk told each chunk as it passes.
 * @param onEnd told once how the body ended.
 */
export function watchBody(
  body: ReadableStream<Uint8Array>,
  onChunk: (chunk: Uint8Array) => void,
  onEnd: (end: BodyEnd) => void,
): ReadableStream<Uint8Array> {
  const reader = body.getReader()
  let ended = false
  const end = (how: BodyEnd): void => {
    if (!ended) onEnd(how)
    ended = true
  }
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read()
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
