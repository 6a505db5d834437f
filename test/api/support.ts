import { Hono } from 'hono'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { mcpApi, type McpApiOptions } from '../../src/api/mcp-api.ts'
import type { Sql } from '../../src/db/client.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { optionsFor, tokenFor } from '../support/mcp.ts'

/** The API where the README mounts it. */
export const apiApp = (sql: Sql, options: Partial<McpApiOptions> = {}): Hono =>
  new Hono().route('/api/mcp', mcpApi({ ...optionsFor(sql), ...options }))

/** A database for a file of tests, and the app on it; read them inside a test. */
export function useApi(): { readonly database: TestDatabase; readonly sql: Sql; readonly app: Hono } {
  let database: TestDatabase
  let app: Hono
  beforeAll(async () => {
    database = await createTestDatabase()
    app = apiApp(database.sql)
  })
  afterAll(() => database[Symbol.asyncDispose]())
  return {
    get database() {
      return database
    },
    get sql() {
      return database.sql
    },
    get app() {
      return app
    },
  }
}

interface Claimed {
  role?: 'manager' | 'finance' | 'admin'
  department?: string
}

/** A user's token; role and department stand where Supabase keeps them. */
export const userToken = (name: string, { role, department }: Claimed = {}): Promise<string> =>
  tokenFor(name, { app_metadata: { role, department } })

/** The token of a program, as Supabase's service key is one. */
export const serviceToken = (): Promise<string> => tokenFor('service', { sub: undefined, role: 'service_role' })

export interface Answer {
  status: number
  headers: Headers
  // oxlint-disable-next-line typescript/no-redundant-type-constituents -- tests read members of any answer
  body: Record<string, never> & { [name: string]: unknown }
}

/** Sends one request, with a body as JSON where there is one. */
export async function send(
  app: Hono,
  route: string,
  { token, body, headers = {} }: { token?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const [method = '', path = ''] = route.split(' ')
  const response = await app.request(`/api/mcp${path}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? {} : JSON.parse(text),
  }
}
