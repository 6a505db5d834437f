import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { DEEP, patience } from '../support/deep.ts'
import { type Gate, gateBefore } from '../support/gate.ts'
import { COOKIE_KEY, ISSUER, RESOURCE, SECRET } from '../support/issuer.ts'
import { callTool, modern, post, tokenFor } from '../support/mcp.ts'
import { signedInAs } from '../support/visitor.ts'
import { type Bundle, bundleWorker, type ServedWorker, startWorker } from '../support/wrangler.ts'
import { behavesAsEverywhere } from './suite.ts'

const kB = (bytes: number): number => Math.ceil(bytes / 100) / 10

// Wrangler does not run under Bun.
describe.skipIf('bun' in process.versions)('the bundle that is deployed to Workers', () => {
  let database: TestDatabase
  let bundle: Bundle
  let worker: ServedWorker
  let gate: Gate
  beforeAll(async () => {
    database = await createTestDatabase()
    gate = await gateBefore(database.url)
    bundle = await bundleWorker('src/worker.ts')
    const variables = { PUBLIC_URL: RESOURCE, JWT_ISSUER: ISSUER, SUPABASE_JWT_SECRET: SECRET, COOKIE_KEY }
    const given = Object.entries(variables).flatMap(([name, value]) => ['--var', `${name}:${value}`])
    worker = await startWorker(bundle.entry, gate.url, ['--no-bundle', ...given])
  }, 60_000)
  afterAll(async () => {
    await worker?.[Symbol.asyncDispose]()
    await bundle?.[Symbol.asyncDispose]()
    await gate?.[Symbol.asyncDispose]()
    await database[Symbol.asyncDispose]()
  })

  behavesAsEverywhere(() => ({
    fetch: (path, init) => fetch(new URL(path, worker.origin), init),
    token: tokenFor,
  }))

  const call = async (tool: string, token: string): Promise<Response> => {
    const { body, headers } = modern(callTool(tool, { text: 'x' }))
    return await fetch(new URL('/mcp', worker.origin), post(body, { token, headers }))
  }

  /** Those of the test itself. */
  const OWN_CONNECTIONS = 4
  const openConnections = async (): Promise<number> => {
    const [row] = await database.owner<[{ open: number }]>`
      select count(*)::integer as open from pg_stat_activity
      where datname = current_database() and usename = ${new URL(database.url).username}`
    return row.open
  }

  it('leaves no connection open, however many requests it had', { timeout: patience }, async () => {
    const token = await tokenFor('Many')
    for (let sent = 0; sent < (DEEP ? 2000 : 60); sent += 20) {
      const answers = await Promise.all(Array.from({ length: 20 }, () => call('echo', token)))
      expect(
        new Set(await Promise.all(answers.map(async (answer) => (await answer.text(), answer.status)))),
      ).toEqual(new Set([200]))
    }
    await expect.poll(openConnections, { timeout: 20_000 }).toBeLessThanOrEqual(OWN_CONNECTIONS)
  })

  it('keeps no connection for pages that listen while they ask nothing', async () => {
    const app = {
      request: (address: string, init: RequestInit) =>
        fetch(new URL(new URL(address).pathname, worker.origin), init),
    }
    const headers = { cookie: (await signedInAs(app, await tokenFor('Many'))).cookies() }
    const pages = Array.from({ length: 2 * OWN_CONNECTIONS }, async () => {
      const { body } = await fetch(new URL('/dashboard/live', worker.origin), { headers })
      const reader = body!.getReader()
      await reader.read()
      return reader
    })
    const readers = await Promise.all(pages)
    await expect.poll(openConnections).toBeLessThanOrEqual(OWN_CONNECTIONS)
    await Promise.all(readers.map((reader) => reader.cancel()))
  })

  it.each(['closed', 'silent'] as const)(
    'answers 503 with Retry-After while its database is %s, runs no tool for it, and goes on afterwards',
    { timeout: patience },
    async (state) => {
      const token = await tokenFor(`Outage-${state}`)
      expect((await call('echo', token)).status).toBe(200)
      gate.state = state
      gate.cut()
      const startedAt = performance.now()
      const answer = await call('echo', token)
      expect(answer.status).toBe(503)
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
      expect(performance.now() - startedAt).toBeLessThan(20_000)
      gate.state = 'open'
      gate.cut()
      expect((await call('echo', token)).status).toBe(200)
      await expect
        .poll(
          async () => {
            const rows = await database.owner<{ status: string }[]>`
            select call.status from archon_mcp_requests as call join archon_mcp_users as known using (user_id)
            where known.subject = ${`outage-${state}`} order by call.timestamp`
            return rows.map(({ status }) => status)
          },
          { timeout: 10_000 },
        )
        .toEqual(['success', 'success'])
    },
  )

  it('weighs 400 kB at most, compressed', () => {
    console.log(`everything: ${kB(bundle.gzipBytes)} kB compressed`)
    expect(kB(bundle.gzipBytes)).toBeLessThanOrEqual(400)
  })

  it(
    'adds 45 kB at most, compressed, to an app that has Hono: the middleware with jose and postgres.js',
    { timeout: 60_000 },
    async () => {
      await using bare = await bundleWorker('test/runtime/bare-worker.ts')
      await using governed = await bundleWorker('test/runtime/middleware-worker.ts')
      const added = kB(governed.gzipBytes - bare.gzipBytes)
      console.log(`middleware alone: ${kB(governed.gzipBytes)} kB compressed, ${added} kB of it beside Hono`)
      expect(added).toBeLessThanOrEqual(45)
    },
  )
})
