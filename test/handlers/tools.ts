// The same tools with both official SDKs and by hand: what reached them, a failure, and an answer that is held back.
import { McpServer as McpServerV1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer } from '@modelcontextprotocol/server'

/** What a tool is told of its caller. */
export interface Told {
  email: string | null
  session: string | null
}

/** Holds an answer back until it is opened: whoever sees a message before that has not waited for the whole. */
export interface Gate {
  opened: Promise<void>
  open: () => void
}

export function makeGate(): Gate {
  let resolve: (() => void) | undefined
  const opened = new Promise<void>((settle) => {
    resolve = settle
  })
  return { opened, open: () => resolve?.() }
}

export const INFO = { name: 'tools', version: '1.0.0' }
export const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })
export const FAILURE = { ...text('it failed'), isError: true }
const LIST_CHANGES = { capabilities: { tools: { listChanged: true } } }

/** The progress that is told before the gate opens, for the call that asked with this token. */
export const progressOf = (progressToken: string | number) => ({
  method: 'notifications/progress' as const,
  params: { progressToken, progress: 1, total: 2 },
})

/** What the kit put into `authInfo.extra`. */
export function toldBy(extra: Record<string, unknown> | undefined): Told {
  const { user, sessionId } = (extra ?? {}) as { user?: { email: string | null } | null; sessionId?: string }
  return { email: user?.email ?? null, session: sessionId ?? null }
}

/** What a gateway in front put into headers of its own. */
export const toldByHeaders = (headers: Headers): Told => ({
  email: headers.get('x-user-email'),
  session: headers.get('x-session'),
})

/** With SDK v2. */
export function makeServer(gate: Gate): McpServer {
  const server = new McpServer(INFO, LIST_CHANGES)
  server.registerTool('whoami', {}, ({ http }) => {
    const extra = http?.authInfo?.extra
    return text(JSON.stringify(extra === undefined ? toldByHeaders(http!.req!.headers) : toldBy(extra)))
  })
  server.registerTool('fail', {}, () => FAILURE)
  server.registerTool('wait', {}, async ({ mcpReq }) => {
    await mcpReq.notify(progressOf(mcpReq._meta!.progressToken!))
    await gate.opened
    return text('done')
  })
  return server
}

/** With SDK v1. */
export function makeServerV1(gate: Gate): McpServerV1 {
  const server = new McpServerV1(INFO, LIST_CHANGES)
  server.registerTool('whoami', {}, ({ authInfo }) => text(JSON.stringify(toldBy(authInfo?.extra))))
  server.registerTool('fail', {}, () => FAILURE)
  server.registerTool('wait', {}, async ({ sendNotification, _meta }) => {
    await sendNotification(progressOf(_meta!.progressToken!))
    await gate.opened
    return text('done')
  })
  return server
}
