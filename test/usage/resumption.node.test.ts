import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { giveUpAll } from '../../src/usage/resumption.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, initialize, mcpHeaders, modern, post, tokenFor } from '../support/mcp.ts'

const FIRST = 'id: 1\ndata: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n'
const REST =
  'id: 2\ndata: {"jsonrpc":"2.0","id":1,"result":{"content":[],"_meta":{"usage":{"model":"m","input_tokens":7,"output_tokens":3}}}}\n\n'
/** The token is that of what it was called with. */
const CANCELLED = { status: 'error', error: 'cancelled: the client left before the result', tokens: 1 }

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterEach(async () => {
  vi.useRealTimers()
  await database.owner`delete from archon_mcp_requests`
})
afterAll(() => database[Symbol.asyncDispose]())

const events = (texts: string[], ends: boolean): Response => {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const text of texts) controller.enqueue(new TextEncoder().encode(text))
      if (ends) controller.close()
    },
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
}

/** A session in which a tool has begun to answer with this, and its client has left. */
async function leaveAfter(first: string, { ends = false, era = '2025-11-25' } = {}) {
  const token = await tokenFor('Alice')
  const app = appWith(database.sql, (c) => {
    if (c.req.method === 'GET') return events([REST], true)
    if (c.req.method === 'DELETE') return c.body(null, 200)
    const { method } = c.var.parsedBody as { method: string }
    if (method === 'initialize') return c.json({ jsonrpc: '2.0', id: 'init', result: {} })
    return method === 'tools/call' ? events([first], ends) : c.body(null, 202)
  })
  const opened = await app.request('/mcp', post(initialize(), { token }))
  const session = opened.headers.get('mcp-session-id')!
  const { body, headers } = modern(callTool('slow'))
  const init =
    era === '2025-11-25' ? post(callTool('slow'), { token, session }) : post(body, { token, headers })
  const reader = (await app.request('/mcp', init)).body!.getReader()
  await reader.read()
  if (ends) await reader.read()
  else await reader.cancel()
  const send = async (method: string, headers: Record<string, string> = {}, body?: unknown) => {
    const all = mcpHeaders({ token, session, headers })
    const text = body === undefined ? {} : { body: JSON.stringify(body) }
    await (await app.request('/mcp', { method, headers: all, ...text })).text()
  }
  return { send }
}

/** Without waiting for those that wait. */
const statusNow = async () =>
  (await database.owner`select status from archon_mcp_requests where tool_name = 'slow'`)[0]

async function record() {
  await ledgerOf(database.sql).drained()
  const [row] = await database.owner`
    select status, error_message as error, coalesce(total_tokens, 0) as tokens
    from archon_mcp_requests where tool_name = 'slow'`
  return row
}

describe('a call whose client left a stream of 2025-11-25', () => {
  it('is as it ended, when the client takes the stream up again', async () => {
    const { send } = await leaveAfter(FIRST)
    expect(await record()).toMatchObject({ status: 'open' })
    await send('GET', { 'last-event-id': '1' })
    expect(await record()).toEqual({ status: 'success', error: null, tokens: 10 })
  })

  it('is as it ended too, when the server ended the stream to be asked again', async () => {
    const { send } = await leaveAfter(FIRST, { ends: true })
    await send('GET', { 'last-event-id': '1' })
    expect(await record()).toEqual({ status: 'success', error: null, tokens: 10 })
  })

  it('is cancelled when the client says so', async () => {
    const { send } = await leaveAfter(FIRST)
    await send(
      'POST',
      {},
      { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'other' } },
    )
    expect(await record()).toMatchObject({ status: 'open' })
    await send('POST', {}, { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } })
    expect(await record()).toEqual(CANCELLED)
  })

  it('is over when its session is', async () => {
    const { send } = await leaveAfter(FIRST)
    await send('DELETE')
    expect(await record()).toEqual(CANCELLED)
  })

  it('is over when the process is told to end', async () => {
    await leaveAfter(FIRST)
    expect(await record()).toMatchObject({ status: 'open' })
    giveUpAll()
    await expect.poll(record).toEqual(CANCELLED)
  })

  it('is over when nobody comes back for a quarter of a minute', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    await leaveAfter(FIRST)
    await vi.advanceTimersByTimeAsync(14_000)
    expect(await statusNow()).toEqual({ status: 'open' })
    await vi.advanceTimersByTimeAsync(1000)
    vi.useRealTimers()
    expect(await record()).toEqual(CANCELLED)
  })
})

describe('a call that nobody can take up again', () => {
  it('is over at once, without ids of events', async () => {
    await leaveAfter(FIRST.replace('id: 1\n', ''))
    expect(await record()).toEqual(CANCELLED)
  })

  it('is over at once in 2026-07-28, where that is how a client cancels', async () => {
    await leaveAfter(FIRST, { era: '2026-07-28' })
    expect(await record()).toEqual(CANCELLED)
  })
})
