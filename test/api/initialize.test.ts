import { describe, expect, it } from 'vitest'
import {
  apiApp,
  expectProblem,
  refusesStrangers,
  send,
  serviceToken,
  useApi,
  userId,
  userToken,
} from './support.ts'

const api = useApi()
const client_info = { name: 'Claude Code', version: '1.0.0' }
const john = {
  user_id: '550e8400-e29b-41d4-a716-446655440000',
  user_email: 'john.doe@example.com',
  user_name: 'John Doe',
}
const sessionRow = async (id: string) =>
  (await api.sql`select * from archon_mcp_sessions where session_id = ${id}`)[0]

describe('POST /initialize', () => {
  refusesStrangers(api, 'POST /initialize')

  it('opens a session for the user whom the token names', async () => {
    const token = await userToken('Alice')
    const { status, body } = await send(api.app, 'POST /initialize', { token, body: { client_info } })
    expect(status).toBe(201)
    expect(body).toEqual({ session_id: expect.any(String) })
    expect(await sessionRow(body.session_id)).toMatchObject({
      user_id: await userId(api.app, token),
      user_email: 'alice@example.com',
      user_name: 'Alice',
      client_type: 'Claude',
      client_version: '1.0.0',
      metadata: client_info,
      timeout_seconds: 86_400,
      disconnected_at: null,
    })
  })

  it('takes a session of which nothing is known, and the configured timeout', async () => {
    const token = await userToken('Alice')
    const app = apiApp(api.sql, { session: { timeoutSeconds: 60 } })
    for (const body of [undefined, {}, { client_info: null, user_context: null }]) {
      const answer = await send(app, 'POST /initialize', { token, body })
      expect(answer.status).toBe(201)
      const row = await sessionRow(answer.body.session_id)
      expect(row).toMatchObject({ client_type: 'Unknown', timeout_seconds: 60 })
    }
  })

  it('refuses user_context from a user of any role, whomever it names and whatever it says', async () => {
    const users = [
      await userToken('Alice'),
      await userToken('Mia', { role: 'manager', department: 'sales' }),
      await userToken('Fin', { role: 'finance' }),
      await userToken('Ada', { role: 'admin' }),
    ]
    for (const token of users) {
      const named = [john, { user_id: await userId(api.app, token) }, { user_id: 'user-uuid' }, {}, 'john']
      for (const user_context of named) {
        const answer = await send(api.app, 'POST /initialize', { token, body: { client_info, user_context } })
        expectProblem(answer, 403, 'forbidden')
      }
    }
    const [row] =
      await api.sql`select count(*)::integer as n from archon_mcp_sessions where user_id = ${john.user_id}`
    expect(row).toEqual({ n: 0 })
  })

  it('lets a service open a session for a user, or for nobody', async () => {
    const token = await serviceToken()
    const opened = await send(api.app, 'POST /initialize', {
      token,
      body: { client_info, user_context: john },
    })
    expect(opened.status).toBe(201)
    expect(await sessionRow(opened.body.session_id)).toMatchObject(john)
    const bare = { user_id: john.user_id }
    const brief = await send(api.app, 'POST /initialize', { token, body: { user_context: bare } })
    expect(await sessionRow(brief.body.session_id)).toMatchObject({
      ...bare,
      user_email: null,
      user_name: null,
    })
    const nobody = await send(api.app, 'POST /initialize', { token, body: { client_info } })
    expect(await sessionRow(nobody.body.session_id)).toMatchObject({ user_id: null, user_email: null })
  })

  it('names every fault of a body', async () => {
    const answer = await send(api.app, 'POST /initialize', {
      token: await serviceToken(),
      body: { user_context: { user_id: 'user-uuid-here', user_email: 7, user_name: 'J\0hn' } },
    })
    expectProblem(answer, 400, 'invalid_request')
    expect(answer.body.errors.map(({ path }) => path)).toEqual([
      'user_context.user_id',
      'user_context.user_email',
      'user_context.user_name',
    ])
    const wrong = { token: await userToken('Alice'), body: { client_info: 'Claude' } }
    const { body } = await send(api.app, 'POST /initialize', wrong)
    expect(body.errors).toEqual([{ path: 'client_info', message: expect.any(String) }])
  })

  it('refuses what is no JSON object, another media type, and more than 64 KiB', async () => {
    const token = await userToken('Alice')
    const post = (body: unknown, headers: Record<string, string> = {}) =>
      send(api.app, 'POST /initialize', { token, body, headers })
    expectProblem(await post('{"client_info":'), 400, 'parse_error')
    expectProblem(await post(''), 400, 'parse_error')
    expectProblem(await post('[]'), 400, 'invalid_request')
    expectProblem(await post('null'), 400, 'invalid_request')
    expectProblem(
      await post({ client_info }, { 'content-type': 'text/plain' }),
      415,
      'unsupported_media_type',
    )
    expectProblem(await post({ client_info: { name: 'x'.repeat(65_536) } }), 413, 'body_too_large')
  })
})
