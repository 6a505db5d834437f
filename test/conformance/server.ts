// The server that the official conformance suite is run against: all that its scenarios ask for, on any runtime.
import { createMcpHandler, InMemoryServerEventBus, McpServer } from '@modelcontextprotocol/server'
import { text } from './content.ts'
import { registerPlainTools } from './plain-tools.ts'
import { registerPushTools } from './push-tools.ts'
import { registerPrompts } from './prompts.ts'
import { registerResources } from './resources.ts'
import { registerRoundTools, verifyState } from './round-tools.ts'

/** Makes the servers of one handler: what one of them changes, those who listen at another hear of. */
export function conformanceServers(): { bus: InMemoryServerEventBus; makeServer: () => McpServer } {
  const bus = new InMemoryServerEventBus()
  const makeServer = (): McpServer => {
    const server = new McpServer(
      { name: 'conformance-server', version: '1.0.0' },
      {
        capabilities: {
          logging: {},
          tools: { listChanged: true },
          prompts: { listChanged: true },
          resources: { subscribe: true, listChanged: true },
        },
        requestState: { verify: verifyState },
      },
    )
    registerPlainTools(server)
    registerPushTools(server)
    registerRoundTools(server)
    registerResources(server)
    registerPrompts(server)
    server.registerTool(
      'test_trigger_tool_change',
      { description: 'Says that the tools have changed' },
      () => {
        bus.publish({ kind: 'tools_list_changed' })
        return text('They have changed.')
      },
    )
    server.registerTool(
      'test_trigger_prompt_change',
      { description: 'Says that the prompts have changed' },
      () => {
        bus.publish({ kind: 'prompts_list_changed' })
        return text('They have changed.')
      },
    )
    return server
  }
  return { bus, makeServer }
}

/** Both eras without sessions of its own: 2025-11-25 has no streams to push on. */
export function statelessHandler() {
  const { bus, makeServer } = conformanceServers()
  return createMcpHandler(makeServer, { bus })
}
