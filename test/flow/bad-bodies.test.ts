import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ledgerOf } from '../../src/ledger/ledger.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { appWith, callTool, initialize, modern, post, tokenFor } from '../support/mcp.ts'

let database: TestDatabase
let ran = false
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

const batch = (length: number) => Array.from({ length }, (_, id) => callTool('echo', {}, id))

const cases: {
  name: string
  body: unknown
  headers?: Record<string, string>
  status: number
  code: number
  id?: unknown
}[] = [
  { name: 'no JSON', body: 'hello', status: 400, code: -32700 },
  { name: 'half of JSON', body: '{"jsonrpc":"2.0",', status: 400, code: -32700 },
  { name: 'nothing', body: '', status: 400, code: -32700 },
  { name: '5 MiB', body: callTool('echo', { text: 'x'.repeat(5 * 1024 * 1024) }), status: 413, code: 41_300 },
  {
    name: 'another media type',
    body: '<xml/>',
    headers: { 'content-type': 'text/xml' },
    status: 415,
    code: 41_500,
  },
  { name: 'a batch of 101', body: batch(101), status: 400, code: -32600 },
  { name: 'an empty batch', body: [], status: 400, code: -32600 },
  {
    name: 'a batch with an id twice',
    body: [callTool('a', {}, 1), callTool('b', {}, 1)],
    status: 400,
    code: -32600,
  },
  { name: 'a batch with initialize', body: [initialize()], status: 400, code: -32600 },
  { name: 'a batch of 2026', body: [modern(callTool('echo')).body], status: 400, code: -32600 },
  { name: 'a batch of junk', body: [1, 2], status: 400, code: -32600 },
  { name: 'text', body: '"hello"', status: 400, code: -32600 },
  { name: 'null', body: 'null', status: 400, code: -32600 },
  { name: 'no jsonrpc', body: { id: 1, method: 'ping' }, status: 400, code: -32600, id: 1 },
  { name: 'no method', body: { jsonrpc: '2.0', id: 'a' }, status: 400, code: -32600, id: 'a' },
  {
    name: 'a method of the wrong type',
    body: { jsonrpc: '2.0', id: 2, method: {} },
    status: 400,
    code: -32600,
    id: 2,
  },
  {
    name: 'params of the wrong type',
    body: { ...callTool('x'), params: ['x'] },
    status: 400,
    code: -32600,
    id: 1,
  },
  { name: 'an id of the wrong type', body: { ...callTool('x'), id: null }, status: 400, code: -32600 },
]

describe('a bad body', () => {
  for (const { name, body, headers = {}, status, code, id = null } of cases) {
    it(`${name}: ${status}, and nothing is run or recorded`, async () => {
      const app = appWith(database.sql, (c) => {
        ran = true
        return c.json({})
      })
      const token = await tokenFor('Alice')
      const response = await app.request('/mcp', post(body, { token, headers }))
      expect(response.status).toBe(status)
      expect(response.headers.get('content-type')).toBe('application/json')
      expect(await response.json()).toMatchObject({ jsonrpc: '2.0', id, error: { code } })
      expect(ran).toBe(false)
      await ledgerOf(database.sql).drained()
      const [left] = await database.owner`
        select (select count(*)::integer from archon_mcp_requests) as calls,
               (select count(*)::integer from archon_mcp_sessions) as sessions`
      expect(left).toEqual({ calls: 0, sessions: 0 })
    })
  }

  it('is not even read before the token: 401', async () => {
    const app = appWith(database.sql, (c) => c.json({}))
    expect((await app.request('/mcp', post('hello', {}))).status).toBe(401)
    expect((await app.request('/mcp', post('hello', { token: 'bad' }))).status).toBe(401)
  })

  it('is one that is larger than the app says', async () => {
    const app = appWith(database.sql, (c) => c.json({ jsonrpc: '2.0', id: 1, result: {} }), {
      maxBodyBytes: 500,
    })
    const token = await tokenFor('Alice')
    const { body, headers } = modern(callTool('echo', { text: 'x'.repeat(500) }))
    expect((await app.request('/mcp', post(body, { token, headers }))).status).toBe(413)
    const small = modern(callTool('echo'))
    expect((await app.request('/mcp', post(small.body, { token, headers }))).status).toBe(200)
    await ledgerOf(database.sql).drained()
  })
})

it.each(['PUT', 'PATCH', 'REPORT'])('a call that comes by %s reaches no handler', async (method) => {
  let reached = false
  const app = appWith(database.sql, (c) => {
    reached = true
    return c.text('here')
  })
  const request = { ...post(callTool('echo', { text: 'x' }), { token: await tokenFor('Sly') }), method }
  const response = await app.request('/mcp', request)
  expect(response.status).toBe(405)
  expect(response.headers.get('allow')).toBe('POST, GET, DELETE')
  expect(reached).toBe(false)
})
