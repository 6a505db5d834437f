import { describe, it } from 'vitest'
import { proxyMcp } from '../../src/mcp/proxy.ts'
import { type McpHandler, serveMcp } from '../../src/mcp/serve-mcp.ts'
import { createTestDatabase } from '../support/database.ts'
import { appWith, tokenFor } from '../support/mcp.ts'
import { serveHere } from '../support/serve.ts'
import { startUpstream } from '../support/upstream-process.ts'
import { PUSH, type Revision } from './scenarios.ts'
import { statelessHandler } from './server.ts'
import { sessionHandler } from './session-handler.ts'
import { expectConformance, expectTheRecord, TEST_TIMEOUT_MS } from './suite.ts'

const runs: {
  handler: string
  make: () => McpHandler
  revision: Revision
  but: string
  failing: string[]
}[] = [
  {
    handler: 'a stateless handler',
    make: statelessHandler,
    revision: '2025-11-25',
    but: 'but the push that takes a held stream',
    failing: PUSH,
  },
  {
    handler: 'a stateless handler',
    make: statelessHandler,
    revision: '2026-07-28',
    but: 'all of it',
    failing: [],
  },
  {
    handler: 'a handler with sessions',
    make: sessionHandler,
    revision: '2025-11-25',
    but: 'all of it',
    failing: [],
  },
  {
    handler: 'a handler with sessions',
    make: sessionHandler,
    revision: '2026-07-28',
    but: 'all of it',
    failing: [],
  },
]

describe(
  'the official conformance suite on Node, through the guarded endpoint',
  { timeout: TEST_TIMEOUT_MS },
  () => {
    it.each(runs)('finds $revision whole in front of $handler, $but', async ({ make, revision, failing }) => {
      await using database = await createTestDatabase()
      const app = appWith(database.sql, serveMcp(make()))
      await using served = await serveHere(() => app.fetch)
      await expectConformance(served.origin, await tokenFor('Suite'), revision, failing)
      await expectTheRecord(database)
    })

    const revisions = ['2025-11-25', '2026-07-28'] as const
    it.each(revisions)('finds %s whole in front of a server in another process', async (revision) => {
      await using database = await createTestDatabase()
      await using upstream = await startUpstream('conformance/upstream.ts')
      const app = appWith(database.sql, proxyMcp({ upstream: upstream.url }))
      await using served = await serveHere(() => app.fetch)
      await expectConformance(served.origin, await tokenFor('Suite'), revision)
      await expectTheRecord(database)
    })
  },
)
