import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SCHEMA_VERSION } from '../../src/db/schema-version.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { configured, type Entry, failToStart, startEntry } from '../support/entry.ts'
import { callTool, initialize, mcpHeaders, modern, post } from '../support/mcp.ts'
import { signedInAs } from '../support/visitor.ts'
import { behavesAsEverywhere } from './suite.ts'

describe('the Node entry', () => {
  let database: TestDatabase
  let entry: Entry
  beforeAll(async () => {
    database = await createTestDatabase()
    entry = await startEntry(process.execPath, 'src/node.ts', configured(database.url))
  })
  afterAll(async () => {
    entry.child.kill('SIGKILL')
    await database[Symbol.asyncDispose]()
  })

  behavesAsEverywhere(() => entry)

  it('lets a call in flight finish when it is told to stop, and records it', async () => {
    const other = await startEntry(process.execPath, 'src/node.ts', configured(database.url))
    const token = await other.token('Last')
    const session = (await other.fetch('/mcp', post(initialize(), { token }))).headers.get('mcp-session-id')!
    const slow = callTool('slow', { steps: 5, delay_ms: 50 })
    const call = { ...slow, params: { ...slow.params, _meta: { progressToken: 'p' } } }
    const response = await other.fetch('/mcp', {
      ...post(call, {}),
      headers: { ...mcpHeaders({ token, session }), connection: 'close' },
    })
    const [text, code] = await Promise.all([response.text(), other.interrupt()])
    expect(text).toContain('done after 5 steps')
    expect(code).toBe(0)
    const rows = await database.sql`
      select status from archon_mcp_requests where session_id = ${session} and tool_name = 'slow'`
    expect([...rows]).toEqual([{ status: 'success' }])
  })

  it('lets go of pages that listen when it is told to stop', async () => {
    const other = await startEntry(process.execPath, 'src/node.ts', configured(database.url))
    const app = {
      request: (address: string, init: RequestInit) => other.fetch(new URL(address).pathname, init),
    }
    const visitor = await signedInAs(app, await other.token('Lydia'))
    const response = await other.fetch('/dashboard/live', { headers: { cookie: visitor.cookies() } })
    // A stream that is cut off fails to be read.
    const [text, code] = await Promise.all([response.text(), other.interrupt()])
    expect([text, code]).toEqual(['retry: 3000\n\n', 0])
  })

  it('holds each user to RATE_LIMIT', async () => {
    const limited = await startEntry(process.execPath, 'src/node.ts', {
      ...configured(database.url),
      RATE_LIMIT: '1/3600s',
    })
    const { body, headers } = modern(callTool('whoami'))
    const ask = async (name: string) =>
      (await limited.fetch('/mcp', post(body, { token: await limited.token(name), headers }))).status
    expect([await ask('Rita'), await ask('Rita'), await ask('Rob')]).toEqual([200, 429, 200])
    expect(await limited.interrupt()).toBe(0)
  })

  it('says what to do when its port is taken, or its database away', async () => {
    const { port } = new URL(entry.origin)
    const taken = await failToStart({ ...configured(database.url), PORT: port })
    expect(taken.said).toContain('set PORT to another one')
    const away = await failToStart(configured('postgres://nobody:x@127.0.0.1:1/none'))
    expect(away.said).toContain('is DATABASE_URL right, and the server up?')
    expect([taken.code, away.code]).toEqual([1, 1])
  })

  it('does not start on a database that is not migrated, and says what to run', async () => {
    await using empty = await createTestDatabase({}, 'empty')
    const { code, said } = await failToStart(configured(empty.ownerUrl))
    expect(said).toContain(`Database is at migration 0 of ${SCHEMA_VERSION}: run npm run migrate -- up`)
    expect(code).toBe(1)
  })

  it('does not start on a database of a newer build, and says so', async () => {
    await using newer = await createTestDatabase()
    await newer.owner`insert into archon_mcp_migrations (version, name, checksum) values (9999, '9999_later.sql', '')`
    const { code, said } = await failToStart(configured(newer.url))
    expect(said).toContain(`Database is at migration 9999, this build knows ${SCHEMA_VERSION}`)
    expect(code).toBe(1)
  })

  it('does not start with a wrong environment, and names every fault at once', async () => {
    const { code, said } = await failToStart({
      NODE_ENV: 'production',
      SUPABASE_JWT_SECRET: 'a secret too short',
      RATE_LIMIT: 'fast',
      PORT: 'http',
    })
    for (const name of [
      'DATABASE_URL',
      'SUPABASE_JWT_SECRET',
      'JWT_ISSUER',
      'PUBLIC_URL',
      'RATE_LIMIT',
      'PORT',
    ]) {
      expect(said).toMatch(new RegExp(`^ +${name} `, 'm'))
    }
    expect(said).not.toContain('a secret too short')
    expect(code).toBe(1)
  })
})
