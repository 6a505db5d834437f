import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { DatabaseUnavailableError } from '../../src/db/outage.ts'
import type { Sql } from '../../src/db/client.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, requestBy, success, unreachable } from '../support/ledger.ts'
import { appWith, callTool, initialize, mcpHeaders, modern, post, tokenFor } from '../support/mcp.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())
afterEach(() => {
  vi.useRealTimers()
})

const fail = () =>
  Promise.reject(Object.assign(new Error('write CONNECTION_CLOSED'), { code: 'CONNECTION_CLOSED' }))

/** A client that is out of reach while `out` says so, before its statements arrive or after they have run. */
function fragile(sql: Sql, out: () => 'before' | 'after' | 'no'): Sql {
  return new Proxy(sql, {
    apply(target, self, args: unknown[]) {
      const state = out()
      if (state === 'before') return fail()
      const answer = Reflect.apply(target as (...args: unknown[]) => Promise<unknown>, self, args)
      return state === 'after' ? answer.then(fail) : answer
    },
  })
}

/** Moves the clock until there is an answer. Tokens are verified at the pace of this machine, whatever the clock says. */
async function timeFliesUntil<T>(answer: Promise<T>): Promise<T> {
  for (;;) {
    const tick = vi.advanceTimersByTimeAsync(500).then(() => false)
    if (await Promise.race([answer.then(() => true), tick])) return await answer
  }
}

const statusOf = async (id: string) =>
  (
    await database.owner<{ status: string; error_message: string | null }[]>`
    select status, error_message from archon_mcp_requests where request_id = ${id}`
  )[0]

describe('while the database is out of reach', () => {
  it('a request waits as long as it may, then fails', async () => {
    vi.useFakeTimers()
    const ledger = createLedger(unreachable(), { maxWaitMs: 3000 })
    const answer = ledger.admit(requestBy(await callerNamed('patient'))).catch((error: unknown) => error)
    let settled = false
    void answer.then(() => (settled = true))
    await vi.advanceTimersByTimeAsync(2000)
    expect(settled).toBe(false)
    await vi.advanceTimersByTimeAsync(2000)
    expect(await answer).toBeInstanceOf(DatabaseUnavailableError)
  })

  it('a request does not wait longer because ends of calls wait too', async () => {
    vi.useFakeTimers()
    const ledger = createLedger(unreachable(), { maxWaitMs: 3000, maxGroupSize: 1 })
    for (let index = 0; index < 20; index += 1) void ledger.close(success(crypto.randomUUID()))
    await vi.advanceTimersByTimeAsync(1000)
    const answer = ledger.admit(requestBy(await callerNamed('patient'))).catch((error: unknown) => error)
    let settled = false
    void answer.then(() => (settled = true))
    await vi.advanceTimersByTimeAsync(4000)
    expect(settled).toBe(true)
    expect(await answer).toBeInstanceOf(DatabaseUnavailableError)
  })

  it('a request is admitted when it comes back in time, once', async () => {
    for (const state of ['before', 'after'] as const) {
      let failures = 3
      const ledger = createLedger(fragile(database.sql, () => (failures-- > 0 ? state : 'no')))
      const request = requestBy(await callerNamed('waiting'))
      expect(await ledger.admit(request)).toMatchObject({ admitted: true })
      expect(failures).toBe(-1)
      expect(await statusOf(request.calls[0]!.id)).toMatchObject({ status: 'open' })
    }
  })

  it('an end of a call waits, and is recorded when it is back', async () => {
    let out = true
    const ledger = createLedger(
      fragile(database.sql, () => (out ? 'before' : 'no')),
      { maxWaitMs: 50 },
    )
    const request = requestBy(await callerNamed('waiting'))
    await createLedger(database.sql).admit(request)
    const closed = ledger.close(success(request.calls[0]!.id))
    await expect(ledger.admit(requestBy(null))).rejects.toBeInstanceOf(DatabaseUnavailableError)
    out = false
    await closed
    expect(await statusOf(request.calls[0]!.id)).toMatchObject({ status: 'success' })
  })

  it('a request whose row was written all the same is closed later: it did not run', async () => {
    let out = true
    const ledger = createLedger(
      fragile(database.sql, () => (out ? 'after' : 'no')),
      { maxWaitMs: 50 },
    )
    const request = requestBy(await callerNamed('unlucky'))
    await expect(ledger.admit(request)).rejects.toBeInstanceOf(DatabaseUnavailableError)
    out = false
    await ledger.drained()
    expect(await statusOf(request.calls[0]!.id)).toEqual({
      status: 'error',
      error_message: 'not run: the database was out of reach',
    })
  })

  const messages = [
    { name: 'initialize', body: initialize(), session: undefined, id: 'init' },
    { name: 'a call of 2025', body: callTool('echo', {}, 7), session: crypto.randomUUID(), id: 7 },
    { name: 'a call of 2026', body: modern(callTool('echo', {}, 8)).body, session: undefined, id: 8 },
  ]
  for (const { name, body, session, id } of messages) {
    it(`${name} is answered 503 with Retry-After, and the handler does not run`, async () => {
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
      let ran = false
      const app = appWith(unreachable(), (c) => {
        ran = true
        return c.json({})
      })
      const token = await tokenFor('Alice')
      const answer = Promise.resolve(app.request('/mcp', post(body, { token, session })))
      const response = await timeFliesUntil(answer)
      expect(response.status).toBe(503)
      expect(response.headers.get('retry-after')).toBe('2')
      expect(await response.json()).toMatchObject({ id, error: { data: { code: 'database_unavailable' } } })
      expect(ran).toBe(false)
    })
  }
})

describe('when the database is lost between admission and session', () => {
  const session = crypto.randomUUID()
  /** A client on which the ledger works, and nothing else. */
  const ledgerOnly = (): Sql => {
    const refused = unreachable()
    const admitted = {
      verdict: 'admitted',
      user_id: null,
      session_id: session,
      rate_limit: null,
      budget_scope: null,
    }
    return Object.assign(
      (strings: TemplateStringsArray) =>
        strings.join('').includes('archon_mcp_ledger') ? Promise.resolve([admitted]) : refused(strings),
      { options: {} },
    ) as unknown as Sql
  }
  const cases: { name: string; init: (token: string) => RequestInit }[] = [
    { name: 'initialize', init: (token) => post(initialize(), { token }) },
    { name: 'DELETE', init: (token) => ({ method: 'DELETE', headers: mcpHeaders({ token, session }) }) },
  ]
  for (const { name, init } of cases) {
    it(`${name} is answered 503 with Retry-After, and names no session`, async () => {
      const app = appWith(ledgerOnly(), (c) => c.json({ jsonrpc: '2.0', id: 'init', result: {} }))
      const request = init(await tokenFor('Alice'))
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
      const answer = Promise.resolve(app.request('/mcp', request))
      const response = await timeFliesUntil(answer)
      expect(response.status).toBe(503)
      expect(response.headers.get('retry-after')).toBe('2')
      expect(response.headers.get('mcp-session-id')).toBeNull()
      expect(await response.json()).toMatchObject({ error: { data: { code: 'database_unavailable' } } })
    })
  }
})

it('closes a call whose caller was told 503, although its row comes later', async () => {
  await using database = await createTestDatabase()
  let release!: () => void
  const gate = new Promise<void>((resolve) => (release = resolve))
  /** The first statement is on its way for as long as the gate is shut. */
  let first = true
  const slow = new Proxy(database.sql, {
    apply(target, self, args: unknown[]) {
      const send = () => Reflect.apply(target as (...args: unknown[]) => Promise<unknown>, self, args)
      if (!first) return send()
      first = false
      return gate.then(send)
    },
  })
  const ledger = createLedger(slow, { maxWaitMs: 20 })
  const request = requestBy(await callerNamed('late'))
  await expect(ledger.admit(request)).rejects.toThrow(DatabaseUnavailableError)
  release()
  await ledger.drained()
  const rows = await database.owner`select request_id, status, error_message from archon_mcp_requests`
  expect([...rows]).toEqual([
    {
      request_id: request.calls[0]!.id,
      status: 'error',
      error_message: 'not run: the database was out of reach',
    },
  ])
})
