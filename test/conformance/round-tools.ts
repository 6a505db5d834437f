import {
  acceptedContent,
  CLIENT_CAPABILITIES_META_KEY,
  type ClientCapabilities,
  createRequestStateCodec,
  inputRequired,
  inputResponse,
  type McpServer,
  type ServerContext,
} from '@modelcontextprotocol/server'
import * as z from 'zod'
import { text } from './content.ts'

/** What comes back with the answers of a later round; signed, since it comes back from the client. */
type State = { round: number; name?: string }

const NAME = z.object({ name: z.string() })
const COLOR = z.object({ color: z.string() })
const OK = z.object({ ok: z.boolean() })

const ask = (message: string, requestedSchema: z.ZodObject) =>
  inputRequired.elicit({ message, requestedSchema })
const sample = (question: string, maxTokens: number) =>
  inputRequired.createMessage({
    messages: [{ role: 'user', content: { type: 'text', text: question } }],
    maxTokens,
  })

const answerOf = (ctx: ServerContext, key: string): string | undefined => {
  const answer = inputResponse(ctx.mcpReq.inputResponses, key)
  return answer.kind === 'sampling' ? JSON.stringify(answer.result.content) : undefined
}
const rootsOf = (ctx: ServerContext, key: string): string | undefined => {
  const answer = inputResponse(ctx.mcpReq.inputResponses, key)
  return answer.kind === 'roots' ? answer.roots.map(({ uri }) => uri).join(', ') : undefined
}

// One key for every process: the instance that signed need not be the one that reads.
const codec = createRequestStateCodec<State>({ key: 'a key for tests, of at least thirty-two bytes' })

/** For `ServerOptions.requestState.verify`. */
export const verifyState = (state: string, ctx: ServerContext): Promise<State> => codec.verify(state, ctx)

/** One question each: to the user, to the model, for the roots. */
function registerSingle(server: McpServer): void {
  server.registerTool('test_input_required_result_elicitation', { description: 'Asks for a name' }, (ctx) => {
    const given = acceptedContent(ctx.mcpReq.inputResponses, 'user_name', NAME)
    if (given !== undefined) return text(`Hello, ${given.name}!`)
    return inputRequired({ inputRequests: { user_name: ask('What is your name?', NAME) } })
  })
  server.registerTool('test_input_required_result_sampling', { description: 'Asks the model' }, (ctx) => {
    const answer = answerOf(ctx, 'capital_question')
    if (answer !== undefined) return text(answer)
    return inputRequired({
      inputRequests: { capital_question: sample('What is the capital of France?', 100) },
    })
  })
  server.registerTool(
    'test_input_required_result_list_roots',
    { description: 'Asks for the roots' },
    (ctx) => {
      const roots = rootsOf(ctx, 'client_roots')
      if (roots !== undefined) return text(`Roots: ${roots}`)
      return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } })
    },
  )
  server.registerTool('test_streaming_elicitation', { description: 'Asks in a stream' }, () =>
    inputRequired({ inputRequests: { user_name: ask('What is your name?', NAME) } }),
  )
}

/** Questions with a state of the server. */
function registerStateful(server: McpServer): void {
  for (const name of ['request_state', 'tampered_state']) {
    server.registerTool(
      `test_input_required_result_${name}`,
      { description: 'Keeps a state' },
      async (ctx) => {
        const confirmed = acceptedContent(ctx.mcpReq.inputResponses, 'confirm', OK)
        const state = ctx.mcpReq.requestState<State>()
        if (confirmed !== undefined && state?.round === 1) return text('state-ok')
        return inputRequired({
          inputRequests: { confirm: ask('Please confirm', OK) },
          requestState: await codec.mint({ round: 1 }),
        })
      },
    )
  }
  server.registerTool(
    'test_input_required_result_multiple_inputs',
    { description: 'Asks for three things at once' },
    async (ctx) => {
      const given = acceptedContent(ctx.mcpReq.inputResponses, 'user_name', NAME)
      const greeting = answerOf(ctx, 'greeting')
      const roots = rootsOf(ctx, 'client_roots')
      if (given !== undefined && greeting !== undefined && roots !== undefined) {
        return text(`${given.name}: ${greeting} (${roots})`)
      }
      return inputRequired({
        inputRequests: {
          user_name: ask('What is your name?', NAME),
          greeting: sample('Generate a greeting', 50),
          client_roots: inputRequired.listRoots(),
        },
        requestState: await codec.mint({ round: 1 }),
      })
    },
  )
  server.registerTool(
    'test_input_required_result_multi_round',
    { description: 'Asks twice' },
    async (ctx) => {
      const state = ctx.mcpReq.requestState<State>()
      const color = acceptedContent(ctx.mcpReq.inputResponses, 'step2', COLOR)
      if (state?.round === 2 && color !== undefined) return text(`${state.name} likes ${color.color}.`)
      const given = acceptedContent(ctx.mcpReq.inputResponses, 'step1', NAME)
      if (state?.round === 1 && given !== undefined) {
        return inputRequired({
          inputRequests: { step2: ask('Step 2: What is your favorite color?', COLOR) },
          requestState: await codec.mint({ round: 2, name: given.name }),
        })
      }
      return inputRequired({
        inputRequests: { step1: ask('Step 1: What is your name?', NAME) },
        requestState: await codec.mint({ round: 1 }),
      })
    },
  )
}

/** What may be asked follows from what the client can. */
function registerCapabilities(server: McpServer): void {
  server.registerTool('test_missing_capability', { description: 'Needs a client with sampling' }, () =>
    inputRequired({ inputRequests: { question: sample('Is anybody there?', 10) } }),
  )
  server.registerTool(
    'test_input_required_result_capabilities',
    { description: 'Asks only what the client can answer' },
    (ctx) => {
      const envelope = ctx.mcpReq.envelope as Record<string, ClientCapabilities | undefined> | undefined
      const { sampling, elicitation, roots } = envelope?.[CLIENT_CAPABILITIES_META_KEY] ?? {}
      const inputRequests = {
        ...(sampling && { greeting: sample('Generate a greeting', 50) }),
        ...(elicitation && { user_name: ask('What is your name?', NAME) }),
        ...(roots && { client_roots: inputRequired.listRoots() }),
      }
      const answered = Object.keys(inputRequests).every(
        (key) => ctx.mcpReq.inputResponses?.[key] !== undefined,
      )
      return answered ? text('Nothing is left to ask.') : inputRequired({ inputRequests })
    },
  )
}

/** The tools that ask before they answer (SEP-2322). */
export function registerRoundTools(server: McpServer): void {
  registerSingle(server)
  registerStateful(server)
  registerCapabilities(server)
}
