import * as fc from 'fast-check'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { Problem } from '../../src/api/answers/parts.ts'
import { openApi } from '../../src/api/openapi.ts'
import { refusalsOf, type Route } from '../../src/api/route.ts'
import { ROUTES } from '../../src/api/routes.ts'
import { patience, tries } from '../support/deep.ts'
import { fromSchema, HOSTILE, type Mood, type Schema } from '../support/from-schema.ts'
import { type Asker, inReach, leaksIn, makeWorld, type World } from './leak-world.ts'
import { useApi, userId, userToken } from './support.ts'

const api = useApi()
let world: World
/** Somebody whom administrators may change as they like. */
let decoy: string
beforeAll(async () => {
  world = await makeWorld(api.app, api.database.owner)
  decoy = await userId(api.app, await userToken('Decoy'))
})
afterEach(() => void vi.restoreAllMocks())

interface Operation {
  parameters?: { name: string; in: string; required?: boolean; schema: Schema }[]
  requestBody?: { content: Record<string, { schema: Schema }> }
}
const { paths } = openApi(ROUTES) as { paths: Record<string, Record<string, Operation>> }
const operationOf = ({ method, path }: Route): Operation =>
  paths[path.replace(/:(\w+)/, '{$1}')]?.[method.toLowerCase()] ?? {}

/** What is sent; who and whose are numbers, since the world is there only when the test runs. */
interface Sent {
  asker: number
  id: { kind: 'own' | 'other' | 'raw'; raw: string }
  query: [string, unknown][]
  body: string | undefined
  headers: Record<string, string>
}

const idOf = fc.record({
  kind: fc.constantFrom('own' as const, 'other' as const, 'other' as const, 'raw' as const),
  raw: fc.oneof(fc.uuid(), fc.constantFrom(...HOSTILE)),
})

const headers = fc.record(
  {
    'content-type': fc.constantFrom(
      'application/json',
      'application/json;charset=utf-8',
      'text/plain',
      '',
      'application/xml',
    ),
    accept: fc.constantFrom('*/*', 'text/csv', 'text/html'),
    'x-request-id': fc.constantFrom('abc', 'a b', '<x>', 'a'.repeat(500)),
    'x-forwarded-for': fc.constantFrom('127.0.0.1', "'--"),
    'accept-language': fc.constantFrom('de', '*'),
    'content-length': fc.constantFrom('0', '5', '99999999', '-1', 'x'),
  },
  { requiredKeys: [] },
)

/** People of the world, by names that are put in place of what a schema takes for an id or a subject. */
const SOMEBODY = ['@alice', '@carl', '@mia'] as const
const withPeople = (sent: string): string =>
  sent.replace(
    /(?:@|%40)(alice|carl|mia)/g,
    (_, name: 'alice' | 'carl' | 'mia') => world.people[name].marks.id,
  )

/** A value of a parameter or a field; who is asked about is somebody. */
const valueFor = (name: string, schema: Schema, mood: Mood): fc.Arbitrary<unknown> =>
  name === 'user_id'
    ? fc.oneof(fc.constantFrom(...SOMEBODY), fromSchema(schema, mood))
    : fromSchema(schema, mood)

function queryOf({ parameters = [] }: Operation, mood: Mood): fc.Arbitrary<[string, unknown][]> {
  const asked = parameters.filter((parameter) => parameter.in === 'query')
  const values = asked.map(({ name, schema }) => [name, valueFor(name, schema, mood)] as const)
  const requiredKeys = mood === 'tame' ? asked.flatMap(({ name, required }) => (required ? [name] : [])) : []
  return fc
    .record<Record<string, unknown>>(Object.fromEntries(values), { requiredKeys })
    .map((query) => Object.entries(query))
}

function bodyOf({ requestBody }: Operation, mood: Mood): fc.Arbitrary<string | undefined> {
  const schema = requestBody?.content['application/json']?.schema
  if (schema === undefined) return fc.constantFrom(undefined, '{}')
  const written = fromSchema(schema, mood).map((value) => JSON.stringify(value))
  if (mood === 'tame') return written
  return fc.oneof(
    { weight: 10, arbitrary: written },
    {
      weight: 1,
      arbitrary: fc.constantFrom('', '{', '[]', 'null', '"x"', '{"__proto__":{"a":1}}', '\0', undefined),
    },
  )
}

const sentIn = (operation: Operation, mood: Mood): fc.Arbitrary<Sent> =>
  fc.record({
    // Two more than there are: nobody, and somebody whose token is no good.
    asker: fc.nat({ max: mood === 'tame' ? 4 : 6 }),
    id: mood === 'tame' ? idOf.filter(({ kind }) => kind !== 'raw') : idOf,
    query: queryOf(operation, mood),
    body: bodyOf(operation, mood),
    headers:
      mood === 'tame'
        ? fc.constant<Record<string, string>>({ 'content-type': 'application/json' })
        : (headers as fc.Arbitrary<Record<string, string>>),
  })

const sentTo = (route: Route): fc.Arbitrary<Sent> =>
  fc.oneof(sentIn(operationOf(route), 'tame'), sentIn(operationOf(route), 'wild'))

const written = (value: unknown): string =>
  (typeof value === 'string' ? value : JSON.stringify(value)).toWellFormed()

/** A thing of the asker or of somebody else, of the kind that the path is about; only a decoy is ever changed. */
function addressOf({ method, path }: Route, { id, query }: Sent, asker: Asker | undefined): string {
  const { alice, carl } = world.people
  const person = id.kind === 'own' ? (asker?.person ?? alice) : carl
  const thing = path.startsWith('/sessions')
    ? person.session
    : path.startsWith('/quotas')
      ? person.quota
      : path.startsWith('/tokens')
        ? person.accessToken
        : method === 'GET'
          ? person.marks.id
          : decoy
  const chosen = id.kind === 'raw' ? encodeURIComponent(id.raw.toWellFormed()) || '%00' : thing
  const search = query.map(([name, value]) => `${name}=${encodeURIComponent(written(value))}`).join('&')
  return `/api/mcp${path.replace(/:\w+/, () => chosen)}${search === '' ? '' : `?${search}`}`
}

async function send(route: Route, sent: Sent): Promise<void> {
  const asker = world.askers[sent.asker]
  const token = asker?.token ?? (sent.asker === 6 ? 'no.good.token' : undefined)
  const { method } = route
  const address = withPeople(addressOf(route, sent, asker))
  const response = await api.app.request(address, {
    method,
    headers: { ...sent.headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    ...(method === 'GET' || sent.body === undefined ? {} : { body: withPeople(sent.body) }),
  })
  const text = await response.text()
  const note = `${asker?.role ?? 'nobody'} ${method} ${address}: ${response.status} ${text.slice(0, 300)}`
  expect(response.status, note).toBeLessThan(500)
  const leaks =
    asker === undefined
      ? leaksIn(world, world.askers[0]!, text, [])
      : leaksIn(world, asker, text, inReach(world, route, asker))
  expect(leaks, note).toEqual([])
  if (response.status >= 400) {
    expect(response.headers.get('content-type'), note).toBe('application/problem+json')
    const { code, request_id } = Problem.parse(JSON.parse(text))
    expect(request_id, note).toBe(response.headers.get('x-request-id'))
    // A hostile id may lead to no route at all.
    expect([...refusalsOf(route), 'not_found'], note).toContain(code)
    expect(text, note).not.toMatch(/postgres|\.ts:\d|select .* from|syntax error/i)
  }
}

describe('whatever is sent to', () => {
  it.each(ROUTES)(
    '$method $path, it answers as promised, and tells nothing of anybody out of reach',
    async (route) => {
      const log = vi.spyOn(console, 'error').mockImplementation(() => {})
      await fc.assert(
        fc.asyncProperty(sentTo(route), (sent) => send(route, sent)),
        tries(12, 1000),
      )
      expect(log.mock.calls).toEqual([])
    },
    patience,
  )
})
