import { createMcpHandler, McpServer } from '@modelcontextprotocol/server'
import * as z from 'zod'
import type { McpHandler } from '../../src/mcp/serve-mcp.ts'
import type { AuthInfo } from '../../src/variables.ts'

/** What every server of a comparison serves: one tool of the official SDK, which reports where it can. */
export const echoHandler = (): McpHandler =>
  createMcpHandler(() => {
    const server = new McpServer({ name: 'bench', version: '1.0.0' })
    server.registerTool('echo', { inputSchema: z.object({ text: z.string() }) }, ({ text }, ctx) => {
      const { usage } = (ctx.http?.authInfo?.extra ?? {}) as Partial<AuthInfo['extra']>
      usage?.add({ model: 'gpt-4o-mini', promptTokens: 120, completionTokens: 30, cost: '0.000036' })
      return { content: [{ type: 'text', text }] }
    })
    return server
  })
