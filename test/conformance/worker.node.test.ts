import { afterAll, beforeAll, describe, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { tokenFor } from '../support/mcp.ts'
import { type ServedWorker, startWorker } from '../support/wrangler.ts'
import { PUSH } from './scenarios.ts'
import { expectConformance, TEST_TIMEOUT_MS } from './suite.ts'

// Wrangler does not run under Bun.
describe.skipIf('bun' in process.versions)(
  'the official conformance suite on Workers, through the guarded endpoint',
  { timeout: TEST_TIMEOUT_MS },
  () => {
    let database: TestDatabase
    let worker: ServedWorker
    beforeAll(async () => {
      database = await createTestDatabase()
      worker = await startWorker('test/conformance/worker.ts', database.url)
    }, TEST_TIMEOUT_MS)
    afterAll(async () => {
      await worker?.[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    })

    it('finds 2025-11-25 whole but the push that takes a held stream', async () => {
      await expectConformance(worker.origin, await tokenFor('Suite'), '2025-11-25', PUSH)
    })

    it('finds 2026-07-28 whole', async () => {
      await expectConformance(worker.origin, await tokenFor('Suite'), '2026-07-28')
    })
  },
)
