import { createMcpHandler, McpServer, requireScopes } from '@modelcontextprotocol/server'
import * as z from 'zod'
import type { AuthInfo } from '../variables.ts'
import { SECRETS_SCOPE } from './scopes.ts'

const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })

/** A server of five tools to try the kit with. */
function sampleServer(): McpServer {
  const server = new McpServer({ name: 'mcp-user-context-trial', version: '0.1.0' })

  server.registerTool('whoami', { description: 'The user as the server sees it' }, (ctx) => {
    const { user, role, sessionId } = (ctx.http?.authInfo?.extra ?? {}) as Partial<AuthInfo['extra']>
    const { claims: _claims, ...known } = user ?? { claims: {} }
    return text(
      JSON.stringify({ user: user ? known : null, role: role ?? null, session_id: sessionId ?? null }),
    )
  })

  server.registerTool(
    'echo',
    { description: 'The text, back again', inputSchema: z.object({ text: z.string() }) },
    (args) => text(args.text),
  )

  server.registerTool(
    'slow',
    {
      description: 'Takes its time, tells its progress, then answers',
      inputSchema: z.object({
        steps: z.number().int().min(1).max(100).default(5),
        delay_ms: z.number().int().min(0).max(10_000).default(200),
      }),
    },
    async ({ steps, delay_ms: delayMs }, ctx) => {
      const progressToken = ctx.mcpReq._meta?.progressToken
      for (let progress = 1; progress <= steps; progress += 1) {
        await new Promise((resolve) => setTimeout(resolve, delayMs))
        if (ctx.mcpReq.signal.aborted) break
        if (progressToken === undefined) continue
        const params = { progressToken, progress, total: steps }
        await ctx.mcpReq.notify({ method: 'notifications/progress', params })
      }
      return text(`done after ${steps} steps`)
    },
  )

  server.registerTool('fail', { description: 'Always fails' }, () => ({
    ...text('This tool always fails.'),
    isError: true,
  }))

  server.registerTool(
    'secret',
    {
      description: `Tells a secret, to those whose token has the scope ${SECRETS_SCOPE}`,
      scopeChallenge: requireScopes(SECRETS_SCOPE),
    },
    () => text('The cake is in the second drawer.'),
  )

  return server
}

/** The sample tools as a fetch-shaped handler, for both protocol eras. */
export const sampleTools = createMcpHandler(sampleServer)
