import { request } from 'node:http'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, modern, post, tokenFor } from '../support/mcp.ts'
import { type Served, serveHere } from '../support/serve.ts'

let database: TestDatabase
let served: Served
let cancelled = false
beforeAll(async () => {
  database = await createTestDatabase()
  // A tool that has begun to answer and never ends.
  const app = appWith(database.sql, () => {
    const progress = { jsonrpc: '2.0', method: 'notifications/progress', params: { progress: 1 } }
    const body = new ReadableStream<Uint8Array>({
      start: (controller) =>
        controller.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(progress)}\n\n`)),
      cancel: () => {
        cancelled = true
      },
    })
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  })
  served = await serveHere(() => app.fetch)
})
afterAll(async () => {
  await served[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

describe('a client that vanishes in the middle of an SSE response', () => {
  it('leaves a closed call', async () => {
    const { body, headers } = modern(callTool('slow'))
    const init = post(body, { token: await tokenFor('Alice'), headers })
    const call = request(`${served.origin}/mcp`, {
      method: 'POST',
      headers: init.headers as Record<string, string>,
    }).end(init.body as string)
    const [response] = (await once(call, 'response')) as [NodeJS.ReadableStream]
    const [chunk] = (await once(response, 'data')) as [Buffer]
    expect(chunk.toString()).toContain('notifications/progress')
    const open = await database.owner`select status from archon_mcp_requests`
    expect(open).toEqual([{ status: 'open' }])

    call.destroy()

    await vi.waitFor(() => expect(cancelled).toBe(true), { timeout: 10_000 })
    await ledgerOf(database.sql).drained()
    const rows =
      await database.owner`select status, tool_name, error_message, hold_expired from archon_mcp_requests`
    expect(rows).toEqual([
      {
        status: 'error',
        tool_name: 'slow',
        error_message: 'cancelled: the client left before the result',
        hold_expired: false,
      },
    ])
  })
})
