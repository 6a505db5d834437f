import { fileURLToPath } from 'node:url'
import { describe, it } from 'vitest'
import { createTestDatabase } from '../support/database.ts'
import { tokenFor } from '../support/mcp.ts'
import { startUpstream } from '../support/upstream-process.ts'
import { expectConformance, expectTheRecord, TEST_TIMEOUT_MS } from './suite.ts'

const BUN = fileURLToPath(new URL('../../node_modules/.bin/bun', import.meta.url).href)

describe(
  'the official conformance suite on Bun, through the guarded endpoint',
  { timeout: TEST_TIMEOUT_MS },
  () => {
    it.each(['2025-11-25', '2026-07-28'] as const)('finds %s whole', async (revision) => {
      await using database = await createTestDatabase()
      await using server = await startUpstream('conformance/bun.ts', BUN, [database.url])
      await expectConformance(new URL(server.url).origin, await tokenFor('Suite'), revision)
      await expectTheRecord(database)
    })
  },
)
