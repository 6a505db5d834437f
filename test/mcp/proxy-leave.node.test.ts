import { once } from 'node:events'
import { type ClientRequest, request } from 'node:http'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { proxyMcp } from '../../src/mcp/proxy.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, initialize, modern, post, tokenFor } from '../support/mcp.ts'
import { type Served, serveHere } from '../support/serve.ts'

const PROGRESS = 'data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n'
const RESULT = { jsonrpc: '2.0', id: 1, result: { content: [] } }

/** A tool in the middle of its work: what it does with its answer, and whether it was told to stop. */
interface Work {
  stopped: boolean
  answer: (response: Response) => void
}

let database: TestDatabase
let upstream: Served
let served: Served
let works: Work[] = []

beforeAll(async () => {
  database = await createTestDatabase()
  upstream = await serveHere(() => async (asked) => {
    const { method } = (await asked.json()) as { method: string }
    if (method === 'initialize') return Response.json({ ...RESULT, id: 'init' })
    return await new Promise<Response>((answer) => {
      const work: Work = { stopped: false, answer }
      asked.signal.addEventListener('abort', () => (work.stopped = true))
      works.push(work)
    })
  })
  const app = appWith(database.sql, proxyMcp({ upstream: `${upstream.origin}/mcp` }))
  served = await serveHere(() => app.fetch)
})
afterEach(async () => {
  works = []
  await database.owner`delete from archon_mcp_requests`
})
afterAll(async () => {
  await served[Symbol.asyncDispose]()
  await upstream[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

/** Calls a tool over a connection of its own, so that it can be cut, and waits until the tool works. */
async function call(era: '2025-11-25' | '2026-07-28'): Promise<{ client: ClientRequest; work: Work }> {
  const token = await tokenFor('Alice')
  let init: RequestInit
  if (era === '2026-07-28') {
    const { body, headers } = modern(callTool('slow'))
    init = post(body, { token, headers })
  } else {
    const opened = await fetch(`${served.origin}/mcp`, post(initialize(), { token }))
    await opened.text()
    init = post(callTool('slow'), { token, session: opened.headers.get('mcp-session-id')! })
  }
  const headers = init.headers as Record<string, string>
  const client = request(`${served.origin}/mcp`, { method: 'POST', headers, agent: false })
  client.on('error', () => {})
  client.end(init.body as string)
  await expect.poll(() => works.length).toBe(1)
  return { client, work: works[0]! }
}

const calls = async (): Promise<unknown> => [
  ...(await database.owner`
    select status, error_message from archon_mcp_requests where tool_name = 'slow'`),
]

describe('a client that leaves before the answer begins', () => {
  it('cancels with it in 2026-07-28: the server upstream is told', async () => {
    const { client, work } = await call('2026-07-28')
    client.destroy()
    await expect.poll(() => work.stopped).toBe(true)
    await expect
      .poll(calls)
      .toEqual([{ status: 'error', error_message: '49900: cancelled: the client left before the result' }])
  })

  it('cancels nothing in 2025-11-25: the tool ends its work, and the record says how', async () => {
    const { client, work } = await call('2025-11-25')
    const closed = new Promise((resolve) => client.on('close', resolve))
    client.destroy()
    await closed
    expect(await calls()).toEqual([{ status: 'open', error_message: null }])
    work.answer(Response.json(RESULT))
    await expect.poll(calls).toEqual([{ status: 'success', error_message: null }])
    expect(work.stopped).toBe(false)
  })
})

describe('a client that leaves in the middle of a stream', () => {
  it('is seen to have left upstream, which in 2026-07-28 is how it cancels', async () => {
    const { client, work } = await call('2026-07-28')
    let cancelled = false
    const body = new ReadableStream({
      start: (controller) => controller.enqueue(new TextEncoder().encode(PROGRESS)),
      cancel: () => void (cancelled = true),
    })
    work.answer(new Response(body, { headers: { 'content-type': 'text/event-stream' } }))
    const [response] = (await once(client, 'response')) as [NodeJS.ReadableStream]
    await once(response, 'data')
    client.destroy()
    await expect.poll(() => cancelled).toBe(true)
    await expect
      .poll(calls)
      .toEqual([{ status: 'error', error_message: 'cancelled: the client left before the result' }])
  })
})
