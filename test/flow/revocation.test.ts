import { Hono } from 'hono'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { CLI_ACTOR } from '../../src/audit.ts'
import { createAccessToken, revokeAccessToken } from '../../src/auth/access-tokens.ts'
import { changeUser, revokeUser } from '../../src/auth/users.ts'
import { mcpApi } from '../../src/api/mcp-api.ts'
import type { Sql } from '../../src/db/client.ts'
import { CUT_CHECK_MS } from '../../src/ledger/open-streams.ts'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { createSessionManager } from '../../src/sessions/session-manager.ts'
import { connectHere, createTestDatabase, type TestDatabase } from '../support/database.ts'
import {
  appWith,
  callTool,
  initialize,
  mcpApp,
  mcpHeaders,
  modern,
  optionsFor,
  post,
  tokenFor,
} from '../support/mcp.ts'

let database: TestDatabase
/** The clients of two instances. */
let here: Sql
let there: Sql
beforeAll(async () => {
  database = await createTestDatabase()
  here = database.sql
  there = await connectHere(database.url, { max: 4 })
})
afterAll(async () => {
  await there.end({ timeout: 1 })
  await database[Symbol.asyncDispose]()
})

async function statusOf(app: ReturnType<typeof mcpApp>, token: string): Promise<number> {
  const { body, headers } = modern(callTool('echo', { text: 'hi' }))
  const res = await app.request('/mcp', post(body, { token, headers }))
  await res.text()
  return res.status
}

async function idOf(name: string): Promise<string> {
  const [row] = await here<{ user_id: string }[]>`
    select user_id from archon_mcp_users where subject = ${name.toLowerCase()}`
  return row!.user_id
}

describe('a user who is cut off on one instance, under load', () => {
  const ends: [string, (id: string) => Promise<unknown>, number][] = [
    ['revoked', (id) => revokeUser(here, id, CLI_ACTOR), 401],
    ['blocked', (id) => changeUser(here, id, { blocked: true }, CLI_ACTOR), 403],
  ]
  it.each(ends)('by being %s is refused at the next call on the other', async (how, end, refused) => {
    const name = `Loaded-${how}`
    const apps = [mcpApp(here), mcpApp(there)]
    const token = await tokenFor(name)
    const other = await tokenFor('Bystander')
    expect(await statusOf(apps[0]!, token)).toBe(200)
    const userId = await idOf(name)
    // Both users call on both instances all the time.
    const load = { stopped: false }
    const bystanders = new Set<number>()
    const lanes = apps.flatMap((app) =>
      Array.from({ length: 6 }, async (_, lane) => {
        while (!load.stopped) {
          const status = await statusOf(app, lane % 2 === 0 ? other : token)
          if (lane % 2 === 0) bystanders.add(status)
        }
      }),
    )
    await Promise.all(apps.map((app) => statusOf(app, token)))
    await end(userId)
    const after = await Promise.all(Array.from({ length: 40 }, (_, call) => statusOf(apps[call % 2]!, token)))
    load.stopped = true
    await Promise.all(lanes)
    expect(new Set(after)).toEqual(new Set([refused]))
    expect(bystanders).toEqual(new Set([200]))
    // By REST too.
    for (const sql of [here, there]) {
      const api = new Hono().route('/api/mcp', mcpApi(optionsFor(sql)))
      const res = await api.request('/api/mcp/me', { headers: { authorization: `Bearer ${token}` } })
      expect(res.status).toBe(refused)
    }
  })

  it('is let in again by a token of after, and never by one that says no time', async () => {
    // tokenFor() says when it signs; what a token says is ours to choose by `verify`.
    const claims = { iss: 'x', sub: 'back-2', exp: Date.now() }
    const verify = (iat: number | undefined) =>
      mcpApp(there, { tokens: { verify: () => Promise.resolve({ ...claims, iat }) } })
    expect(await statusOf(verify(undefined), 'any')).toBe(200)
    const cut = (await revokeUser(here, await idOf('back-2'), CLI_ACTOR))!.getTime() / 1000
    const cases: [number | undefined, number][] = [
      [undefined, 401],
      [Math.floor(cut) - 3600, 401],
      [Math.floor(cut), 401],
      [Math.floor(cut) + 1, 200],
    ]
    for (const [iat, status] of cases) expect(await statusOf(verify(iat), 'any'), String(iat)).toBe(status)
  })
})

/** A handler whose answer goes on until somebody ends it. */
function endless(type = 'text/event-stream') {
  const stream = { cancelled: undefined as unknown, write: (_text: string): void => {} }
  const handler = () =>
    new Response(
      new ReadableStream<Uint8Array>({
        start(controller) {
          stream.write = (text) => controller.enqueue(new TextEncoder().encode(text))
          stream.write(': open\n\n')
        },
        cancel(reason) {
          stream.cancelled = reason
        },
      }),
      { headers: { 'content-type': type } },
    )
  return { handler, stream }
}

async function open(
  name: string,
  { type = 'text/event-stream', token }: { type?: string; token?: string } = {},
) {
  const { handler, stream } = endless(type)
  const app = appWith(there, handler)
  const { body, headers } = modern(callTool('slow', {}, 'call-7'))
  const res = await app.request('/mcp', post(body, { token: token ?? (await tokenFor(name)), headers }))
  expect(res.status).toBe(200)
  const reader = res.body!.getReader()
  expect(new TextDecoder().decode((await reader.read()).value)).toBe(': open\n\n')
  return { reader, stream }
}

/** What comes until the stream ends. */
async function rest(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  let text = ''
  for (let part = await reader.read(); !part.done; part = await reader.read())
    text += new TextDecoder().decode(part.value)
  return text
}
const look = () => vi.advanceTimersByTimeAsync(CUT_CHECK_MS)
/** Looks until the stream has ended: a look is left out while the one before waits for its answer. */
async function lookUntil(ended: Promise<unknown>): Promise<void> {
  const over = ended.then(
    () => true,
    () => true,
  )
  do await look()
  while (!(await Promise.race([over, here`select 1`.then(() => false)])))
}
const callRow = async (name: string) => {
  await ledgerOf(there).drained()
  const [row] = await here`
    select call.status, call.error_message
    from archon_mcp_requests as call
    where call.user_id = ${await idOf(name)}
    order by call.timestamp desc
    limit 1`
  return row
}

describe('a stream that is open', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  const ends: [string, (name: string, tokenId: string) => Promise<unknown>][] = [
    ['its user is revoked', async (name) => revokeUser(here, await idOf(name), CLI_ACTOR)],
    ['its user is blocked', async (name) => changeUser(here, await idOf(name), { blocked: true }, CLI_ACTOR)],
    [
      'its session is ended by an administrator',
      async (name) => {
        const [session] = await here<{ session_id: string }[]>`
          select session_id from archon_mcp_sessions where user_id = ${await idOf(name)}`
        await createSessionManager(here).endSession(session!.session_id, 'admin')
      },
    ],
    ['its access token is revoked', (_, tokenId) => revokeAccessToken(here, tokenId, null, CLI_ACTOR)],
  ]
  it.each(ends)('is cut within seconds when %s on another instance', async (how, end) => {
    const name = `Streams-${how.replaceAll(/\W/g, '')}`
    expect(await statusOf(mcpApp(there), await tokenFor(name))).toBe(200)
    const request = { owner: { userId: await idOf(name) }, name: 'x', scopes: [], lifeDays: 1 }
    const made = await createAccessToken(here, request, { by: CLI_ACTOR })
    const { id, token } = 'fault' in made ? { id: '', token: '' } : made
    const { reader, stream } = await open(name, { token })
    await look()
    stream.write('data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n')
    expect(new TextDecoder().decode((await reader.read()).value)).toContain('progress')
    await end(name, id)
    const ended = rest(reader)
    await lookUntil(ended)
    const text = await ended
    const [, data = ''] = /^event: message\ndata: (.*)\n\n$/.exec(text) ?? []
    expect(JSON.parse(data)).toMatchObject({
      jsonrpc: '2.0',
      id: 'call-7',
      error: { code: 40101, message: 'Access was withdrawn while the answer was on its way.' },
    })
    expect(stream.cancelled).toBe('cut off')
    expect(await callRow(name)).toEqual({ status: 'error', error_message: 'cut off: access was withdrawn' })
  })

  it('is not cut for anybody else, nor when time ends the session', async () => {
    const { reader, stream } = await open('Stays')
    await revokeUser(here, await idOf('Bystander'), CLI_ACTOR)
    const [session] = await here<{ session_id: string }[]>`
      select session_id from archon_mcp_sessions where user_id = ${await idOf('Stays')}`
    await createSessionManager(here).endSession(session!.session_id, 'timeout')
    await look()
    await here`select 1`
    stream.write('data: on\n\n')
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('data: on\n\n')
    await reader.cancel()
  })

  it('says nothing in the middle of an event, and ends', async () => {
    const { reader, stream } = await open('Middle')
    stream.write('data: {"half":')
    await reader.read()
    await revokeUser(here, await idOf('Middle'), CLI_ACTOR)
    const ended = rest(reader)
    await lookUntil(ended)
    expect(await ended).toBe('')
  })

  it('of any other kind breaks off, so that it does not look whole', async () => {
    const { reader } = await open('File', { type: 'text/csv' })
    await revokeUser(here, await idOf('File'), CLI_ACTOR)
    const ended = rest(reader)
    await lookUntil(ended)
    await expect(ended).rejects.toThrow('cut off: access was withdrawn')
  })

  it('of a GET, which is no call, is cut too', async () => {
    const { handler, stream } = endless()
    const token = await tokenFor('Getter')
    const opened = await mcpApp(there).request('/mcp', post(initialize(), { token }))
    await opened.text()
    const session = opened.headers.get('mcp-session-id')!
    const res = await appWith(there, handler).request('/mcp', { headers: mcpHeaders({ token, session }) })
    expect(res.status).toBe(200)
    const reader = res.body!.getReader()
    await reader.read()
    await revokeUser(here, await idOf('Getter'), CLI_ACTOR)
    const ended = rest(reader)
    await lookUntil(ended)
    expect(await ended).toBe('')
    expect(stream.cancelled).toBe('cut off')
  })
})
