/** Enough characters that a chunk is worth sending, few enough that memory stays small. */
const CHUNK_CHARS = 32 * 1024

/** So that Excel reads the file as UTF-8. Programs skip it, as `Response.text()` does. */
const BYTE_ORDER_MARK = '\uFEFF'

/** Names of files come from us, but for a department or a tool that one may carry: RFC 6266, and nothing to escape. */
const plainName = (fileName: string): string => fileName.replaceAll(/[^\w.-]+/g, '-')

/** What a file is called, and how it begins. */
export interface FileKind {
  fileName: string
  /** `Content-Type` */
  type: string
  /** @default nothing */
  begin?: string
}

/**
 * Answers a table as a file, row by row as the reader takes it.
 * @param rows lines of CSV as csvRow() writes them; ended early when the reader goes away.
 * @see fileResponse
 * @example return csvResponse('costs.csv', costLines(report))
 */
export const csvResponse = (fileName: string, rows: AsyncIterable<string>): Response =>
  fileResponse({ fileName, type: 'text/csv; charset=utf-8; header=present', begin: BYTE_ORDER_MARK }, rows)

/**
 * Answers a text as a file, piece by piece as the reader takes it. A failure on the way breaks the transfer: a file
 * that lacks something never looks whole. What can be refused is refused before this.
 */
export function fileResponse(
  { fileName, type, begin = '' }: FileKind,
  pieces: AsyncIterable<string>,
): Response {
  const encoder = new TextEncoder()
  const lines = pieces[Symbol.asyncIterator]()
  let text = begin
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        let ended = false
        try {
          while (!ended && text.length < CHUNK_CHARS) {
            const next = await lines.next()
            if (next.done === true) ended = true
            else text += next.value
          }
        } catch (error) {
          // Nobody else says so: the answer has begun.
          console.error(
            `mcp-user-context: ${fileName} broke off: ${error instanceof Error ? error.stack : 'unknown error'}`,
          )
          throw error
        }
        if (text !== '') controller.enqueue(encoder.encode(text))
        text = ''
        if (ended) controller.close()
      },
      async cancel() {
        await lines.return?.()
      },
    },
    // Nothing is read before somebody asks for it.
    { highWaterMark: 0 },
  )
  return new Response(stream, {
    headers: {
      'content-type': type,
      'content-disposition': `attachment; filename="${plainName(fileName)}"`,
      'cache-control': 'no-store',
    },
  })
}
