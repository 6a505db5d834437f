import { acceptedContent, completable, inputRequired, type McpServer } from '@modelcontextprotocol/server'
import * as z from 'zod'
import { PNG } from './content.ts'

const said = (text: string) => ({ role: 'user' as const, content: { type: 'text' as const, text } })

const CONTEXT = z.object({ context: z.string() })
const PLACES = ['paris', 'park', 'party']

export function registerPrompts(server: McpServer): void {
  server.registerPrompt('test_simple_prompt', { description: 'No arguments' }, () => ({
    messages: [said('This is a simple prompt for testing.')],
  }))
  server.registerPrompt(
    'test_prompt_with_arguments',
    {
      description: 'Two arguments',
      argsSchema: z.object({
        arg1: completable(z.string(), (value) => PLACES.filter((place) => place.startsWith(value))),
        arg2: z.string(),
      }),
    },
    ({ arg1, arg2 }) => ({ messages: [said(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)] }),
  )
  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    { description: 'A resource in it', argsSchema: z.object({ resourceUri: z.string() }) },
    ({ resourceUri: uri }) => {
      const resource = { uri, mimeType: 'text/plain', text: 'Embedded resource content for testing.' }
      return {
        messages: [
          { role: 'user', content: { type: 'resource', resource } },
          said('Please process the embedded resource above.'),
        ],
      }
    },
  )
  server.registerPrompt('test_prompt_with_image', { description: 'An image in it' }, () => ({
    messages: [
      { role: 'user', content: { type: 'image', data: PNG, mimeType: 'image/png' } },
      said('Please analyze the image above.'),
    ],
  }))
  server.registerPrompt('test_input_required_result_prompt', { description: 'Asks first' }, (ctx) => {
    const given = acceptedContent(ctx.mcpReq.inputResponses, 'user_context', CONTEXT)
    if (given !== undefined) return { messages: [said(`Context: ${given.context}`)] }
    const question = inputRequired.elicit({
      message: 'What context should the prompt use?',
      requestedSchema: CONTEXT,
    })
    return inputRequired({ inputRequests: { user_context: question } })
  })
}
