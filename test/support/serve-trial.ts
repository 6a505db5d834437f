import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { serveMcp } from '../../src/mcp/serve-mcp.ts'
import { trialParts, type TrialAccess } from '../../src/trial/parts.ts'
import { sampleTools } from '../../src/trial/tools.ts'
import type { TestDatabase } from './database.ts'
import { serveHere, type Served } from './serve.ts'

export interface ServedTrial extends Served {
  /** The endpoint: all that a client is told. */
  url: URL
  /** Where the trial keeps what is not in the database. */
  folder: string
  access: TrialAccess
}

/** The trial as `npm start` serves it, on a test's database: the same parts put together in the same way. */
export async function serveTrial(
  database: TestDatabase,
  folder: string = mkdtempSync(join(tmpdir(), 'mcp-user-context-sign-in-')),
): Promise<ServedTrial> {
  let fetch: ((request: Request) => Response | Promise<Response>) | undefined
  const served = await serveHere(() => (request) => fetch!(request))
  const config = readConfig({ DATABASE_URL: database.url, PORT: new URL(served.origin).port }, 'node')
  const parts = await trialParts(config, folder)
  const access = await parts.access!(config)
  const app = createApp(config, {
    sql: database.sql,
    handler: serveMcp(sampleTools),
    cookieKey: parts.cookieKey!,
    ...access,
  })
  fetch = app.fetch
  return {
    origin: served.origin,
    url: new URL(config.publicUrl),
    folder,
    access,
    async [Symbol.asyncDispose]() {
      await served[Symbol.asyncDispose]()
      await parts.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
