import { beforeAll, describe, expect, it } from 'vitest'
import { type Actor, recordAudit } from '../../src/audit.ts'
import type { AuditLine } from '../../src/reports/audit.ts'
import { parseTable } from '../support/csv.ts'
import { expectProblem, MOMENT, send, useApi, userId, userToken, walk } from './support.ts'

const api = useApi()
const QUOTA = { scope: 'everyone', metric: 'requests', limit: 5, window: 'day' }

let token: string
let ada: string
let alice: string

beforeAll(async () => {
  token = await userToken('Ada', { role: 'admin' })
  ada = await userId(api.app, token)
  alice = await userId(api.app, await userToken('Alice'))
  await send(api.app, 'PUT /quotas', { token, body: QUOTA })
  await send(api.app, `PATCH /users/${alice}`, { token, body: { role: 'finance', blocked: true } })
  await send(api.app, `POST /users/${alice}/revoke`, { token })
  const cli: Actor = { kind: 'cli', id: null }
  await recordAudit(api.sql, cli, {
    action: 'prices.synced',
    target: null,
    details: { added: 2, changed: 0 },
  })
})

interface Told {
  audit: AuditLine[]
  total: number
}
const read = async (query = ''): Promise<Told> => {
  const { status, body } = await send(api.app, `GET /audit${query}`, { token })
  expect(status, JSON.stringify(body)).toBe(200)
  return body as unknown as Told
}
const actions = ({ audit }: Told) => audit.map(({ action }) => action)

describe('GET /audit', () => {
  it('tells who changed what, newest first', async () => {
    const { audit, total } = await read()
    expect(total).toBe(5)
    expect(audit.map(({ action }) => action)).toEqual([
      'prices.synced',
      'user.revoked',
      'user.blocked',
      'user.role_set',
      'quota.set',
    ])
    expect(audit[3]).toEqual({
      audit_id: expect.any(String),
      at: MOMENT,
      actor: 'user',
      actor_id: ada,
      action: 'user.role_set',
      target_kind: 'user',
      target_id: alice,
      details: { from: null, to: 'finance' },
    })
    expect(audit[0]).toEqual({
      audit_id: expect.any(String),
      at: MOMENT,
      actor: 'cli',
      action: 'prices.synced',
      details: { added: 2, changed: 0 },
    })
  })

  it.each<[string, string[]]>([
    ['?actor=cli', ['prices.synced']],
    ['?action=user.blocked', ['user.blocked']],
    ['?from=2020-01-01&to=2020-02-01', []],
    ['?from=2020-01-01&action=quota.set', ['quota.set']],
  ])('finds by %s', async (query, found) => {
    expect(actions(await read(query))).toEqual(found)
  })

  it('finds by who did it and to whom it was done', async () => {
    expect(actions(await read(`?actor=${ada.toUpperCase()}&target=${alice}`))).toEqual([
      'user.revoked',
      'user.blocked',
      'user.role_set',
    ])
    expect(actions(await read(`?actor=${alice}`))).toEqual([])
  })

  it('can be walked in pages', async () => {
    const pages = (await walk(api.app, '/audit?limit=2', token)) as unknown as Told[]
    expect(pages.map(actions)).toEqual([
      ['prices.synced', 'user.revoked'],
      ['user.blocked', 'user.role_set'],
      ['quota.set'],
    ])
  })

  it('is a file too, with the same filters', async () => {
    const res = await api.app.request(`/api/mcp/audit?format=csv&target=${alice}&from=2020-01-01`, {
      headers: { authorization: `Bearer ${token}` },
    })
    expect(res.headers.get('content-disposition')).toBe('attachment; filename="audit.csv"')
    const { rows, total, period } = parseTable(await res.text())
    expect(rows.map(({ action }) => action)).toEqual(['user.revoked', 'user.blocked', 'user.role_set'])
    expect(rows[2]).toEqual({
      audit_id: expect.any(String),
      at: MOMENT,
      actor: 'user',
      actor_id: ada,
      action: 'user.role_set',
      target_kind: 'user',
      target_id: alice,
      details: '{"to":"finance","from":null}',
    })
    expect(total).toMatchObject({ audit_id: 'Total', at: '3' })
    expect(period.slice(0, 2)).toEqual(['Period', '2020-01-01T00:00:00.000Z'])
  })

  it.each(['?actor=nobody', '?action=everything', '?limit=0', '?cursor=x', '?from=2020-02-01&to=2020-01-01'])(
    'answers 400 to %s',
    async (query) => {
      expectProblem(await send(api.app, `GET /audit${query}`, { token }), 400, 'invalid_request')
    },
  )
})
