/** A JSON-RPC message, as far as the tests look. */
export interface Message {
  id?: string | number
  method?: string
  params?: unknown
  result?: unknown
}

/** The messages of an event stream, each as it arrives. */
export async function* readEvents(response: Response): AsyncGenerator<Message, void> {
  const decoder = new TextDecoder()
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const lines = (rest + decoder.decode(value, { stream: true })).split('\n')
    rest = lines.pop()!
    for (const line of lines) {
      if (line.startsWith('data: {')) yield JSON.parse(line.slice('data: '.length)) as Message
    }
  }
}

/** Every message of an answer, whatever it is written in. */
export async function messagesOf(response: Response): Promise<Message[]> {
  if (response.headers.get('content-type')?.includes('text/event-stream') === true) {
    const messages: Message[] = []
    for await (const message of readEvents(response)) messages.push(message)
    return messages
  }
  const body = (await response.json()) as Message | Message[]
  return Array.isArray(body) ? body : [body]
}

/** The one result of an answer. */
export const resultOf = async (response: Response): Promise<unknown> =>
  (await messagesOf(response))[0]?.result
