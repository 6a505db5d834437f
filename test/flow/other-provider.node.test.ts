// A server in production: its people sign in elsewhere, at a provider whose keys are behind JWKS_URL.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Hono } from 'hono'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { serveMcp } from '../../src/mcp/serve-mcp.ts'
import { type SignIn, startSignIn } from '../../src/trial/sign-in/sign-in.ts'
import { sampleTools } from '../../src/trial/tools.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { formBrowser } from '../support/form-browser.ts'
import { callTool, initialize, mcpHeaders, post, SECRET, tokenFor } from '../support/mcp.ts'
import { type Served, serveHere } from '../support/serve.ts'
import { signIn } from '../support/signed-in-client.ts'

const folder = mkdtempSync(join(tmpdir(), 'other-provider-'))
let database: TestDatabase
let provider: SignIn
let elsewhere: Served
let server: Served
beforeAll(async () => {
  database = await createTestDatabase()
  let [routes, app]: [Hono?, Hono?] = []
  elsewhere = await serveHere(() => (request) => routes!.fetch(request))
  server = await serveHere(() => (request) => app!.fetch(request))
  const { origin } = elsewhere
  // Its tokens name it as their issuer, as those of every provider do.
  const resources: [string] = [`${server.origin}/mcp`]
  provider = await startSignIn({ folder, origin, resources, tokenIssuer: origin, scopes: [] })
  routes = provider.routes
  // What README says: the keys of a provider, and a legacy secret of the same issuer at once.
  const config = readConfig(
    {
      DATABASE_URL: database.url,
      PORT: new URL(server.origin).port,
      JWKS_URL: `${origin}/oauth/jwks`,
      JWT_ISSUER: origin,
      SUPABASE_JWT_SECRET: SECRET,
    },
    'node',
  )
  if (config.tokens === 'trial') throw new Error('the configuration names a provider')
  app = createApp(config, { sql: database.sql, tokens: config.tokens, handler: serveMcp(sampleTools) })
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await elsewhere[Symbol.asyncDispose]()
  await provider.stop()
  await database[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

const url = (): URL => new URL('/mcp', server.origin)

it('sends clients to the provider, and takes what it signs for this server', async () => {
  await using bob = await signIn(url(), formBrowser({ press: 'Bob Builder' }))
  expect(bob.asked[0]!.origin).toBe(elsewhere.origin)
  expect(decodeJwt(bob.tokens()!.access_token)).toMatchObject({ iss: elsewhere.origin, aud: url().href })
  const who = JSON.stringify(await bob.client.callTool({ name: 'whoami' }))
  expect(who).toContain(elsewhere.origin)
  expect(who).toContain('Engineering')
})

it('knows the same person by a token of the legacy secret', async () => {
  await using bob = await signIn(url(), formBrowser({ press: 'Bob Builder' }))
  const { sub } = decodeJwt(bob.tokens()!.access_token)
  const token = await tokenFor('Bob', { iss: elsewhere.origin, aud: url().href, sub })
  const opened = await fetch(url(), post(initialize(), { token }))
  const session = opened.headers.get('mcp-session-id')!
  const answer = await fetch(url(), {
    method: 'POST',
    headers: mcpHeaders({ token, session }),
    body: JSON.stringify(callTool('whoami')),
  })
  expect(await answer.text()).toContain(sub)
  const users = await database.sql`select user_id from archon_mcp_users where issuer = ${elsewhere.origin}`
  expect([...users]).toEqual([{ user_id: sub }])
})
