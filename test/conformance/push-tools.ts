import type { McpServer, ServerContext } from '@modelcontextprotocol/server'
import * as z from 'zod'
import { text } from './content.ts'

const OPTIONS = ['option1', 'option2', 'option3']
const titled = (word: string) =>
  ['First', 'Second', 'Third'].map((nth, i) => ({ const: `value${i + 1}`, title: `${nth} ${word}` }))

/** Forms by the tool that shows them: defaults of every type (SEP-1034), enums of every kind (SEP-1330). */
const FORMS = {
  test_elicitation_sep1034_defaults: {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true },
  },
  test_elicitation_sep1330_enums: {
    untitledSingle: { type: 'string', enum: OPTIONS },
    titledSingle: { type: 'string', oneOf: titled('Option') },
    legacyEnum: {
      type: 'string',
      enum: ['opt1', 'opt2', 'opt3'],
      enumNames: ['Option One', 'Option Two', 'Option Three'],
    },
    untitledMulti: { type: 'array', items: { type: 'string', enum: OPTIONS } },
    titledMulti: { type: 'array', items: { anyOf: titled('Choice') } },
  },
}

/**
 * The tools that ask their client while it waits (2025-11-25), which takes a transport that holds its streams. They
 * ask on the stream of the call: whoever asks on that of GET, as `elicitInput()` does, asks in vain when the client
 * has not opened it yet.
 */
export function registerPushTools(server: McpServer): void {
  // A server that has not seen the handshake has no way to the client: it would wait for ever.
  const assertClientCan = (capability: 'sampling' | 'elicitation'): void => {
    if (server.server.getClientCapabilities()?.[capability] === undefined)
      throw new Error('There is nobody to ask')
  }

  async function fillIn(ctx: ServerContext, message: string, properties: object, required: string[] = []) {
    assertClientCan('elicitation')
    const { action, content = {} } = await ctx.mcpReq.send({
      method: 'elicitation/create',
      params: { message, requestedSchema: { type: 'object', properties, required } },
    })
    return `action=${action}, content=${JSON.stringify(content)}`
  }

  server.registerTool(
    'test_sampling',
    { description: 'Asks the model', inputSchema: z.object({ prompt: z.string() }) },
    async ({ prompt }, ctx) => {
      assertClientCan('sampling')
      const { content } = await ctx.mcpReq.send({
        method: 'sampling/createMessage',
        params: { messages: [{ role: 'user', content: { type: 'text', text: prompt } }], maxTokens: 100 },
      })
      return text(`LLM response: ${'text' in content ? content.text : JSON.stringify(content)}`)
    },
  )
  server.registerTool(
    'test_elicitation',
    { description: 'Asks the user', inputSchema: z.object({ message: z.string() }) },
    async ({ message }, ctx) => {
      const properties = {
        username: { type: 'string', description: "User's response" },
        email: { type: 'string', description: "User's email address" },
      }
      return text(`User response: ${await fillIn(ctx, message, properties, Object.keys(properties))}`)
    },
  )
  for (const [name, properties] of Object.entries(FORMS)) {
    server.registerTool(name, { description: 'Asks the user to fill in a form' }, async (ctx) =>
      text(`Elicitation completed: ${await fillIn(ctx, 'Please fill this in.', properties)}`),
    )
  }
}
