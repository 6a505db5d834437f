import { beforeAll, describe, expect, it } from 'vitest'
import type { McpAccessToken } from '../../src/reports/access-tokens.ts'
import {
  type Answer,
  expectProblem,
  MOMENT,
  send,
  serviceToken,
  useApi,
  userId,
  userToken,
  walk,
} from './support.ts'

const api = useApi()
const tokens: Record<string, string> = {}
const ids: Record<string, string> = {}

beforeAll(async () => {
  tokens['Ada'] = await userToken('Ada', { role: 'admin' })
  tokens['Bob'] = await userToken('Bob')
  tokens['service'] = await serviceToken()
  for (const name of ['Ada', 'Bob']) ids[name] = await userId(api.app, tokens[name]!)
})

type Told = McpAccessToken & { token: string; tokens: McpAccessToken[]; total: number }
async function as(who: string, route: string, body?: unknown): Promise<Answer & { told: Told }> {
  const answer = await send(api.app, route, { token: tokens[who] ?? who, body })
  return { ...answer, told: answer.body as unknown as Told }
}
const make = async (who: string, more: object = {}): Promise<Told> => {
  const { status, told } = await as(who, 'POST /tokens', { name: 'laptop', ...more })
  expect(status, JSON.stringify(told)).toBe(201)
  return told
}
/** Somebody who has no tokens yet. */
async function newcomer(claims: Parameters<typeof userToken>[1] = {}): Promise<string> {
  const name = `n${crypto.randomUUID()}`
  tokens[name] = await userToken(name, claims)
  ids[name] = await userId(api.app, tokens[name])
  return name
}

describe('POST /tokens', () => {
  it('makes a token for whoever asks, and says its secret this once', async () => {
    const who = await newcomer()
    const made = await make(who, { expires_in_days: 30 })
    expect(made).toEqual({
      token_id: expect.stringMatching(/^[\da-f-]{36}$/),
      name: 'laptop',
      user_id: ids[who],
      scopes: [],
      status: 'live',
      created_at: MOMENT,
      created_by: ids[who],
      expires_at: MOMENT,
      token: expect.stringMatching(/^mcpuc_pat_[0-9A-Za-z]{49}$/),
    })
    const life = Date.parse(made.expires_at) - Date.parse(made.created_at)
    expect(life / 86_400_000).toBeCloseTo(30)
    expect((await as(made.token, 'GET /me')).body.user).toMatchObject({ id: ids[who] })
    const { told } = await as(who, 'GET /tokens')
    expect(told.total).toBe(1)
    expect(JSON.stringify(told)).not.toContain(made.token.slice(0, 20))
    expect(told.tokens[0]).toMatchObject({ token_id: made.token_id, last_used_at: MOMENT })
  })

  it('makes one of ninety days unless told otherwise', async () => {
    const made = await make('Bob')
    expect((Date.parse(made.expires_at) - Date.parse(made.created_at)) / 86_400_000).toBeCloseTo(90)
  })

  it('makes one for a service, where an administrator asks', async () => {
    for (const who of ['Ada', 'service']) {
      const { token, ...made } = await make(who, { service: 'export' })
      expect(made).toMatchObject({ service: 'export', status: 'live' })
      expect(made).not.toHaveProperty('user_id')
      // It is a program, as the issuer's own are.
      expect((await as(token, 'GET /users')).status).toBe(200)
      expect((await as(token, 'GET /audit?actor=service')).status).toBe(200)
    }
    expectProblem(await as('Bob', 'POST /tokens', { name: 'x', service: 'export' }), 403, 'forbidden')
    const nameless = await as('service', 'POST /tokens', { name: 'x' })
    expectProblem(nameless, 400, 'invalid_request')
    expect(nameless.body.errors).toEqual([
      { path: 'service', message: 'name the service whose token it is to be' },
    ])
  })

  it('makes none by an access token, whoever has it', async () => {
    const [own, admins, program] = [await make('Bob'), await make('Ada'), await make('Ada', { service: 's' })]
    for (const { token } of [own, admins, program]) {
      expectProblem(await as(token, 'POST /tokens', { name: 'x', service: 's' }), 403, 'forbidden')
    }
  })

  it('gives the scopes of the token that asks, or fewer', async () => {
    const scoped = await send(api.app, 'GET /me', { token: tokens['Bob'] })
    expect(scoped.status).toBe(200)
    const answer = await as('Bob', 'POST /tokens', { name: 'x', scopes: ['admin'] })
    expectProblem(answer, 400, 'invalid_request')
    expect(answer.body.errors[0]?.path).toBe('scopes')
    expect((await make('Ada', { service: 's', scopes: ['b', 'a', 'b'] })).scopes).toEqual(['b', 'a'])
  })

  it('answers 409 to the twenty-first', async () => {
    const who = await newcomer()
    for (let made = 0; made < 20; made += 1) await make(who)
    expectProblem(await as(who, 'POST /tokens', { name: 'x' }), 409, 'conflict')
  })

  it.each<[object, string]>([
    [{}, 'name'],
    [{ name: '' }, 'name'],
    [{ name: 'x'.repeat(101) }, 'name'],
    [{ name: 'x', expires_in_days: 0 }, 'expires_in_days'],
    [{ name: 'x', expires_in_days: 367 }, 'expires_in_days'],
    [{ name: 'x', expires_in_days: null }, 'expires_in_days'],
    [{ name: 'x', scopes: ['a b'] }, 'scopes.0'],
    [{ name: 'x', user_id: crypto.randomUUID() }, ''],
  ])('answers 400 to %j', async (body, path) => {
    const answer = await as('Ada', 'POST /tokens', body)
    expectProblem(answer, 400, 'invalid_request')
    expect(answer.body.errors[0]?.path).toBe(path)
  })
})

describe('GET /tokens', () => {
  it('tells users of their own, and administrators of all', async () => {
    const who = await newcomer()
    const { token_id } = await make(who)
    const foreign = await as('Bob', `GET /tokens?status=all&user_id=${ids[who]}`)
    expect(foreign.told).toMatchObject({ tokens: [], total: 0 })
    for (const admin of ['Ada', 'service']) {
      const { told } = await as(admin, `GET /tokens?user_id=${ids[who]}`)
      expect(told).toMatchObject({ tokens: [{ token_id, user_id: ids[who] }], total: 1 })
    }
  })

  it('tells of those that ended when asked, and how', async () => {
    const who = await newcomer()
    const names = ['live', 'revoked', 'expired']
    const made = new Map<string, string>()
    for (const name of names) made.set(name, (await make(who, { name })).token_id)
    await as(who, `DELETE /tokens/${made.get('revoked')}`)
    await api.database.owner`
      update archon_mcp_access_tokens
      set created_at = now() - interval '2 days', expires_at = now() - interval '1 day'
      where token_id = ${made.get('expired')!}`
    expect((await as(who, 'GET /tokens')).told.tokens.map(({ name }) => name)).toEqual(['live'])
    const statuses = async () =>
      Object.fromEntries(
        (await as('Ada', `GET /tokens?status=all&user_id=${ids[who]}`)).told.tokens.map((token) => [
          token.name,
          token.status,
        ]),
      )
    expect(await statuses()).toEqual({ live: 'live', revoked: 'revoked', expired: 'expired' })
    await as('Ada', `PATCH /users/${ids[who]}`, { blocked: true })
    expect(await statuses()).toMatchObject({ live: 'revoked' })
    await as('Ada', `PATCH /users/${ids[who]}`, { blocked: false })
    expect(await statuses()).toMatchObject({ live: 'live' })
  })

  it('can be walked in pages', async () => {
    const who = await newcomer()
    for (const name of ['a', 'b', 'c']) await make(who, { name })
    const pages = (await walk(api.app, '/tokens?limit=2', tokens[who]!)) as unknown as Told[]
    expect(pages.map((page) => page.tokens.map(({ name }) => name))).toEqual([['c', 'b'], ['a']])
  })
})

describe('DELETE /tokens/:id', () => {
  it('ends one’s own at once; it may end itself', async () => {
    const { token, token_id } = await make('Bob')
    expect((await as('Bob', `DELETE /tokens/${token_id}`)).status).toBe(204)
    expectProblem(await as(token, 'GET /me'), 401, 'invalid_token')
    expectProblem(await as('Bob', `DELETE /tokens/${token_id}`), 404, 'not_found')
    const leaked = await make('Bob')
    expect((await as(leaked.token, `DELETE /tokens/${leaked.token_id}`)).status).toBe(204)
    expectProblem(await as(leaked.token, 'GET /me'), 401, 'invalid_token')
  })

  it('knows no token of anybody else, but for administrators', async () => {
    const who = await newcomer()
    const { token, token_id } = await make(who)
    expectProblem(await as('Bob', `DELETE /tokens/${token_id}`), 404, 'not_found')
    expectProblem(await as('Bob', `DELETE /tokens/${crypto.randomUUID()}`), 404, 'not_found')
    expect((await as(token, 'GET /me')).status).toBe(200)
    expect((await as('Ada', `DELETE /tokens/${token_id}`)).status).toBe(204)
  })
})

it('tells the audit who made and who ended a token, by ids alone', async () => {
  const who = await newcomer()
  const made = await make(who, { name: 'Bob’s secret laptop' })
  await as('Ada', `DELETE /tokens/${made.token_id}`)
  const { body } = await as('Ada', `GET /audit?target=${made.token_id}`)
  const { audit } = body as unknown as { audit: { action: string; actor_id: string; details: object }[] }
  expect(audit.map(({ action, actor_id, details }) => ({ action, actor_id, details }))).toEqual([
    { action: 'token.revoked', actor_id: ids['Ada'], details: {} },
    {
      action: 'token.created',
      actor_id: ids[who],
      details: { user_id: ids[who], expires_at: made.expires_at, scopes: [] },
    },
  ])
  expect(JSON.stringify(body)).not.toContain('laptop')
})
