import { beforeAll, describe, expect, it } from 'vitest'
import { idIn, reachOf, type Route } from '../../src/api/route.ts'
import { ROUTES } from '../../src/api/routes.ts'
import { EXPECTATIONS, type Expectation, type Make } from './leak-expectations.ts'
import {
  type Asker,
  covers,
  inReach,
  leaksIn,
  makeWorld,
  type Marks,
  NAMES,
  quotaBody,
  type World,
} from './leak-world.ts'
import { send, useApi, userId, userToken } from './support.ts'

const api = useApi()
let world: World
beforeAll(async () => {
  world = await makeWorld(api.app, api.database.owner)
})

interface Told {
  status: number
  text: string
}

async function ask(
  { method, path }: Route,
  { token, id = '', query = '', body }: { token?: string; id?: string; query?: string; body?: unknown },
): Promise<Told> {
  const address = `/api/mcp${path.replace(/:\w+/, id)}${query}`
  const response = await api.app.request(address, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      'content-type': 'application/json',
      // So that nothing but what is there can make two answers differ.
      'x-request-id': 'the-same',
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, text: await response.text() }
}

const make: Make = {
  async quota({ marks }) {
    const body = quotaBody(marks.id, 'cost')
    const made = await send(api.app, 'PUT /quotas', { token: world.admin, body })
    return (made.body as unknown as { quota_id: string }).quota_id
  },
  async accessToken({ token }) {
    const made = await send(api.app, 'POST /tokens', { token, body: { name: 'spare' } })
    return (made.body as unknown as { token_id: string }).token_id
  },
  leaver: async () => await userId(api.app, await userToken(`Leaver ${crypto.randomUUID()}`)),
}

/** Whose marks of a kind stand in an answer. */
const shown = (text: string, kind: keyof Marks) =>
  NAMES.filter((name) => text.includes(world.people[name].marks[kind]))

function expectNoLeak(
  route: Route,
  asker: Asker,
  { text }: Told,
  allowed = inReach(world, route, asker),
): void {
  expect(leaksIn(world, asker, text, allowed), `${asker.role}: ${text}`).toEqual([])
}

async function checkList(
  route: Route,
  asker: Asker,
  { shows, about }: Extract<Expectation, { shows: unknown }>,
) {
  for (const [query, kind] of Object.entries(shows)) {
    const told = await ask(route, { token: asker.token, query })
    expect(told.status, `${asker.role} ${query} ${told.text}`).toBe(200)
    if (kind !== 'nothing')
      expect(shown(told.text, kind), `${asker.role} ${query}`).toEqual(inReach(world, route, asker))
    expectNoLeak(route, asker, told)
  }
  if (about === undefined) return
  const [kind] = Object.values(shows)
  for (const name of NAMES) {
    const told = await ask(route, { token: asker.token, query: about(world.people[name]) })
    expect(told.status, told.text).toBe(200)
    const expected = inReach(world, route, asker).filter((one) => one === name)
    if (kind !== 'nothing' && kind !== undefined) expect(shown(told.text, kind), asker.role).toEqual(expected)
    expectNoLeak(route, asker, told, expected)
  }
}

async function checkThing(
  route: Route,
  asker: Asker,
  { thing, query = '', body, sight }: Extract<Expectation, { thing: unknown }>,
) {
  const asked = { token: asker.token, query, body }
  const unknown = await ask(route, { ...asked, id: crypto.randomUUID() })
  expect(unknown.status).toBe(404)
  for (const name of NAMES) {
    const target = world.people[name]
    const told = await ask(route, { ...asked, id: await thing(target, make) })
    const note = `${asker.role} on ${name}: ${told.text}`
    if (covers(reachOf(route, asker.role), asker, target)) expect([200, 204], note).toContain(told.status)
    else if (sight !== undefined && covers(sight[asker.role], asker, target))
      expect(told.status, note).toBe(403)
    else expect(told, note).toEqual(unknown)
    expectNoLeak(route, asker, told)
  }
}

describe('the leak matrix', () => {
  it('has a line for every route, and for no other', () => {
    const routes = ROUTES.map(({ method, path }) => `${method} ${path}`)
    expect(Object.keys(EXPECTATIONS).toSorted()).toEqual(routes.toSorted())
  })

  it.each(ROUTES)('$method $path shows everybody what is in their reach, and no more', async (route) => {
    const expectation = EXPECTATIONS[`${route.method} ${route.path}`]
    if (expectation === undefined) throw new Error('has no line in EXPECTATIONS')
    const id = idIn(route.path) === undefined ? '' : world.people.alice.marks.id
    expect((await ask(route, { id })).status, 'without a token').toBe(401)
    for (const asker of world.askers) {
      if (reachOf(route, asker.role) === null) {
        const told = await ask(route, { token: asker.token, id })
        expect(told.status, `${asker.role} ${told.text}`).toBe(403)
        expectNoLeak(route, asker, told)
      } else if ('shows' in expectation) await checkList(route, asker, expectation)
      else if ('thing' in expectation) await checkThing(route, asker, expectation)
      else {
        const { does } = expectation
        const told = await ask(route, { token: asker.token, body: does(asker.role) })
        expect([200, 201], `${asker.role} ${told.text}`).toContain(told.status)
        expectNoLeak(route, asker, told)
      }
    }
  })
})
