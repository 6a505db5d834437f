import { Hono } from 'hono'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Problem } from '../../src/api/answers/parts.ts'
import { mcpApi, type McpApiOptions } from '../../src/api/mcp-api.ts'
import { refusalsOf } from '../../src/api/route.ts'
import { ROUTES } from '../../src/api/routes.ts'
import type { Sql } from '../../src/db/client.ts'
import type { CallsSummary, McpCall } from '../../src/reports/calls.ts'
import type { McpClient } from '../../src/reports/clients.ts'
import type { DisconnectedSession, DisconnectStatistics } from '../../src/reports/disconnected.ts'
import type { McpSession } from '../../src/reports/session.ts'
import type { SessionHealth } from '../../src/reports/session-health.ts'
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
export const serviceToken = (): Promise<string> =>
  tokenFor('service', { sub: undefined, role: 'service_role' })

/** What any of the routes may answer; a test reads what its own does. */
export interface Body extends SessionHealth {
  session_id: string
  clients: McpClient[]
  total: number
  next_cursor?: string
  active_sessions: number
  session_timeout: number
  server_uptime_seconds?: number
  sessions: DisconnectedSession[]
  statistics: DisconnectStatistics
  period: { start: string; end: string; days: number }
  session: McpSession
  requests?: McpCall[]
  summary: CallsSummary
  user: { id: string; role: string; department: string | null }
  code: string
  request_id: string
  errors: { path: string; message: string }[]
}

export interface Answer {
  status: number
  headers: Headers
  body: Body
}

/** Sends one request, with a body as JSON where there is one. */
export async function send(
  app: Hono,
  route: string,
  {
    token,
    body,
    headers = {},
  }: { token?: string | undefined; body?: unknown; headers?: Record<string, string> } = {},
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
  const json: unknown = text === '' ? {} : JSON.parse(text)
  expectPromised(method, path, response, json)
  return { status: response.status, headers: response.headers, body: json as Body }
}

/** Every answer that a test gets is one that the table of routes, and so the OpenAPI document, promises. */
export function expectPromised(
  method: string,
  path: string,
  { status, headers }: Response,
  body: unknown,
): void {
  const [place = ''] = path.split('?', 1)
  const route = ROUTES.find(
    (one) => one.method === method && new RegExp(`^${one.path.replace(/:\\w+/, '[^/]+')}$`).test(place),
  )
  if (status >= 400) {
    expect(headers.get('content-type')).toBe('application/problem+json')
    const { code } = Problem.parse(body)
    if (route !== undefined) expect(refusalsOf(route), `${method} ${path}`).toContain(code)
  } else if (route !== undefined) {
    const promised = route.answers[status as 200 | 201 | 204]
    expect(promised, `${method} ${path} answers ${status}`).toBeDefined()
    if (promised === null) expect(body).toEqual({})
    else expect(promised?.safeParse(body).error?.issues ?? [], `${method} ${path}`).toEqual([])
  }
}

/** Asserts RFC 9457 problem details with the code and an id to quote. */
export function expectProblem(answer: Answer, status: number, code: string): void {
  expect(answer.body).toMatchObject({ type: 'about:blank', status, code, title: expect.any(String) })
  expect(answer.body.request_id).toMatch(/^[\da-f-]{36}$/)
  expect(answer.status).toBe(status)
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
}

/** What every route does with callers that nobody vouches for. */
export function refusesStrangers(api: { readonly sql: Sql }, route: string): void {
  const strangers = [
    {
      name: 'no token',
      token: undefined,
      code: 'unauthorized',
      challenge: /^Bearer (?!.*error=).*resource_metadata=/,
    },
    {
      name: 'a bad token',
      token: 'bad',
      code: 'invalid_token',
      challenge: /^Bearer .*error="invalid_token"/,
    },
  ]
  it.each(strangers)(
    `${route} answers 401 to $name, where /mcp lets anonymous pass too`,
    async (stranger) => {
      for (const required of [true, false]) {
        const answer = await send(apiApp(api.sql, { required }), route, { token: stranger.token })
        expectProblem(answer, 401, stranger.code)
        expect(answer.headers.get('www-authenticate')).toMatch(stranger.challenge)
      }
    },
  )
}

/** Writes a session as any program might have; what is not given is as of now. */
export async function writeSession(sql: Sql, row: Record<string, unknown> = {}): Promise<string> {
  const id = crypto.randomUUID()
  await sql`insert into archon_mcp_sessions ${sql({ session_id: id, ...row })}`
  return id
}

/** A moment as answers write it. */
export const MOMENT: unknown = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)

/** The moment so many seconds ago. */
export const ago = (seconds: number): Date => new Date(Date.now() - seconds * 1000)

/**
 * Follows `next_cursor` from the first page to the last.
 * @param path with a query; the cursor is added to it.
 * @returns the pages.
 */
export async function walk(app: Hono, path: string, token: string): Promise<Body[]> {
  const pages: Body[] = []
  let cursor: string | undefined
  do {
    const from = cursor === undefined ? '' : `&cursor=${cursor}`
    const { status, body } = await send(app, `GET ${path}${from}`, { token })
    expect(status).toBe(200)
    pages.push(body)
    cursor = body.next_cursor
  } while (cursor !== undefined)
  return pages
}

/** The id of a user, who is known from then on. */
export async function userId(app: Hono, token: string): Promise<string> {
  return (await send(app, 'GET /me', { token })).body.user.id
}
