import { Hono } from 'hono'
import { describe, expect, it } from 'vitest'
import { type McpHandlerOptions, serveMcp } from '../../src/mcp/serve-mcp.ts'

interface Variables {
  auth: McpHandlerOptions['authInfo']
  parsedBody: unknown
}

/** What a handler is given behind middleware that sets these variables. */
async function given(variables: Partial<Variables>): Promise<{ request: Request; options: unknown }> {
  let seen: { request: Request; options: unknown } | undefined
  const handler = {
    fetch(request: Request, options?: McpHandlerOptions) {
      seen = { request, options }
      return new Response('answer', { status: 202, headers: { 'x-handler': 'yes' } })
    },
  }
  const app = new Hono<{ Variables: Variables }>()
    .use(async (c, next) => {
      if ('auth' in variables) c.set('auth', variables.auth)
      if ('parsedBody' in variables) c.set('parsedBody', variables.parsedBody)
      await next()
    })
    .all('/mcp', serveMcp(handler))
  const response = await app.request('/mcp', { method: 'POST', body: 'body' })
  expect([response.status, response.headers.get('x-handler'), await response.text()]).toEqual([
    202,
    'yes',
    'answer',
  ])
  return seen!
}

const auth = { token: 't', clientId: 'c', scopes: ['a'], extra: { user: { id: 'u' } } }

describe('serveMcp', () => {
  it('hands on the token and the parsed body', async () => {
    const parsedBody = { jsonrpc: '2.0' }
    const { options } = await given({ auth, parsedBody })
    expect(options).toEqual({ authInfo: auth, parsedBody })
    expect((options as McpHandlerOptions).parsedBody).toBe(parsedBody)
  })

  it('hands on a parsed body that is null', async () => {
    expect((await given({ parsedBody: null })).options).toEqual({ parsedBody: null })
  })

  it('says nothing of an anonymous caller, rather than undefined', async () => {
    expect((await given({ auth: undefined })).options).toEqual({})
  })

  it('works without the kit in front', async () => {
    const { request, options } = await given({})
    expect(options).toEqual({})
    expect(await request.text()).toBe('body')
  })
})
