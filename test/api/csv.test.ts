import { describe, expect, it, vi } from 'vitest'
import { csvResponse } from '../../src/file-response.ts'
import { parseTable } from '../support/csv.ts'
import { ago, send, useApi, userId, userToken, writeSession } from './support.ts'

/** Lines, and how many of them were asked for. */
function counted(lines: number, failAt = Infinity) {
  const seen = { lines: 0, ended: false }
  async function* rows(): AsyncGenerator<string> {
    try {
      for (let n = 0; n < lines; n++) {
        if (n === failAt) throw new Error('the database went away')
        seen.lines += 1
        yield `${'x'.repeat(98)}\r\n`
      }
    } finally {
      seen.ended = true
    }
  }
  return { rows: rows(), seen }
}

describe('a file of rows', () => {
  it('is UTF-8 that Excel reads as such, with a name of plain letters', async () => {
    const response = csvResponse('costs of "sales"\r\n/ö.csv', counted(1).rows)
    expect(response.headers.get('content-disposition')).toBe('attachment; filename="costs-of-sales-.csv"')
    expect([...new Uint8Array(await response.arrayBuffer())].slice(0, 3)).toEqual([0xef, 0xbb, 0xbf])
  })

  it('reads no further than it is read', async () => {
    const { rows, seen } = counted(1_000_000)
    const reader = csvResponse('a.csv', rows).body!.getReader()
    expect(seen.lines).toBe(0)
    for (let chunk = 0; chunk < 3; chunk++) await reader.read()
    expect(seen.lines).toBeLessThan(2000)
    await reader.cancel()
    expect(seen.ended).toBe(true)
  })

  it('breaks off rather than end when rows fail', async () => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {})
    const { rows } = counted(2000, 1500)
    await expect(csvResponse('a.csv', rows).text()).rejects.toThrow('went away')
    expect(log.mock.calls.flat().join()).toMatch(/a\.csv broke off: Error: the database went away/)
    log.mockRestore()
  })
})

describe('GET /sessions as CSV', () => {
  const api = useApi()

  it('has all sessions that the caller may see, the latest first', async () => {
    const admin = await userToken('Ada', { role: 'admin' })
    const alice = await userToken('Alice')
    const user_id = await userId(api.app, alice)
    await writeSession(api.sql, {
      user_id,
      user_name: '=Alice, "the"\nfirst',
      user_email: 'alice@example.com',
      client_type: 'Claude Code',
      client_version: '-1',
      connected_at: ago(50),
      last_activity: ago(50),
      disconnected_at: ago(20),
      disconnect_reason: 'admin',
    })
    // So that pages must be told apart by more than the moment.
    await api.sql`
      insert into archon_mcp_sessions (connected_at, client_type)
      select now() - interval '1 hour' - (n / 700) * interval '1 minute', 'Cursor' from generate_series(1, 2100) as n`
    const file = async (token: string, query = '') => {
      const response = await api.app.request(`/api/mcp/sessions?format=csv${query}`, {
        headers: { authorization: `Bearer ${token}` },
      })
      expect(response.headers.get('content-disposition')).toBe('attachment; filename="sessions.csv"')
      return parseTable(await response.text())
    }
    const { header, rows, period } = await file(admin, '&status_filter=all&limit=1')
    expect(rows).toHaveLength(2101)
    expect(new Set(rows.map(({ session_id }) => session_id)).size).toBe(2101)
    const begun = rows.map(({ connected_at = '' }) => Date.parse(connected_at))
    expect(begun).toEqual(begun.toSorted((a, b) => b - a))
    expect(rows[0]).toMatchObject({
      user_name: `'=Alice, "the"\nfirst`,
      client_type: 'Claude',
      client_version: '-1',
      status: 'disconnected',
      disconnect_reason: 'admin',
      total_duration: '30',
    })
    expect(header.slice(0, 2)).toEqual(['session_id', 'user_id'])
    expect(period.slice(0, 2)).toEqual(['Period', ''])

    expect((await file(admin)).rows).toHaveLength(2100)
    const { rows: own, total } = await file(alice, '&status_filter=all')
    expect(own).toHaveLength(1)
    expect([total['session_id'], total['user_id']]).toEqual(['Total', '1'])
    const { body } = await send(api.app, 'GET /sessions?status_filter=all', { token: admin })
    expect(body.total).toBe(2101)
  })
})
