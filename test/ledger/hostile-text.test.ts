import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLedger } from '../../src/ledger/ledger.ts'
import type { Ledger } from '../../src/ledger/types.ts'
import { clientInfoOf } from '../../src/mcp/message.ts'
import { clientRow } from '../../src/sessions/life-cycle.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, callOf, requestBy, success } from '../support/ledger.ts'

let database: TestDatabase
let ledger: Ledger
beforeAll(async () => {
  database = await createTestDatabase()
  ledger = createLedger(database.sql)
})
afterAll(() => database[Symbol.asyncDispose]())

const cases: { name: string; text: string; kept: string }[] = [
  { name: 'NUL characters', text: 'a\0b\0', kept: 'ab' },
  { name: 'half a surrogate pair', text: 'a\ud83d', kept: 'a\ufffd' },
  { name: 'the other half', text: '\ude00a', kept: '\ufffda' },
  { name: 'the syntax of arrays', text: '{"a",null}\\', kept: '{"a",null}\\' },
  { name: 'the word null', text: 'null', kept: 'null' },
  { name: 'nothing', text: '', kept: '' },
  {
    name: 'SQL',
    text: "'); drop table archon_mcp_requests; --",
    kept: "'); drop table archon_mcp_requests; --",
  },
]

describe('text from outside is kept as far as Postgres can', () => {
  for (const { name, text, kept } of cases) {
    it(`${name}, in tool, method, error, client and user`, async () => {
      const caller = { ...(await callerNamed(`hostile-${name}`)), email: text, name: text, department: text }
      const client = clientInfoOf({ name: `c${text}`, version: text, [`k${text}`]: [text, { x: text }] })
      const call = callOf({ tool: text, method: `m${text}` })
      const verdict = await ledger.admit({
        caller,
        session: { key: `key ${text}`, client: clientRow(client), timeoutSeconds: 60 },
        calls: [call],
      })
      expect(verdict).toMatchObject({ admitted: true, user: { email: kept, name: kept, department: kept } })
      await ledger.close({ ...success(call.id), status: 'error', error: text })
      const [row] = await database.owner`
        select tool_name, method, error_message, client_name, client_version, metadata
        from archon_mcp_requests join archon_mcp_sessions using (session_id) where request_id = ${call.id}`
      expect(row).toEqual({
        tool_name: kept,
        method: `m${kept}`,
        error_message: kept,
        client_name: `c${kept}`,
        client_version: kept,
        metadata: { name: `c${kept}`, version: kept, [`k${kept}`]: [kept, { x: kept }] },
      })
    })
  }

  it('cuts what is longer than its column', async () => {
    const call = callOf({ tool: 't'.repeat(1000), method: '😀'.repeat(200) })
    await ledger.admit(requestBy(await callerNamed('long', { name: '😀'.repeat(300) }), { calls: [call] }))
    const [row] = await database.owner`
      select length(tool_name) as tool, length(method) as method from archon_mcp_requests
      where request_id = ${call.id}`
    expect(row).toEqual({ tool: 100, method: 50 })
  })

  it('keeps name and version of a client that says too much of itself', async () => {
    const info = { name: 'Talkative '.repeat(100), version: '1'.repeat(100), all: 'x'.repeat(100_000) }
    const client = clientRow(clientInfoOf(info, { sampling: {} }, '2026-07-28'))
    const verdict = await ledger.admit(
      requestBy(null, { session: { key: 'talkative', client, timeoutSeconds: 60 } }),
    )
    const [row] = await database.owner`
      select length(client_name) as name, length(client_version) as version, metadata, client_capabilities
      from archon_mcp_sessions where session_id = ${verdict.admitted ? verdict.sessionId : null}`
    expect(row).toEqual({ name: 255, version: 50, metadata: {}, client_capabilities: null })
  })

  it('tells users apart whose tokens look alike', async () => {
    const callers = await Promise.all(
      ['a,b', 'a', '"a"', 'a\\', 'A', ' a'].map((subject) => callerNamed(subject)),
    )
    const verdicts = await Promise.all(callers.map((caller) => ledger.admit(requestBy(caller))))
    const ids = verdicts.map((verdict) => verdict.admitted && verdict.user?.id)
    expect(ids).toEqual(callers.map(({ firstId }) => firstId))
    expect(new Set(ids).size).toBe(callers.length)
  })
})
