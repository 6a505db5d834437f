import { generateKeyPairSync } from 'node:crypto'
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { ledgerOf } from '../src/ledger/ledger.ts'
import { createTestDatabase, type TestDatabase } from './support/database.ts'
import { callTool, initialize, ISSUER, modern, post, SECRET, tokenFor } from './support/mcp.ts'
import { differences, putQuota, removeQuota } from './support/quotas.ts'
import { type Served, serveHere } from './support/serve.ts'

const ORIGIN = 'https://mcp.example.com'

interface Seen {
  server: string
  headers: Headers
}
let seen: Seen[] = []
let database: TestDatabase
let served: Served[]
let app: ReturnType<typeof createApp>

/** A server with sessions, which counts them from 1 as others do. */
const upstream = (server: string) =>
  serveHere(() => async (request) => {
    seen.push({ server, headers: request.headers })
    const { id } = (await request.json()) as { id: unknown }
    const result = { content: [{ type: 'text', text: server }] }
    return Response.json({ jsonrpc: '2.0', id, result }, { headers: { 'mcp-session-id': '1' } })
  })

beforeAll(async () => {
  database = await createTestDatabase()
  served = await Promise.all(['hub', 'wiki'].map(upstream))
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })
  const [hub, wiki] = served.map(({ origin }) => `${origin}/mcp`)
  const config = readConfig(
    {
      DATABASE_URL: database.url,
      SUPABASE_JWT_SECRET: SECRET,
      JWT_ISSUER: ISSUER,
      PUBLIC_URL: `${ORIGIN}/mcp`,
      UPSTREAMS_FILE: 'upstreams.json',
      ASSERTION_KEYS: JSON.stringify(key),
      HUB_TOKEN: 'of-the-kit',
    },
    'node',
    () =>
      JSON.stringify([
        {
          path: '/mcp/hub',
          url: hub,
          headers: { authorization: 'Bearer ${HUB_TOKEN}' },
          rateLimit: '2/3600s',
          assertion: ['email'],
        },
        { path: '/mcp/wiki', url: wiki, requiredScopes: ['wiki:read'], rateLimit: '2/3600s' },
      ]),
  )
  if (config.tokens === 'trial') throw new Error('not reached')
  app = createApp(config, { sql: database.sql, tokens: config.tokens })
})
afterEach(() => {
  seen = []
})
afterAll(async () => {
  for (const one of served) await one[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

const tokenOf = (name: string, path: string, claims: Record<string, unknown> = {}) =>
  tokenFor(name, { aud: `${ORIGIN}${path}`, scope: 'wiki:read', ...claims })

async function callAt(path: string, name: string, claims: Record<string, unknown> = {}) {
  const { body, headers } = modern(callTool('search'))
  return await app.request(path, post(body, { token: await tokenOf(name, path, claims), headers }))
}

describe('several servers behind one kit', () => {
  it('are found each at its own path, with its own credentials', async () => {
    for (const server of ['hub', 'wiki']) {
      const response = await callAt(`/mcp/${server}`, 'Ann')
      expect(await response.json()).toMatchObject({ result: { content: [{ text: server }] } })
    }
    expect(seen.map(({ server, headers }) => [server, headers.get('authorization')])).toEqual([
      ['hub', 'Bearer of-the-kit'],
      ['wiki', null],
    ])
  })

  it('are told apart on record, though their tools have the same names', async () => {
    await Promise.all(['hub', 'wiki'].map((server) => callAt(`/mcp/${server}`, 'Bea')))
    await ledgerOf(database.sql).drained()
    const rows = await database.owner`
      select tool_name from archon_mcp_requests join archon_mcp_users using (user_id)
      where name = 'Bea' order by tool_name`
    expect(rows.map(({ tool_name }) => tool_name as string)).toEqual(['hub/search', 'wiki/search'])
  })

  it('have each a rate of its own, though it is the same', async () => {
    const statuses: number[] = []
    for (const path of ['/mcp/hub', '/mcp/hub', '/mcp/hub', '/mcp/wiki', '/mcp/wiki', '/mcp/wiki']) {
      statuses.push((await callAt(path, 'Cal')).status)
    }
    expect(statuses).toEqual([200, 200, 429, 200, 200, 429])
  })

  it('hold each user to it alone', async () => {
    expect((await callAt('/mcp/hub', 'Dan')).status).toBe(200)
  })

  it('may have each a budget for all of its tools, and what they used before counts', async () => {
    await callAt('/mcp/wiki', 'Dee')
    await ledgerOf(database.sql).drained()
    const id = await putQuota(database.sql, { scope: 'each_user', limit: 2, tools: ['wiki/*'] })
    const statuses: number[] = []
    for (const path of ['/mcp/wiki', '/mcp/hub', '/mcp/wiki'])
      statuses.push((await callAt(path, 'Dee')).status)
    expect(statuses).toEqual([200, 200, 429])
    await ledgerOf(database.sql).drained()
    expect(await differences(database.sql)).toEqual([])
    await removeQuota(database.sql, id)
  })

  it('want each its own scopes, and say where to get a token for it', async () => {
    const response = await callAt('/mcp/wiki', 'Eve', { scope: 'other' })
    expect(response.status).toBe(403)
    expect(response.headers.get('www-authenticate')).toContain(
      `scope="wiki:read", resource_metadata="${ORIGIN}/.well-known/oauth-protected-resource/mcp/wiki"`,
    )
    const metadata = await app.request('/.well-known/oauth-protected-resource/mcp/wiki')
    expect(await metadata.json()).toMatchObject({
      resource: `${ORIGIN}/mcp/wiki`,
      scopes_supported: ['wiki:read'],
      resource_name: 'wiki',
    })
    expect(await (await app.request('/.well-known/oauth-protected-resource')).json()).toMatchObject({
      resource: `${ORIGIN}/mcp`,
    })
  })

  it('take each a token for itself, and none for another', async () => {
    expect((await callAt('/mcp/hub', 'Flo', { aud: `${ORIGIN}/mcp/wiki` })).status).toBe(401)
    expect(seen).toEqual([])
  })

  it('may give out the same session ids: they are different sessions', async () => {
    for (const [name, path] of [
      ['Gus', '/mcp/hub'],
      ['Hal', '/mcp/wiki'],
    ] as const) {
      const opened = await app.request(path, post(initialize(), { token: await tokenOf(name, path) }))
      expect([opened.status, opened.headers.get('mcp-session-id')]).toEqual([200, '1'])
    }
    const token = await tokenOf('Gus', '/mcp/wiki')
    const foreign = await app.request('/mcp/wiki', post(callTool('search'), { token, session: '1' }))
    expect(foreign.status).toBe(404)
  })

  it('are told who is calling where that is configured, and nowhere else', async () => {
    await callAt('/mcp/hub', 'Ida')
    await callAt('/mcp/wiki', 'Ida')
    const [hub, wiki] = seen.map(({ headers }) => headers.get('user-context-assertion'))
    expect(wiki).toBeNull()
    const jwks = (await (await app.request('/.well-known/jwks.json')).json()) as JSONWebKeySet
    const audience = `${served[0]!.origin}/mcp`
    const { payload } = await jwtVerify(hub!, createLocalJWKSet(jwks), { issuer: ORIGIN, audience })
    expect(payload).toMatchObject({ email: 'ida@example.com' })
    expect(payload).not.toHaveProperty('role')
  })

  it('leave nothing at PUBLIC_URL where no server is', async () => {
    expect((await callAt('/mcp', 'Jon')).status).toBe(404)
  })
})
