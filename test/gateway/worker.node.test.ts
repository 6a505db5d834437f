import { afterAll, beforeAll, describe, it } from 'vitest'
import { expectConformance, TEST_TIMEOUT_MS } from '../conformance/suite.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { ISSUER, RESOURCE, SECRET, tokenFor } from '../support/mcp.ts'
import { DEEP } from '../support/deep.ts'
import { startUpstream, type UpstreamProcess } from '../support/upstream-process.ts'
import { type ServedWorker, startWorker } from '../support/wrangler.ts'

// Minutes: npm run test:deep. Wrangler does not run under Bun.
describe.skipIf(!DEEP || 'bun' in process.versions)(
  'the Worker as a gateway before a server with sessions',
  { timeout: TEST_TIMEOUT_MS },
  () => {
    let database: TestDatabase
    let upstream: UpstreamProcess
    let worker: ServedWorker
    beforeAll(async () => {
      database = await createTestDatabase()
      upstream = await startUpstream('conformance/upstream.ts')
      const variables = {
        PUBLIC_URL: RESOURCE,
        JWT_ISSUER: ISSUER,
        SUPABASE_JWT_SECRET: SECRET,
        UPSTREAM_MCP_URL: upstream.url,
      }
      const given = Object.entries(variables).flatMap(([name, value]) => ['--var', `${name}:${value}`])
      worker = await startWorker('src/worker.ts', database.url, given)
    }, TEST_TIMEOUT_MS)
    afterAll(async () => {
      await worker?.[Symbol.asyncDispose]()
      await upstream?.[Symbol.asyncDispose]()
      await database?.[Symbol.asyncDispose]()
    })

    it.each(['2025-11-25', '2026-07-28'] as const)('passes %s whole', async (revision) => {
      await expectConformance(worker.origin, await tokenFor('Suite'), revision)
    })
  },
)
