import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { proxyMcp } from '../../src/mcp/proxy.ts'
import { createTestDatabase } from '../support/database.ts'
import { appWith, initialize, post, tokenFor } from '../support/mcp.ts'
import { serveHere } from '../support/serve.ts'
import { resultOf } from './answers.ts'
import type { HandlerContext } from './by-hand.ts'

function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
}

const gateways: { name: string; handlerFor: (url: string) => (c: HandlerContext) => Promise<Response> }[] = [
  {
    name: 'proxyMcp()',
    handlerFor: (upstream) => proxyMcp({ upstream }) as (c: HandlerContext) => Promise<Response>,
  },
  {
    name: 'a gateway by hand',
    handlerFor: (url) => async (c) => {
      const { body, status, headers } = await fetch(url, {
        method: 'POST',
        headers: { accept: c.req.header('accept')!, 'content-type': 'application/json' },
        body: await c.req.raw.text(),
      })
      return new Response(body, { status, headers: { 'content-type': headers.get('content-type')! } })
    },
  },
]

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const ANSWER = { jsonrpc: '2.0', id: 'init', result: { serverInfo: { name: 'tools' } } }
const upstreams = {
  events: () =>
    new Response(`data: ${JSON.stringify(ANSWER)}\n\n`, { headers: { 'content-type': 'text/event-stream' } }),
  JSON: () => Response.json(ANSWER),
}
const cases = gateways.flatMap((gateway) =>
  (['events', 'JSON'] as const).map((format) => ({ ...gateway, format })),
)

// Node cancels the body of a fetched response that is collected before anybody reads it, even if another response has
// it too. Bun does not.
describe.skipIf('bun' in process.versions)('the answer to initialize', () => {
  it.each(cases)('survives garbage collection, from $name, in $format', async ({ handlerFor, format }) => {
    await using database = await createTestDatabase()
    await using upstream = await serveHere(() => upstreams[format])
    const app = appWith(database.sql, handlerFor(`${upstream.origin}/mcp`))
    await using served = await serveHere(() => app.fetch)
    const init = post(initialize(), { token: await tokenFor('Alice') })

    const waiting = async (): Promise<unknown> => {
      const [row] = await database.owner`
        select count(*)::integer as locks from pg_locks
        where not granted and relation = 'archon_mcp_sessions'::regclass`
      return row?.['locks']
    }
    // The row of the session waits until everything that nobody holds is gone.
    const opened = await database.owner.begin(async (sql) => {
      await sql`lock table archon_mcp_sessions in share mode`
      const answer = fetch(`${served.origin}/mcp`, init)
      await expect.poll(waiting).toBe(1)
      collectGarbage()
      await tick()
      return { answer }
    })
    const answer = await opened.answer
    expect(answer.status).toBe(200)
    expect(answer.headers.get('mcp-session-id')).not.toBeNull()
    expect(await resultOf(answer)).toEqual(ANSWER.result)
  })
})
