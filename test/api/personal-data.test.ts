import { describe, expect, it } from 'vitest'
import { apiApp, expectProblem, send, useApi, userId, userToken } from './support.ts'
import { callTool, mcpApp, modern, post } from '../support/mcp.ts'

const api = useApi()
const admin = (): Promise<string> => userToken('Root', { role: 'admin' })

async function callOnce(name: string): Promise<{ token: string; id: string }> {
  const token = await userToken(name, { department: 'Sales' })
  const id = await userId(api.app, token)
  const { body, headers } = modern(callTool('echo', { text: 'hello' }))
  await (await mcpApp(api.sql).request('/mcp', post(body, { token, headers }))).text()
  await expect
    .poll(async () => (await send(api.app, `GET /logs`, { token })).body)
    .toMatchObject({ logs: [{ status: 'success' }] })
  return { token, id }
}

interface Exported {
  user_id: string
  users: Record<string, unknown>[]
  memberships: Record<string, unknown>[]
  sessions: Record<string, unknown>[]
  calls: Record<string, unknown>[]
  audit: Record<string, unknown>[]
}

describe('GET /users/:id/export', () => {
  it('hands a person everything that is kept about them, as one JSON document', async () => {
    const { token, id } = await callOnce('Olga')
    const answer = await send(api.app, `GET /users/${id}/export`, { token })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('application/json')
    expect(answer.headers.get('content-disposition')).toBe(`attachment; filename="user-${id}.json"`)
    const document = answer.body as unknown as Exported
    expect(document).toMatchObject({
      user_id: id,
      users: [{ user_id: id, email: 'olga@example.com', name: 'Olga', subject: 'olga' }],
      memberships: [{ department: 'Sales', ends_at: null }],
      sessions: [{ client_name: 'Cursor', user_email: 'olga@example.com' }],
      calls: [{ tool_name: 'echo', status: 'success', department: 'Sales', usage: [] }],
    })
  })

  it('is for the person and for those who administer; to others nobody is there', async () => {
    const { id } = await callOnce('Pia')
    const manager = await userToken('Max', { role: 'manager', department: 'Sales' })
    for (const token of [manager, await userToken('Mallory'), await userToken('Fin', { role: 'finance' })]) {
      expectProblem(await send(api.app, `GET /users/${id}/export`, { token }), 404, 'not_found')
    }
    expect((await send(api.app, `GET /users/${id}/export`, { token: await admin() })).status).toBe(200)
    const { body } = await send(api.app, `GET /audit?action=user.exported&target=${id}`, {
      token: await admin(),
    })
    expect(body).toMatchObject({ audit: [{ action: 'user.exported', target_id: id }], total: 1 })
  })
})

describe('DELETE /users/:id', () => {
  it('tells with dry_run what would go, then forgets the person and answers with the receipt', async () => {
    const { token, id } = await callOnce('Quinn')
    const trial = await send(api.app, `DELETE /users/${id}?dry_run=true`, { token: await admin() })
    expect(trial.body).toMatchObject({
      dry_run: true,
      tables: { archon_mcp_users: 1, archon_mcp_requests: 1 },
    })
    const receipt = await send(api.app, `DELETE /users/${id}`, { token: await admin() })
    expect(receipt.body).toEqual({
      ...trial.body,
      dry_run: false,
      erased_at: expect.any(String) as string,
    })
    expectProblem(await send(api.app, `GET /users/${id}`, { token: await admin() }), 404, 'not_found')
    expectProblem(await send(api.app, `DELETE /users/${id}`, { token: await admin() }), 404, 'not_found')
    // With a token of theirs they are somebody new.
    expect((await send(api.app, 'GET /me', { token })).status).toBe(200)
    expect((await send(api.app, 'GET /logs', { token })).body).toMatchObject({ logs: [] })
  })

  it('is for those who administer', async () => {
    const { token, id } = await callOnce('Rob')
    expectProblem(await send(api.app, `DELETE /users/${id}`, { token }), 403, 'forbidden')
  })
})

describe('/retention', () => {
  it('tells for how long data is kept, and takes a change', async () => {
    const token = await admin()
    expect((await send(api.app, 'GET /retention', { token })).body).toMatchObject({
      calls_days: null,
      stores_names: true,
    })
    const body = { calls_days: 400, errors_days: 30 }
    expect((await send(api.app, 'PUT /retention', { token, body })).body).toMatchObject({
      ...body,
      sessions_days: null,
    })
    expect((await send(api.app, 'PUT /retention', { token, body: { calls_days: null } })).body).toMatchObject(
      {
        calls_days: null,
        errors_days: 30,
      },
    )
    const { body: record } = await send(api.app, 'GET /audit?action=retention.set', { token })
    expect(record).toMatchObject({ audit: [{ details: { calls_days: null } }, { details: body }] })
  })

  it.each([
    [{ calls_days: 61 }, 'calls_days'],
    [{ audit_days: 3 }, 'audit_days'],
    [{ errors_days: 1.5 }, 'errors_days'],
    [{ calls_days: 90, days: 3 }, ''],
    [{}, ''],
  ])('answers 400 to %j', async (body, path) => {
    const answer = await send(api.app, 'PUT /retention', { token: await admin(), body })
    expectProblem(answer, 400, 'invalid_request')
    expect(answer.body.errors).toEqual([{ path, message: expect.any(String) as string }])
  })

  it('keeps names from the database and not from tools, once they are not stored', async () => {
    await send(api.app, 'PUT /retention', { token: await admin(), body: { stores_names: false } })
    const { body } = await send(apiApp(api.sql), 'GET /me', { token: await userToken('Sid') })
    expect(body.user).toMatchObject({ email: 'sid@example.com', name: 'Sid' })
    const [row] =
      await api.sql`select count(*)::integer as named from archon_mcp_users where email is not null`
    expect(row).toEqual({ named: 0 })
    await send(api.app, 'PUT /retention', { token: await admin(), body: { stores_names: true } })
  })
})
