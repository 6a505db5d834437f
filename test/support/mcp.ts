import { SignJWT } from 'jose'
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server'
import { type Handler, Hono } from 'hono'
import * as z from 'zod'
import { mcpUserContext, type McpUserContextOptions } from '../../src/mcp-user-context.ts'
import { serveMcp } from '../../src/mcp/serve-mcp.ts'
import type { Sql, SqlSource } from '../../src/db/client.ts'
import type { McpVariables } from '../../src/variables.ts'
import { ISSUER, RESOURCE, SECRET } from './issuer.ts'

export { ISSUER, RESOURCE, SECRET }

/** A token as the configured issuer signs it. `claims` may replace any of it. */
export async function tokenFor(name: string, claims: Record<string, unknown> = {}): Promise<string> {
  const all = {
    iss: ISSUER,
    aud: RESOURCE,
    sub: name.toLowerCase(),
    email: `${name.toLowerCase()}@example.com`,
    user_metadata: { full_name: name },
    ...claims,
  }
  const jwt = new SignJWT(all).setProtectedHeader({ alg: 'HS256' }).setIssuedAt().setExpirationTime('1h')
  return await jwt.sign(new TextEncoder().encode(SECRET))
}

const TOKENS = { secret: SECRET, issuer: ISSUER, audience: RESOURCE }

export const optionsFor = (sql: Sql): McpUserContextOptions => ({
  sql,
  tokens: TOKENS,
  resource: RESOURCE,
})

/** A server whose tools say what reached them. */
export function toolServer(): McpServer {
  const server = new McpServer({ name: 'tools', version: '1.0.0' })
  server.registerTool('whoami', { description: 'the caller' }, (ctx) => ({
    content: [{ type: 'text', text: JSON.stringify(ctx.http?.authInfo?.extra ?? null) }],
  }))
  server.registerTool('echo', { inputSchema: z.object({ text: z.string() }) }, ({ text }) => ({
    content: [{ type: 'text', text }],
  }))
  server.registerTool('fail', {}, () => ({ isError: true, content: [{ type: 'text', text: 'it failed' }] }))
  return server
}

/** The kit in front of the official SDK's handler, as the README mounts it. */
export function mcpApp(sql: Sql, options: Partial<McpUserContextOptions> = {}) {
  const handler = createMcpHandler(() => toolServer())
  return new Hono<{ Variables: McpVariables }>().all(
    '/mcp',
    mcpUserContext({ ...optionsFor(sql), ...options }),
    serveMcp(handler),
  )
}

/** The kit in front of any handler. */
export const appWith = (
  sql: SqlSource,
  handler: Handler<{ Variables: McpVariables }>,
  options: Partial<McpUserContextOptions> = {},
) =>
  new Hono<{ Variables: McpVariables }>().all(
    '/mcp',
    mcpUserContext({ tokens: TOKENS, resource: RESOURCE, sql, ...options }),
    handler,
  )

interface Call {
  token?: string | undefined
  session?: string | undefined
  headers?: Record<string, string>
}

/** The headers that every MCP client sends, with a token and a session. */
export const mcpHeaders = ({ token, session, headers = {} }: Call): Record<string, string> => ({
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
  ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  ...(session === undefined ? {} : { 'mcp-session-id': session }),
  ...headers,
})

export const post = (body: unknown, call: Call): RequestInit => ({
  method: 'POST',
  headers: mcpHeaders(call),
  body: typeof body === 'string' ? body : JSON.stringify(body),
})

export const initialize = (name = 'Claude Code', version = '1.0.0') => ({
  jsonrpc: '2.0',
  id: 'init',
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name, version } },
})

export const callTool = (name: string, args: Record<string, unknown> = {}, id: string | number = 1) => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name, arguments: args },
})

/** The same in the era without sessions: every request says who sends it. */
export function modern(request: ReturnType<typeof callTool>, client = { name: 'Cursor', version: '2.0' }) {
  const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': client,
    'io.modelcontextprotocol/clientCapabilities': {},
  }
  const headers = {
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': request.method,
    'mcp-name': request.params.name,
  }
  return { body: { ...request, params: { ...request.params, _meta: meta } }, headers }
}
