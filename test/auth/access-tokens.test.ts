import { Hono } from 'hono'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { CLI_ACTOR } from '../../src/audit.ts'
import { accessTokenText } from '../../src/auth/access-token-text.ts'
import { createAccessToken, findAccessToken, revokeAccessToken } from '../../src/auth/access-tokens.ts'
import { userContext } from '../../src/auth/user-context.ts'
import { changeUser, revokeUser } from '../../src/auth/users.ts'
import { createLedger, ledgerOf } from '../../src/ledger/ledger.ts'
import type { UserVariables } from '../../src/variables.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { callerNamed, counting, requestBy, unreachable } from '../support/ledger.ts'
import { callTool, mcpApp, modern, optionsFor, post, tokenFor } from '../support/mcp.ts'

let database: TestDatabase
let alice: string
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

/** A user who has been here before. */
async function known(name: string, claims: Record<string, unknown> = {}): Promise<string> {
  await called(await tokenFor(name, claims))
  const [row] = await database.sql<{ user_id: string }[]>`
    select user_id from archon_mcp_users where subject = ${name.toLowerCase()}`
  return row!.user_id
}

/** What a call with a token answers, and what its tool saw of the caller. */
async function called(token: string, app = mcpApp(database.sql)) {
  const { body, headers } = modern(callTool('whoami'))
  const res = await app.request('/mcp', post(body, { token, headers }))
  const text = await res.text()
  const content = (JSON.parse(text) as { result?: { content?: { text: string }[] } }).result?.content
  return {
    status: res.status,
    challenge: res.headers.get('www-authenticate'),
    text,
    seen: JSON.parse(content?.[0]?.text ?? 'null') as Record<string, unknown> | null,
  }
}

const make = async (
  owner: { userId: string } | { service: string },
  more = {},
): Promise<{ id: string; token: string }> => {
  const request = { owner, name: 'laptop', scopes: [], lifeDays: 90, ...more }
  const made = await createAccessToken(database.sql, request, { by: CLI_ACTOR })
  if ('fault' in made) throw new Error(made.fault)
  return made
}

beforeEach(async () => {
  alice = await known(`Alice-${crypto.randomUUID()}`, {
    app_metadata: { department: 'sales', role: 'manager' },
  })
})

describe('an access token', () => {
  it('is its user, with the role and department of the moment', async () => {
    const { id, token } = await make({ userId: alice }, { scopes: ['read', 'write'] })
    const { status, seen } = await called(token)
    expect(status).toBe(200)
    expect(seen).toMatchObject({
      role: 'manager',
      user: { id: alice, department: 'sales', role: 'manager', scopes: ['read', 'write'] },
      claims: { jti: id, sub: expect.stringMatching(/^alice-/), scope: 'read write' },
    })
    await changeUser(database.sql, alice, { role: 'finance', department: 'IT' }, CLI_ACTOR)
    expect((await called(token)).seen).toMatchObject({ user: { department: 'IT', role: 'finance' } })
  })

  it('is kept as a hash alone, and never said again', async () => {
    const { token } = await make({ userId: alice })
    await called(token)
    const rows = await database.owner<{ text: string }[]>`
      select to_jsonb(token)::text as text from archon_mcp_access_tokens as token
      union all select to_jsonb(entry)::text from archon_mcp_audit as entry
      union all select to_jsonb(call)::text from archon_mcp_requests as call
      union all select to_jsonb(known)::text from archon_mcp_users as known`
    expect(rows.map(({ text }) => text).join('\n')).not.toContain(token.slice(12, 40))
    await expect(database.sql`update archon_mcp_access_tokens set token_hash = 'short'`).rejects.toThrow(
      'archon_mcp_access_tokens_hash',
    )
  })

  it('of a service is a program: no user, no REST of users, the role service', async () => {
    const { id, token } = await make({ service: 'nightly export' })
    const { status, seen } = await called(token)
    expect(status).toBe(200)
    expect(seen).toMatchObject({ user: null, role: 'service', claims: { jti: id } })
  })

  it('says nothing new of its user: what a sign-in said meanwhile stays', async () => {
    const name = `Dora-${crypto.randomUUID()}`
    const app = mcpApp(database.sql)
    const dora = await known(name, { app_metadata: { department: 'sales' } })
    const { token } = await make({ userId: dora })
    await called(token, app)
    await called(await tokenFor(name, { app_metadata: { department: 'research' } }), app)
    // This instance remembers the token with the department of before.
    expect((await called(token, app)).seen).toMatchObject({ user: { department: 'research' } })
    const [row] = await database.sql`select claimed_department from archon_mcp_users where user_id = ${dora}`
    expect(row).toEqual({ claimed_department: 'research' })
  })

  it('needs the scopes that the endpoint requires', async () => {
    const app = mcpApp(database.sql, { requiredScopes: ['tools'] })
    const without = await make({ userId: alice })
    const refused = await called(without.token, app)
    expect(refused.status).toBe(403)
    expect(refused.challenge).toContain('error="insufficient_scope"')
    const { token } = await make({ userId: alice }, { scopes: ['tools'] })
    expect((await called(token, app)).status).toBe(200)
  })

  it('costs one statement more at first sight, and none after', async () => {
    const { token } = await make({ userId: alice })
    const { sql, statements } = counting(database.sql)
    const app = mcpApp(sql)
    const costs: number[] = []
    for (let call = 0; call < 2; call += 1) {
      const before = statements()
      await called(token, app)
      await ledgerOf(sql).drained()
      costs.push(statements() - before)
    }
    expect(costs).toEqual([3, 2])
  })

  it('was last used some minutes ago at most', async () => {
    const { id, token } = await make({ userId: alice })
    const lastUsed = async () => {
      const [row] = await database.sql<{ ago: number | null }[]>`
        select extract(epoch from clock_timestamp() - last_used_at)::float8 as ago
        from archon_mcp_access_tokens where token_id = ${id}`
      return row!.ago
    }
    expect(await lastUsed()).toBeNull()
    await findAccessToken(database.sql, token)
    expect(await lastUsed()).toBeLessThan(60)
    const set = (minutes: number) => database.owner`
      update archon_mcp_access_tokens
      set last_used_at = clock_timestamp() - ${minutes}::integer * interval '1 minute' where token_id = ${id}`
    await set(4)
    await findAccessToken(database.sql, token)
    expect(await lastUsed()).toBeGreaterThan(200)
    await set(6)
    await findAccessToken(database.sql, token)
    expect(await lastUsed()).toBeLessThan(60)
  })
})

describe('is refused at the next call, whatever an instance remembers', () => {
  const cases: [string, (id: string) => Promise<unknown>, number][] = [
    ['revoked', (id) => revokeAccessToken(database.sql, id, null, CLI_ACTOR), 401],
    [
      'expired',
      (id) => database.owner`
        update archon_mcp_access_tokens
        set created_at = now() - interval '2 days', expires_at = now() - interval '1 second' where token_id = ${id}`,
      401,
    ],
    ['removed', (id) => database.owner`delete from archon_mcp_access_tokens where token_id = ${id}`, 401],
    ['of a user who is cut off', () => revokeUser(database.sql, alice, CLI_ACTOR), 401],
    ['of a user who is blocked', () => changeUser(database.sql, alice, { blocked: true }, CLI_ACTOR), 403],
  ]
  it.each(cases)('when it is %s', async (_, end, status) => {
    const { id, token } = await make({ userId: alice })
    const [here, there] = [mcpApp(database.sql), mcpApp(database.sql)]
    for (const app of [here, there]) expect((await called(token, app)).status).toBe(200)
    await end(id)
    for (const app of [here, there, mcpApp(database.sql)]) {
      const answer = await called(token, app)
      expect(answer.status, answer.text).toBe(status)
      if (status === 401) expect(answer.challenge).toContain('error="invalid_token"')
    }
  })

  it('when its user is gone, who is not made anew by it', async () => {
    const { token } = await make({ userId: alice })
    const app = mcpApp(database.sql)
    expect((await called(token, app)).status).toBe(200)
    await database.owner`delete from archon_mcp_users where user_id = ${alice}`
    expect((await called(token, app)).status).toBe(401)
    expect(await database.sql`select from archon_mcp_users where user_id = ${alice}`).toHaveLength(0)
  })

  it('when it is of a service that an administrator ended', async () => {
    const { id, token } = await make({ service: 'export' })
    const app = mcpApp(database.sql)
    expect((await called(token, app)).status).toBe(200)
    await revokeAccessToken(database.sql, id, null, CLI_ACTOR)
    expect((await called(token, app)).status).toBe(401)
  })

  it('and the others of the same group are not', async () => {
    const [good, bad] = [await make({ userId: alice }), await make({ userId: alice })]
    const bob = await known('Bob')
    const bobs = await make({ userId: bob })
    const app = mcpApp(database.sql)
    const all = [good, bad, bobs, bad, good]
    await Promise.all(all.map(({ token }) => called(token, app)))
    await revokeAccessToken(database.sql, bad.id, null, CLI_ACTOR)
    const answers = await Promise.all(all.map(({ token }) => called(token, app)))
    expect(answers.map(({ status }) => status)).toEqual([200, 401, 200, 401, 200])
  })
})

describe('a text that is no token of ours', () => {
  it('is not looked up unless its checksum is right', async () => {
    const { token } = await make({ userId: alice })
    const { sql, statements } = counting(database.sql)
    const answer = await called(`${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`, mcpApp(sql))
    expect(answer.status).toBe(401)
    expect(statements()).toBe(0)
    const unknown = accessTokenText(crypto.getRandomValues(new Uint8Array(32)))
    expect((await called(unknown, mcpApp(sql))).status).toBe(401)
    expect(statements()).toBe(1)
  })

  it('is 503 while the database is out of reach, never 401', async () => {
    const { token } = await make({ userId: alice })
    const app = new Hono()
      .use(userContext({ ...optionsFor(database.sql), sql: unreachable() }))
      .get('/', (c) => c.text('ok'))
    const { setTimeout: sleep } = globalThis
    globalThis.setTimeout = ((run: () => void) => sleep(run, 0)) as typeof setTimeout
    try {
      const res = await app.request('/', { headers: { authorization: `Bearer ${token}` } })
      expect(res.status).toBe(503)
      expect(res.headers.get('retry-after')).not.toBeNull()
    } finally {
      globalThis.setTimeout = sleep
    }
  })
})

const alone = (options = {}) =>
  new Hono<{ Variables: UserVariables }>()
    .use(userContext({ ...optionsFor(database.sql), ...options }))
    .get('/', (c) => c.json(c.var.user))
const get = (app: ReturnType<typeof alone>, token: string) =>
  app.request('/', { headers: { authorization: `Bearer ${token}` } })

describe('userContext() alone', () => {
  it('takes access tokens where it is given a database, and asks each time', async () => {
    const { id, token } = await make({ userId: alice })
    const app = alone()
    expect(await (await get(app, token)).json()).toMatchObject({ id: alice })
    await revokeAccessToken(database.sql, id, null, CLI_ACTOR)
    expect((await get(app, token)).status).toBe(401)
    const other = await make({ userId: alice })
    await changeUser(database.sql, alice, { blocked: true }, CLI_ACTOR)
    expect((await get(app, other.token)).status).toBe(403)
  })

  it('takes none without one', async () => {
    const { token } = await make({ userId: alice })
    expect((await get(alone({ sql: undefined }), token)).status).toBe(401)
  })
})

const request = () => ({ owner: { userId: alice }, name: 'x', scopes: [], lifeDays: 1 })

const attempt = () => createAccessToken(database.sql, request(), { by: CLI_ACTOR })

describe('at most twenty live ones', () => {
  it('of a user, however many ask at once; an ended one makes room', async () => {
    const made = await Promise.all(Array.from({ length: 24 }, attempt))
    expect(made.filter((one) => 'fault' in one)).toHaveLength(4)
    const first = made.find((one) => 'id' in one)!
    await revokeAccessToken(database.sql, 'id' in first ? first.id : '', null, CLI_ACTOR)
    expect(await attempt()).toHaveProperty('token')
    expect(await attempt()).toEqual({ fault: 'too_many' })
    await revokeUser(database.sql, alice, CLI_ACTOR)
    expect(await attempt()).toHaveProperty('token')
  })

  it('of a service', async () => {
    const owner = { service: 'many' }
    const made = await Promise.all(
      Array.from({ length: 22 }, () =>
        createAccessToken(database.sql, { ...request(), owner }, { by: CLI_ACTOR }),
      ),
    )
    expect(made.filter((one) => 'fault' in one)).toHaveLength(2)
  })
})

it('is not made by somebody who was cut off while they asked', async () => {
  const by = { kind: 'user', id: alice } as const
  const before = new Date(Date.now() - 60_000)
  expect(await createAccessToken(database.sql, request(), { by, issuedAt: before })).toHaveProperty('token')
  await revokeUser(database.sql, alice, CLI_ACTOR)
  for (const issuedAt of [before, null]) {
    expect(await createAccessToken(database.sql, request(), { by, issuedAt })).toEqual({ fault: 'cut_off' })
  }
  const after = new Date(Date.now() + 60_000)
  expect(await createAccessToken(database.sql, request(), { by, issuedAt: after })).toHaveProperty('token')
  await changeUser(database.sql, alice, { blocked: true }, CLI_ACTOR)
  expect(await createAccessToken(database.sql, request(), { by, issuedAt: after })).toEqual({
    fault: 'cut_off',
  })
  const nobody = { ...request(), owner: { userId: crypto.randomUUID() } }
  expect(await createAccessToken(database.sql, nobody, { by: CLI_ACTOR })).toEqual({ fault: 'no_user' })
})

it('and a sign-in of the same user share a group: the sign-in is what is believed', async () => {
  const name = `Ed-${crypto.randomUUID()}`
  const ed = await known(name)
  const ledger = createLedger(database.sql)
  const [row] = await database.sql<{ issuer: string }[]>`
    select issuer from archon_mcp_users where user_id = ${ed}`
  const { issuer } = row!
  const { id } = await make({ userId: ed })
  const later = new Date(Date.now() + 1000)
  const caller = { ...(await callerNamed(name.toLowerCase(), { issuer })), issuedAt: later }
  const stale = { ...caller, department: 'stale', issuedAt: new Date(later.getTime() + 1000) }
  await Promise.all([
    ledger.admit(requestBy(stale, { accessToken: id, calls: [] })),
    ledger.admit(requestBy({ ...caller, department: 'told' }, { calls: [] })),
    ledger.admit(requestBy(stale, { accessToken: id, calls: [] })),
  ])
  expect([
    ...(await database.sql`select claimed_department from archon_mcp_users where user_id = ${ed}`),
  ]).toEqual([{ claimed_department: 'told' }])
})
