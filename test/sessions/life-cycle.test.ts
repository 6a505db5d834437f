import { describe, expect, it } from 'vitest'
import { clientInfoOf, type McpMessage, parseMessage } from '../../src/mcp/message.ts'
import { clientRow, planSession } from '../../src/sessions/life-cycle.ts'
import { sessionIdOfWire } from '../../src/sessions/wire-id.ts'
import { callTool, initialize, modern } from '../support/mcp.ts'

const parsed = (body: unknown) => parseMessage(body) as McpMessage
const notification = { jsonrpc: '2.0', method: 'notifications/initialized' }

const keyOf = (client: { name: string; version: string }, tool = 'x') => {
  const plan = planSession(parsed(modern(callTool(tool), client).body), null)
  return plan.kind === 'derived' && 'key' in plan.demand ? plan.demand.key : null
}

describe('the session that a request belongs to', () => {
  const cases: { name: string; body: unknown; wireId: string | null; plan: unknown }[] = [
    { name: 'initialize opens one', body: initialize(), wireId: null, plan: { kind: 'open' } },
    { name: 'initialize with a stale id opens one', body: initialize(), wireId: 'x', plan: { kind: 'open' } },
    { name: 'a call names it', body: callTool('x'), wireId: 'x', plan: { kind: 'named', wireId: 'x' } },
    { name: 'a call without an id', body: callTool('x'), wireId: null, plan: { kind: 'missing' } },
    { name: 'an empty id is an id', body: callTool('x'), wireId: '', plan: { kind: 'named', wireId: '' } },
    { name: 'a batch names it', body: [callTool('x')], wireId: 'x', plan: { kind: 'named', wireId: 'x' } },
    {
      name: 'a notification names it',
      body: notification,
      wireId: 'x',
      plan: { kind: 'named', wireId: 'x' },
    },
    { name: 'a notification without an id', body: notification, wireId: null, plan: { kind: 'missing' } },
    { name: 'GET or DELETE name it', body: undefined, wireId: 'x', plan: { kind: 'named', wireId: 'x' } },
    { name: 'GET or DELETE without an id have none', body: undefined, wireId: null, plan: { kind: 'none' } },
    {
      name: 'a call of 2026 says who it is, whatever id it sends',
      body: modern(callTool('x')).body,
      wireId: 'x',
      plan: {
        kind: 'derived',
        demand: {
          timeoutSeconds: 3600,
          client: { client_type: 'Cursor', client_name: 'Cursor', client_version: '2.0' },
        },
      },
    },
  ]
  for (const { name, body, wireId, plan } of cases) {
    it(name, () => {
      expect(planSession(body === undefined ? null : parsed(body), wireId)).toMatchObject(plan as object)
    })
  }

  it('of 2026 lives as long as it is told to', () => {
    const plan = planSession(parsed(modern(callTool('x')).body), null, { derivedTimeoutSeconds: 60 })
    expect(plan).toMatchObject({ demand: { timeoutSeconds: 60 } })
  })

  it('of 2026 is another for another client name or version, and for nothing else', () => {
    const keys = [
      keyOf({ name: 'a', version: '1' }),
      keyOf({ name: 'a', version: '2' }),
      keyOf({ name: 'b', version: '1' }),
      keyOf({ name: 'a 1', version: '' }),
      keyOf({ name: 'a', version: '1 1' }),
      keyOf({ name: 'a 1', version: '1' }),
      keyOf({ name: '', version: '' }),
    ]
    expect(new Set(keys).size).toBe(keys.length)
    expect(keyOf({ name: 'a', version: '1' }, 'other tool')).toBe(keys[0])
  })
})

describe('what is kept of a client', () => {
  it('is what it says of itself', () => {
    const info = { name: 'Claude Code', version: '2.1', title: 'Claude' }
    expect(clientRow(clientInfoOf(info, { roots: {} }, '2025-11-25'))).toEqual({
      client_type: 'Claude',
      client_name: 'Claude Code',
      client_version: '2.1',
      protocol_version: '2025-11-25',
      capabilities: { roots: {} },
      metadata: info,
    })
  })

  it('fits its columns', () => {
    const row = clientRow(
      clientInfoOf({ name: 'n'.repeat(300), version: 'v'.repeat(300) }, null, 'p'.repeat(300)),
    )
    expect([row.client_name.length, row.client_version?.length, row.protocol_version?.length]).toEqual([
      255, 50, 20,
    ])
  })
})

describe('the row that an id on the wire means', () => {
  const uuid = '550e8400-e29b-41d4-a716-446655440000'

  it('is the id where it is a UUID as Postgres writes it', async () => {
    expect(await sessionIdOfWire(uuid)).toBe(uuid)
  })

  it('is a UUID of its own for any other id, always the same', async () => {
    const ids = [uuid.toUpperCase(), 'abc', 'ABC', '!', '~'.repeat(1024)]
    const rows = await Promise.all(ids.map((wireId) => sessionIdOfWire(wireId)))
    for (const row of rows)
      expect(row).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(new Set(rows).size).toBe(ids.length)
    expect(await Promise.all(ids.map((wireId) => sessionIdOfWire(wireId)))).toEqual(rows)
  })

  for (const [name, id] of [
    ['nothing', ''],
    ['a space', 'a b'],
    ['other than ASCII', 'é'],
    ['a control character', 'a\tb'],
    ['too long', 'x'.repeat(1025)],
  ] as const) {
    it(`is none where the id is ${name}`, async () => {
      expect(await sessionIdOfWire(id)).toBeNull()
    })
  }
})
