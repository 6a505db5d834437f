// Handlers that know no SDK: they read the request themselves and answer in JSON.
import type { Context } from 'hono'
import type { McpVariables } from '../../src/variables.ts'
import { FAILURE, INFO, text, type Told } from './tools.ts'

interface Rpc {
  id?: string | number
  method?: string
  params?: { name?: string; protocolVersion?: string }
}

export type HandlerContext = Context<{ Variables: McpVariables }>

/** What the kit put where any handler of Hono looks. */
const toldIn = (c: HandlerContext): Told => ({
  email: c.var.user?.email ?? null,
  session: c.var.session?.id ?? null,
})

function resultOf({ method, params }: Rpc, told: Told): object | null {
  if (method === 'initialize') {
    return { protocolVersion: params!.protocolVersion, capabilities: { tools: {} }, serverInfo: INFO }
  }
  if (method !== 'tools/call') return null
  return { resultType: 'complete', ...(params!.name === 'fail' ? FAILURE : text(JSON.stringify(told))) }
}

/** JSON-RPC 2.0, one message or many. */
export function answerByHand(c: HandlerContext, body: unknown): Response {
  const messages = (Array.isArray(body) ? body : [body]) as Rpc[]
  const answers = messages.flatMap((message) => {
    if (message.id === undefined) return []
    const result = resultOf(message, toldIn(c))
    const outcome = result === null ? { error: { code: -32601, message: 'Method not found' } } : { result }
    return [{ jsonrpc: '2.0', id: message.id, ...outcome }]
  })
  if (answers.length === 0) return new Response(null, { status: 202 })
  return Response.json(Array.isArray(body) ? answers : answers[0])
}
