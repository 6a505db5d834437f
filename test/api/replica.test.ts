import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dashboardApp, signedInAs, textOf } from '../dashboard/support.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { tokenFor } from '../support/mcp.ts'
import { apiApp } from './support.ts'

// An empty database of the same schema: a replica that is far behind.
let database: TestDatabase
let behind: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
  behind = await createTestDatabase()
})
afterAll(async () => {
  await database[Symbol.asyncDispose]()
  await behind[Symbol.asyncDispose]()
})

const quota = { kind: 'budget', scope: 'everyone', metric: 'requests', limit: 7, window: 'day' }

describe('reports from a replica', () => {
  it('are read there, while what changes something is done and answered by the database itself', async () => {
    const app = apiApp(database.sql, { reportsSql: behind.sql })
    const token = await tokenFor('Root', { app_metadata: { role: 'admin' } })
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const put = await app.request('/api/mcp/quotas', {
      method: 'PUT',
      headers,
      body: JSON.stringify(quota),
    })
    expect([put.status, await put.json()]).toEqual([201, expect.objectContaining({ limit: 7 })])
    const quotas = async (from: typeof app): Promise<number> => {
      const answer = await from.request('/api/mcp/quotas', { headers })
      return (await answer.json<{ quotas: unknown[] }>()).quotas.length
    }
    expect([await quotas(app), await quotas(apiApp(database.sql))]).toEqual([0, 1])
  })

  it('are the same on pages', async () => {
    const token = await tokenFor('Root', { app_metadata: { role: 'admin' } })
    const limits = async (reportsSql?: TestDatabase['sql']): Promise<string> => {
      const visitor = await signedInAs(dashboardApp(database.sql, { reportsSql }), token)
      return textOf((await visitor.get('/limits')).html)
    }
    expect(await limits(behind.sql)).toContain('No limit is set that you may see.')
    expect(await limits()).not.toContain('No limit is set that you may see.')
  })
})
