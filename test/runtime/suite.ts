import { expect, it } from 'vitest'
import { callTool, initialize, modern, post } from '../support/mcp.ts'

/** A server that runs, wherever it runs. */
export interface Runtime {
  fetch(path: string, init?: RequestInit): Promise<Response>
  token(name: string): Promise<string>
}

/** What every runtime must do alike, through its own entry. */
export function behavesAsEverywhere(runtime: () => Runtime): void {
  const rpc = async (body: unknown, call: Parameters<typeof post>[1]) => {
    const response = await runtime().fetch('/mcp', post(body, call))
    return { response, text: await response.text() }
  }

  it('tells that it is healthy', async () => {
    const response = await runtime().fetch('/health')
    expect(await response.json()).toMatchObject({ status: 'ok', database: 'ok' })
  })

  it('challenges whoever brings no token', async () => {
    const { response } = await rpc(callTool('whoami'), {})
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toContain('/.well-known/oauth-protected-resource/mcp')
  })

  it('knows a user of the era with sessions, and keeps their session', async () => {
    const token = await runtime().token('Alice')
    const opened = await rpc(initialize(), { token })
    const session = opened.response.headers.get('mcp-session-id')!
    const { text } = await rpc(callTool('whoami'), { token, session })
    expect(text).toContain('alice@example.com')

    const headers = { authorization: `Bearer ${token}` }
    const answer = await runtime().fetch(`/api/mcp/sessions/${session}`, { headers })
    expect(await answer.json()).toMatchObject({
      session: { session_id: session, client_type: 'Claude', user_name: 'Alice', status: 'active' },
    })
    const ended = await runtime().fetch('/mcp', {
      method: 'DELETE',
      headers: { ...headers, 'mcp-session-id': session },
    })
    expect(ended.status).toBe(200)
    expect((await rpc(callTool('whoami'), { token, session })).response.status).toBe(404)
  })

  it('knows a user of the era without sessions', async () => {
    const { body, headers } = modern(callTool('whoami'))
    const { text } = await rpc(body, { token: await runtime().token('Bob'), headers })
    expect(text).toContain('bob@example.com')
  })

  it('keeps a session from everybody but its user', async () => {
    const opened = await rpc(initialize(), { token: await runtime().token('Alice') })
    const session = opened.response.headers.get('mcp-session-id')!
    const mallory = await rpc(callTool('whoami'), { token: await runtime().token('Mallory'), session })
    const unknown = await rpc(callTool('whoami'), {
      token: await runtime().token('Mallory'),
      session: crypto.randomUUID(),
    })
    expect(mallory.response.status).toBe(404)
    expect(mallory.text).toBe(unknown.text)
  })

  it('records each call with its outcome', async () => {
    const token = await runtime().token('Fay')
    const opened = await rpc(initialize(), { token })
    const session = opened.response.headers.get('mcp-session-id')!
    await rpc(callTool('fail'), { token, session })
    const headers = { authorization: `Bearer ${token}` }
    // The end of a call is on record milliseconds after its response.
    await expect
      .poll(async () => {
        const answer = await runtime().fetch(`/api/mcp/sessions/${session}`, { headers })
        const { requests } = (await answer.json()) as { requests: { tool_name?: string; status: string }[] }
        return requests.find(({ tool_name: tool }) => tool === 'fail')?.status
      })
      .toBe('error')
  })
}
