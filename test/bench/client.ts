import { Agent, type IncomingHttpHeaders, request as send } from 'node:http'
import { callTool, mcpHeaders, modern, tokenFor } from '../support/mcp.ts'

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
}

/** A message and its headers, ready to be sent. */
export interface Message {
  headers: Record<string, string>
  body: string
}

/** Calls of one user; the era without sessions, so that each call finds a derived one. */
export interface Caller {
  call(tool: string, args?: Record<string, unknown>, id?: string | number): Message
}

export async function callerNamed(name: string, department: string | null = null): Promise<Caller> {
  const token = await tokenFor(name, department === null ? {} : { app_metadata: { department } })
  return {
    call(tool, args = {}, id = 1) {
      const { body, headers } = modern(callTool(tool, args, id))
      return { headers: mcpHeaders({ token, headers }), body: JSON.stringify(body) }
    },
  }
}

export interface Client extends Disposable {
  /** @throws Error of the socket when the server is gone. */
  post(port: number, message: Message): Promise<Answer>
}

/** node:http, since fetch would be the limit. `connections` to each server at most. */
export function createClient(connections: number): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  return {
    post: (port, { headers, body }) =>
      new Promise((resolve, reject) => {
        const call = send(
          { port, host: '127.0.0.1', path: '/mcp', method: 'POST', headers, agent },
          (response) => {
            let text = ''
            response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
            response.once('end', () => {
              const { statusCode: status = 0, headers: answered } = response
              resolve({ status, headers: answered, text })
            })
            response.once('error', reject)
          },
        )
        call.once('error', reject)
        call.end(body)
      }),
    [Symbol.dispose]: () => agent.destroy(),
  }
}
