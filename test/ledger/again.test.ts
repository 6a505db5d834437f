import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pgArray } from '../../src/db/client.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import { runLedger } from '../../src/ledger/statement.ts'
import type { AdmissionRequest } from '../../src/ledger/types.ts'
import { createSessionManager } from '../../src/sessions/session-manager.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, callOf, derived, requestBy, success } from '../support/ledger.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

const send = (requests: AdmissionRequest[], again: boolean) =>
  runLedger(database.sql, { requests, closes: [], refusals: [] }, { again, now: null })

const rowsOf = (requests: AdmissionRequest[]) => database.owner`
  select request_id, session_id, user_id, status, timestamp from archon_mcp_requests
  where request_id = any(${pgArray(requests.flatMap(({ calls }) => calls.map(({ id }) => id)))}::uuid[]) order by request_id`

describe('a group that is sent again after its answer was lost', () => {
  it('is admitted once: the same rows, the same verdicts', async () => {
    const caller = await callerNamed('again')
    const requests = [
      requestBy(caller, { session: derived('Cursor') }),
      requestBy(caller, { calls: [callOf(), callOf()] }),
      requestBy(null),
    ]
    const first = await send(requests, false)
    const before = await rowsOf(requests)
    expect(before).toHaveLength(4)
    expect(await send(requests, true)).toEqual(first)
    expect(await rowsOf(requests)).toEqual(before)
  })

  it('that never arrived is judged as new', async () => {
    const requests = [requestBy(await callerNamed('lost'))]
    expect(await send(requests, true)).toMatchObject([{ admitted: true }])
    expect(await rowsOf(requests)).toHaveLength(1)
  })

  it('keeps its calls although their session ended meanwhile', async () => {
    const caller = await callerNamed('again')
    const sessions = createSessionManager(database.sql)
    const id = await sessions.createSession({ userContext: { user_id: caller.firstId } })
    const requests = [requestBy(caller, { session: { id } }), requestBy(caller, { session: { id } })]
    await send(requests.slice(0, 1), false)
    await sessions.endSession(id, 'admin')
    expect(await send(requests, true)).toMatchObject([
      { admitted: true },
      { admitted: false, code: 'session_not_found' },
    ])
    expect(await rowsOf(requests)).toMatchObject([{ session_id: id }])
  })

  it('keeps its calls although their user was blocked meanwhile', async () => {
    const requests = [requestBy(await callerNamed('blocked-meanwhile'))]
    await send(requests, false)
    await database.owner`update archon_mcp_users set blocked_at = now() where subject = 'blocked-meanwhile'`
    expect(await send(requests, true)).toMatchObject([{ admitted: true }])
  })

  it('does not open again what has been closed', async () => {
    const requests = [requestBy(await callerNamed('again'))]
    const { id } = requests[0]!.calls[0]!
    await send(requests, false)
    await createLedger(database.sql).close(success(id))
    await send(requests, true)
    expect(await rowsOf(requests)).toMatchObject([{ status: 'success' }])
  })
})
