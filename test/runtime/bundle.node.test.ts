import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { ISSUER, RESOURCE, SECRET, tokenFor } from '../support/mcp.ts'
import { type Bundle, bundleWorker, type ServedWorker, startWorker } from '../support/wrangler.ts'
import { behavesAsEverywhere } from './suite.ts'

const kB = (bytes: number): number => Math.round(bytes / 1000)

// Wrangler does not run under Bun.
describe.skipIf('bun' in process.versions)('the bundle that is deployed to Workers', () => {
  let database: TestDatabase
  let bundle: Bundle
  let worker: ServedWorker
  beforeAll(async () => {
    database = await createTestDatabase()
    bundle = await bundleWorker('src/worker.ts')
    const variables = { PUBLIC_URL: RESOURCE, JWT_ISSUER: ISSUER, SUPABASE_JWT_SECRET: SECRET }
    const given = Object.entries(variables).flatMap(([name, value]) => ['--var', `${name}:${value}`])
    worker = await startWorker(bundle.entry, database.url, ['--no-bundle', ...given])
  }, 60_000)
  afterAll(async () => {
    await worker?.[Symbol.asyncDispose]()
    await bundle?.[Symbol.asyncDispose]()
    await database[Symbol.asyncDispose]()
  })

  behavesAsEverywhere(() => ({
    fetch: (path, init) => fetch(new URL(path, worker.origin), init),
    token: tokenFor,
  }))

  it('weighs 400 kB at most, compressed', () => {
    console.log(`everything: ${kB(bundle.gzipBytes)} kB compressed`)
    expect(kB(bundle.gzipBytes)).toBeLessThanOrEqual(400)
  })

  it('adds 45 kB at most, compressed, to an app that has Hono: the middleware with jose and postgres.js', async () => {
    await using bare = await bundleWorker('test/runtime/bare-worker.ts')
    await using governed = await bundleWorker('test/runtime/middleware-worker.ts')
    const added = kB(governed.gzipBytes - bare.gzipBytes)
    console.log(`middleware alone: ${kB(governed.gzipBytes)} kB compressed, ${added} kB of it beside Hono`)
    expect(added).toBeLessThanOrEqual(45)
  })
})
