import { expect, it } from 'vitest'
import { callTool, initialize, modern, post } from '../support/mcp.ts'
import { signedInAs, textOf } from '../support/visitor.ts'

/** A server that runs, wherever it runs. */
export interface Runtime {
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** `claims` are added to those of an ordinary user. */
  token(name: string, claims?: Record<string, unknown>): Promise<string>
}

const pathOf = (address: string): string => address.replace(new URL(address).origin, '')

/** What every runtime must do alike, through its own entry. */
export function behavesAsEverywhere(runtime: () => Runtime): void {
  const rpc = async (body: unknown, call: Parameters<typeof post>[1]) => {
    const response = await runtime().fetch('/mcp', post(body, call))
    return { response, text: await response.text() }
  }
  const admin = (): Promise<string> => runtime().token('Root', { app_metadata: { role: 'admin' } })
  const rest = async <T>(token: string, route: string, body?: unknown): Promise<T> => {
    const [method = '', path = ''] = route.split(' ')
    const answer = await runtime().fetch(`/api/mcp${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    if (!answer.ok) throw new Error(`${route} answers ${answer.status}: ${await answer.text()}`)
    return (await answer.json()) as T
  }
  interface Logged {
    logs: { tool_name: string; status: string; error_message: string | null }[]
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
    const token = await runtime().token('Mallory')
    const headers = { 'x-request-id': 'the-same' }
    const mallory = await rpc(callTool('whoami'), { token, session, headers })
    const unknown = await rpc(callTool('whoami'), { token, session: crypto.randomUUID(), headers })
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

  it('refuses what a quota does not admit, with the moment at which to come back', async () => {
    const token = await runtime().token('Quentin')
    const { user } = await rest<{ user: { id: string } }>(token, 'GET /me')
    const quota = {
      kind: 'budget',
      scope: 'user',
      subject: user.id,
      metric: 'requests',
      limit: 1,
      window: 'day',
    }
    await rest(await admin(), 'PUT /quotas', quota)
    const ask = () => {
      const { body, headers } = modern(callTool('whoami'))
      return rpc(body, { token, headers })
    }
    expect((await ask()).response.status).toBe(200)
    const { response, text } = await ask()
    expect(response.status).toBe(429)
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(JSON.parse(text)).toMatchObject({
      id: 1,
      error: { code: 42901, data: { kind: 'quota', limit: 1 } },
    })
  })

  it('closes the call of a client that leaves in the middle of a stream', async () => {
    const token = await runtime().token('Carla')
    const { body, headers } = modern(callTool('slow', { steps: 100, delay_ms: 100 }))
    const call = { ...body, params: { ...body.params, _meta: { ...body.params._meta, progressToken: 'p' } } }
    const leaving = new AbortController()
    const response = await runtime().fetch('/mcp', {
      ...post(call, { token, headers }),
      signal: leaving.signal,
    })
    const reader = response.body!.getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toContain('notifications/progress')
    await reader.cancel()
    leaving.abort()
    await expect
      .poll(async () => (await rest<Logged>(token, 'GET /logs?level=all')).logs.map(({ status }) => status), {
        timeout: 10_000,
      })
      .toEqual(['error'])
  })

  it('refuses a user who was cut off at the next call, and on REST', async () => {
    const token = await runtime().token('Rita')
    const { user } = await rest<{ user: { id: string } }>(token, 'GET /me')
    await rest(await admin(), `POST /users/${user.id}/revoke`)
    const { body, headers } = modern(callTool('whoami'))
    expect((await rpc(body, { token, headers })).response.status).toBe(401)
    await expect(rest(token, 'GET /me')).rejects.toThrow('answers 401')
  })

  // Three seconds of the clock: an entry has no other.
  it('cuts a stream that is open when its user is cut off, and says so to the client', async () => {
    const token = await runtime().token('Stella')
    const { user } = await rest<{ user: { id: string } }>(token, 'GET /me')
    const { body, headers } = modern(callTool('slow', { steps: 100, delay_ms: 200 }, 'waits'))
    const call = { ...body, params: { ...body.params, _meta: { ...body.params._meta, progressToken: 'p' } } }
    const response = await runtime().fetch('/mcp', post(call, { token, headers }))
    const reader = response.body!.getReader()
    await reader.read()
    await rest(await admin(), `POST /users/${user.id}/revoke`)
    const cutAt = Date.now()
    let text = ''
    for (let part = await reader.read(); !part.done; part = await reader.read())
      text += new TextDecoder().decode(part.value)
    expect(Date.now() - cutAt).toBeLessThan(8000)
    expect(text).toMatch(/data: {"jsonrpc":"2.0","id":"waits","error":{"code":40101,.*\n\n$/)
    await expect
      .poll(async () =>
        (await rest<Logged>(await admin(), `GET /logs?level=all&user_id=${user.id}`)).logs.map(
          ({ error_message }) => error_message,
        ),
      )
      .toEqual(['cut off: access was withdrawn'])
  })

  it('takes an access token until it is revoked', async () => {
    const token = await runtime().token('Pat')
    const made = await rest<{ token: string; token_id: string }>(token, 'POST /tokens', { name: 'laptop' })
    const { body, headers } = modern(callTool('whoami'))
    const ask = () => rpc(body, { token: made.token, headers })
    expect((await ask()).text).toContain('pat@example.com')
    expect((await ask()).response.status).toBe(200)
    await runtime().fetch(`/api/mcp/tokens/${made.token_id}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${token}` },
    })
    expect((await ask()).response.status).toBe(401)
  })

  it('tells what calls cost', async () => {
    const token = await runtime().token('Cora')
    const { body, headers } = modern(callTool('echo', { text: 'four' }))
    await rpc(body, { token, headers })
    await expect
      .poll(() => rest<{ total: { calls: number } }>(token, 'GET /costs?group_by=tool'))
      .toMatchObject({ rows: [{ key: 'echo', calls: 1 }], total: { calls: 1, unpriced_calls: 0 } })
  })

  it('shows people the same on a page, once they have signed in', async () => {
    const token = await runtime().token('Dora')
    const { body, headers } = modern(callTool('echo', { text: 'four' }))
    for (let i = 0; i < 3; i++) await rpc(body, { token, headers })
    const app = { request: (address: string, init: RequestInit) => runtime().fetch(pathOf(address), init) }
    const visitor = await signedInAs(app, token)
    await expect.poll(async () => textOf((await visitor.get('')).html)).toContain('Calls 3 ')
    const { status, headers: answered, html } = await visitor.get('')
    expect([status, answered.get('content-type')]).toEqual([200, 'text/html; charset=UTF-8'])
    expect(textOf(html)).toContain('Dora Member: your own data')
  })

  // Three seconds of the clock, as above.
  it('tells an open page that something has changed which its viewer may see', async () => {
    const token = await runtime().token('Lydia')
    const app = { request: (address: string, init: RequestInit) => runtime().fetch(pathOf(address), init) }
    const headers = { cookie: (await signedInAs(app, token)).cookies() }
    const response = await runtime().fetch('/dashboard/live', { headers })
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const reader = response.body!.getReader()
    await reader.read()
    const { body, headers: modernHeaders } = modern(callTool('whoami'))
    await rpc(body, { token, headers: modernHeaders })
    let said = ''
    while (!said.includes('event: changed')) said += new TextDecoder().decode((await reader.read()).value)
    await reader.cancel()
  })

  it('holds an address from which everything goes wrong, but for its health', async () => {
    // On Workers it is this header that tells it; elsewhere the connection does.
    const wrong = () => runtime().fetch('/api/mcp/me', { headers: { 'cf-connecting-ip': '192.0.2.66' } })
    const statuses = new Set<number>()
    for (let i = 0; i < 40 && !statuses.has(503); i++) {
      for (const { status } of await Promise.all(Array.from({ length: 50 }, wrong))) statuses.add(status)
    }
    expect([...statuses]).toEqual([401, 503])
    expect((await runtime().fetch('/health')).status).toBe(200)
  })
}
