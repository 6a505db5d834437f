import { Hono } from 'hono'
import { beforeAll, describe, expect, it } from 'vitest'
import { ask } from '../../src/admission.ts'
import { createAccessToken, revokeAccessToken } from '../../src/auth/access-tokens.ts'
import { userContext } from '../../src/auth/user-context.ts'
import { changeUser, revokeUser } from '../../src/auth/users.ts'
import type { DashboardEnv } from '../../src/dashboard/env.ts'
import { live, type LiveOptions } from '../../src/dashboard/live.ts'
import { newVisit } from '../../src/dashboard/sign-in/visit.ts'
import { serviceToken, writeSession } from '../api/support.ts'
import { optionsFor } from '../support/mcp.ts'
import { dashboardApp, signedInAs, usePeople, visitorOf } from './support.ts'

const everybody = ['Alice', 'Carl', 'Mia', 'Fin', 'Ada'] as const
type Person = (typeof everybody)[number]
const people = usePeople(everybody)
const sessions = new Map<string, string>()
beforeAll(async () => {
  for (const who of everybody) {
    const owner = { user_id: people.idOf(who), user_name: who, department: people.departmentOf(who) }
    sessions.set(who, await writeSession(people.database.sql, owner))
  }
})

const DAY = 24 * 60 * 60_000
const BY = { kind: 'service', id: null } as const

interface Listening {
  /** What the stream says after the next question. */
  next(): Promise<'nothing' | 'changed' | 'the end'>
  leave(): Promise<void>
  /** For how long it waited before each question. */
  waits: number[]
  signals: AbortSignal[]
}

/** Listens with a token, to a stream that waits for nothing: it asks whenever it is read. */
async function listen(token: string, query = '', more: Partial<LiveOptions> = {}): Promise<Listening> {
  const { now = () => new Date(), ...options } = more
  const waits: number[] = []
  const signals: AbortSignal[] = []
  const pause = (ms: number, signal: AbortSignal): Promise<void> => {
    waits.push(ms)
    signals.push(signal)
    return Promise.resolve()
  }
  const app = new Hono<DashboardEnv>()
  app.use(async (c, next) => {
    c.set('now', now())
    c.set('visit', newVisit(now()))
    return await next()
  })
  app.use(userContext({ ...optionsFor(people.database.sql), required: true }), async (c, next) => {
    await ask(c, people.database.sql, { session: null, calls: [] })
    return await next()
  })
  app.route('/', live(people.database.sql, { now, pause, ...options }))
  const response = await app.request(`/live${query}`, { headers: { authorization: `Bearer ${token}` } })
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
  const reader = response.body!.getReader()
  const read = async (): Promise<string | null> => {
    const { done, value } = await reader.read()
    return done ? null : new TextDecoder().decode(value)
  }
  expect(await read()).toBe('retry: 3000\n\n')
  return {
    waits,
    signals,
    async next() {
      const said = await read()
      if (said === null) return 'the end'
      expect([':\n\n', 'event: changed\ndata: yes\n\n']).toContain(said)
      return said === ':\n\n' ? 'nothing' : 'changed'
    },
    leave: () => reader.cancel(),
  }
}
const listenAs = (who: Person, query?: string, more?: Partial<LiveOptions>) =>
  listen(people.tokenOf(who), query, more)

const call = (who: Person, kind: 'mcp' | 'api' = 'mcp'): Promise<string> =>
  people.call(who, {
    call: { kind },
    request: kind === 'mcp' ? { recordedSession: sessions.get(who)! } : {},
  })

/** Who of these hears of something, everybody having listened before it. */
async function whoHearsOf(something: () => Promise<unknown>): Promise<string[]> {
  const streams = await Promise.all(everybody.map(async (who) => ({ who, stream: await listenAs(who) })))
  await something()
  const heard = await Promise.all(
    streams.map(async ({ who, stream }) => {
      const said = await stream.next()
      await stream.leave()
      return said === 'changed' ? [who] : []
    }),
  )
  return heard.flat()
}

describe('an open page that listens', () => {
  it('is told nothing while nothing changes, and of a change once', async () => {
    const stream = await listenAs('Alice')
    expect([await stream.next(), await stream.next()]).toEqual(['nothing', 'nothing'])
    await call('Alice')
    expect([await stream.next(), await stream.next()]).toEqual(['changed', 'nothing'])
    // After it was told, a page loads itself: it is not asked to do so again at once.
    expect(stream.waits).toEqual([3000, 3000, 3000, 10_000])
    await stream.leave()
  })

  it.each([
    ['Alice', ['Alice', 'Mia', 'Fin', 'Ada']],
    ['Carl', ['Carl', 'Fin', 'Ada']],
    ['Mia', ['Mia', 'Fin', 'Ada']],
    ['Ada', ['Fin', 'Ada']],
  ] as const)('hears of calls of %s where its viewer may see their sums: %j', async (who, hear) => {
    expect(await whoHearsOf(() => call(who))).toEqual(hear)
    expect(await whoHearsOf(() => call(who, 'api'))).toEqual(hear)
  })

  it('hears of sessions that begin, turn idle and end', async () => {
    const session = { user_id: people.idOf('Alice'), department: 'sales' }
    const hear = ['Alice', 'Mia', 'Fin', 'Ada']
    let id = ''
    expect(
      await whoHearsOf(async () => {
        id = await writeSession(people.database.sql, session)
      }),
    ).toEqual(hear)
    const change = (columns: Record<string, Date>) =>
      people.database
        .owner`update archon_mcp_sessions set ${people.database.owner(columns)} where session_id = ${id}`
    // Nobody writes a row when time passes by: this is what it looks like then.
    const past = new Date(Date.now() - DAY / 24)
    expect(await whoHearsOf(() => change({ last_activity: past, connected_at: past }))).toEqual(hear)
    expect(await whoHearsOf(() => change({ disconnected_at: new Date() }))).toEqual(hear)
  })

  it('hears of limits that hold its viewer, and administrators of whatever is administered', async () => {
    const put = (scope: string, subject: string | null) => people.database.sql`
      select archon_mcp_put_quota(null, null, 'budget', ${scope}, ${subject}, 'cost', 2, 'month', 'UTC', null, null,
        null, null, null, null, 'warn', '{0.8}')`
    expect(await whoHearsOf(() => put('everyone', null))).toEqual(everybody)
    expect(await whoHearsOf(() => put('department', 'research'))).toEqual(['Carl', 'Fin', 'Ada'])
    const change = { department: 'field research' }
    expect(await whoHearsOf(() => changeUser(people.database.sql, people.idOf('Carl'), change, BY))).toEqual([
      // Whom the limit of research holds no longer.
      'Carl',
      'Ada',
    ])
    await changeUser(people.database.sql, people.idOf('Carl'), { department: null }, BY)
  })

  it('of one session hears of that one alone', async () => {
    const streams = await Promise.all([
      listenAs('Ada', `?session=${sessions.get('Alice')}`),
      listenAs('Ada', `?session=${sessions.get('Carl')}`),
      listenAs('Carl', `?session=${sessions.get('Alice')}`),
      listen(await serviceToken()),
    ])
    await call('Alice')
    const said = await Promise.all(streams.map((stream) => stream.next()))
    expect(said).toEqual(['changed', 'nothing', 'nothing', 'changed'])
    await Promise.all(streams.map((stream) => stream.leave()))
  })
})

describe('the stream', () => {
  it('ends after some minutes, and browsers open another one', async () => {
    let now = new Date()
    const stream = await listenAs('Alice', '', { now: () => now })
    now = new Date(now.getTime() + 4.9 * 60_000)
    expect(await stream.next()).toBe('nothing')
    now = new Date(now.getTime() + 6_000)
    expect(await stream.next()).toBe('the end')
  })

  it('ends when its viewer is blocked, or cut off', async () => {
    const stream = await listenAs('Carl')
    await changeUser(people.database.sql, people.idOf('Carl'), { blocked: true }, BY)
    expect(await stream.next()).toBe('the end')
    await changeUser(people.database.sql, people.idOf('Carl'), { blocked: false }, BY)
    const another = await listenAs('Carl')
    await revokeUser(people.database.sql, people.idOf('Carl'), BY)
    expect(await another.next()).toBe('the end')
  })

  it('ends with the access token of its viewer', async () => {
    const by = { kind: 'user', id: people.idOf('Ada') } as const
    const owner = { userId: people.idOf('Ada') }
    const request = { owner, name: 'laptop', scopes: [], lifeDays: 1 }
    const made = await createAccessToken(people.database.sql, request, { by })
    if ('fault' in made) throw new Error(made.fault)
    const stream = await listen(made.token)
    expect(await stream.next()).toBe('nothing')
    await revokeAccessToken(people.database.sql, made.id, null, by)
    expect(await stream.next()).toBe('the end')
  })

  it('ends with the server, which waits for nobody who listens', async () => {
    const stopping = new AbortController()
    const stream = await listenAs('Alice', '', { stopping: stopping.signal })
    expect(await stream.next()).toBe('nothing')
    stopping.abort()
    expect(stream.signals[0]!.aborted).toBe(true)
    expect(await stream.next()).toBe('the end')
  })

  it('asks no more once its page has left', async () => {
    const stream = await listenAs('Alice')
    await stream.next()
    await stream.leave()
    expect([stream.signals[0]!.aborted, stream.waits.length]).toEqual([true, 1])
  })

  it('is for whoever is signed in, and tells all others to stop', async () => {
    const app = dashboardApp(people.database.sql)
    const headers = { accept: 'text/event-stream' }
    expect((await app.request('/dashboard/live', { headers })).status).toBe(204)
    const visitor = await signedInAs(app, people.tokenOf('Alice'))
    const cookie = visitor.cookies()
    const response = await app.request('/dashboard/live', { headers: { ...headers, cookie } })
    expect([response.status, response.headers.get('cache-control')]).toEqual([200, 'no-store'])
    await response.body!.cancel()
    // Somebody who looks at the address is shown the sign-in.
    expect((await visitorOf(app).get('/live')).status).toBe(303)
  })
})

it('is listened to by pages that go on, and not by those of a time that is over', async () => {
  const visitor = await signedInAs(dashboardApp(people.database.sql), people.tokenOf('Ada'))
  const listensAt = async (path: string): Promise<boolean> =>
    (await visitor.get(path)).html.includes('data-live')
  for (const page of ['', '/clients', '/costs', '/users', '/limits', '/log']) {
    expect([page, await listensAt(page)]).toEqual([page, true])
  }
  for (const page of ['', '/costs', '/users', '/log']) {
    expect([page, await listensAt(`${page}?period=last-month`)]).toEqual([page, false])
  }
  const { html } = await visitor.get(`/clients/${sessions.get('Alice')}`)
  expect(html).toContain(`data-live="session=${sessions.get('Alice')}"`)
})
