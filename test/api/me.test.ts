import { describe, expect, it } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { McpQuota } from '../../src/reports/quota-rows.ts'
import { callerNamed, callOf, requestBy } from '../support/ledger.ts'
import { ISSUER, tokenFor } from '../support/mcp.ts'
import {
  ago,
  expectProblem,
  MOMENT,
  refusesStrangers,
  send,
  serviceToken,
  useApi,
  userId,
  userToken,
  writeSession,
} from './support.ts'

const api = useApi()

describe('GET /me', () => {
  refusesStrangers(api, 'GET /me')

  it('tells users who they are', async () => {
    const subject = '550e8400-e29b-41d4-a716-446655440000'
    const app_metadata = { role: 'manager', department: 'sales' }
    const token = await tokenFor('Mia', { sub: subject, app_metadata, scope: 'mcp read' })
    const { status, body } = await send(api.app, 'GET /me', { token })
    expect(status).toBe(200)
    expect(body).toEqual({
      user: {
        id: subject,
        email: 'mia@example.com',
        name: 'Mia',
        department: 'sales',
        role: 'manager',
        scopes: ['mcp', 'read'],
        issuer: ISSUER,
        subject,
      },
      sessions: { active: 0, idle: 0 },
      limits: [],
    })
  })

  it('says what an admin assigned, at once, and the claim again when it is cleared', async () => {
    const token = await userToken('Alice', { department: 'sales' })
    const told = async () => (await send(api.app, 'GET /me', { token })).body.user
    expect(await told()).toMatchObject({ role: 'member', department: 'sales' })
    await api.sql`
      update archon_mcp_users
      set assigned_role = 'admin', assigned_department = 'research'
      where subject = 'alice'`
    expect(await told()).toMatchObject({ role: 'admin', department: 'research' })
    await api.sql`
      update archon_mcp_users
      set assigned_role = null, assigned_department = null
      where subject = 'alice'`
    expect(await told()).toMatchObject({ role: 'member', department: 'sales' })
  })

  it('counts live sessions of its own, though admins see all', async () => {
    const token = await userToken('Ada', { role: 'admin' })
    const id = await userId(api.app, token)
    const rows = [
      {},
      { last_activity: ago(200) },
      { last_activity: ago(301) },
      { last_activity: ago(60), timeout_seconds: 30 },
      { disconnected_at: ago(1) },
    ]
    for (const row of rows) await writeSession(api.sql, { user_id: id, ...row })
    await writeSession(api.sql, { user_id: crypto.randomUUID() })
    const { body } = await send(api.app, 'GET /me', { token })
    expect(body).toMatchObject({ sessions: { active: 2, idle: 1 } })
  })

  it('tells what is left of the limits that hold the caller, and of no others', async () => {
    const admin = await userToken('Ada', { role: 'admin' })
    const token = await userToken('Lena', { department: 'lending' })
    const id = await userId(api.app, token)
    const day = { metric: 'requests', window: 'day', limit: 10 }
    const quotas = [
      { ...day, scope: 'everyone', limit: '1000' },
      // Hers, in place of each user's.
      { ...day, scope: 'each_user' },
      { ...day, scope: 'user', subject: id, limit: 20 },
      { ...day, scope: 'department', subject: 'lending', metric: 'cost' },
      { ...day, scope: 'department', subject: 'other' },
      { kind: 'rate', scope: 'each_user', limit: 5, window_seconds: 1 },
    ]
    for (const body of quotas) {
      expect((await send(api.app, 'PUT /quotas', { token: admin, body })).status).toBe(201)
    }
    const calls = [callOf()]
    await createLedger(api.sql).admit(
      requestBy(await callerNamed('lena', { department: 'lending' }), { calls }),
    )
    const { limits } = (await send(api.app, 'GET /me', { token })).body as unknown as { limits: McpQuota[] }
    expect(limits).toMatchObject([
      { kind: 'rate', scope: 'each_user', limit: 5, window_seconds: 1, burst: 5 },
      { scope: 'department', subject: 'lending', limit: '10', used: '0', held: '0', left: '10' },
      { scope: 'user', subject: id, limit: 20, used: 0, held: 1, left: 19, warning: null, resets_at: MOMENT },
      { scope: 'everyone', limit: 1000, used: 0, held: 1, left: 999 },
    ])
    expect(limits).toHaveLength(4)
  })

  it('is for users', async () => {
    expectProblem(await send(api.app, 'GET /me', { token: await serviceToken() }), 403, 'forbidden')
  })
})
