// REST says the same with row-level security on and off: the reports hold callers to the rule by themselves.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ROUTES } from '../../src/api/routes.ts'
import { COST_GROUPS } from '../../src/reports/costs.ts'
import { apiApp, serviceToken, userToken } from '../api/support.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { type Name, populate, type People, STAFF } from './people.ts'

let database: TestDatabase
let people: People
let addresses: string[]
beforeAll(async () => {
  database = await createTestDatabase()
  people = await populate(database)
  const ids = async (table: string, column: string): Promise<string[]> => {
    const rows = await database.owner<{ id: string }[]>`
      select ${database.owner(column)} as id from ${database.owner(table)} order by 1`
    return rows.map(({ id }) => id)
  }
  const named: Record<string, string[]> = {
    '/users': (['Alice', 'Carl', 'Eve', 'Fin'] as const).map((name) => people.id(name)),
    '/sessions': await ids('archon_mcp_sessions', 'session_id'),
    '/quotas': await ids('archon_mcp_quotas', 'quota_id'),
    '/tokens': await ids('archon_mcp_access_tokens', 'token_id'),
  }
  addresses = ROUTES.filter(({ method, path }) => method === 'GET' && !path.endsWith('/export')).flatMap(
    ({ path, csv }) => {
      const [, start = '', rest] = /^(\/[^:]*[^:/])(?:\/:\w+(.*))?$/.exec(path) ?? []
      const paths = rest === undefined ? [path] : (named[start] ?? []).map((id) => `${start}/${id}${rest}`)
      const queries = path === '/costs' ? COST_GROUPS.map((group) => `?group_by=${group}`) : ['']
      return paths.flatMap((one) =>
        queries.flatMap((query) => [
          one + query,
          ...(csv === true ? [`${one}${query}${query === '' ? '?' : '&'}format=csv`] : []),
        ]),
      )
    },
  )
}, 60_000)
afterAll(() => database[Symbol.asyncDispose]())

/** What goes on by itself between two questions. */
const still = (text: string): string =>
  text
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z/g, 'a moment')
    .replaceAll(/"(?:age_minutes|uptime_minutes|server_uptime_seconds|\w*request_id)":[^,}]+/g, '')

async function answersTo(token: string): Promise<Map<string, string>> {
  const app = apiApp(database.sql)
  const answers = new Map<string, string>()
  for (const address of addresses) {
    const response = await app.request(`/api/mcp${address}`, {
      headers: { authorization: `Bearer ${token}` },
    })
    answers.set(address, still(`${response.status} ${await response.text()}`))
  }
  return answers
}

const ASKERS = ['Alice', 'Eve', 'Mona', 'Max', 'Fin', 'Ada', 'a service'] as const
const tokenOf = (who: (typeof ASKERS)[number]): Promise<string> => {
  if (who === 'a service') return serviceToken()
  const claims: Record<string, string> = STAFF[who satisfies Name]
  return userToken(who.toLowerCase(), who === 'Eve' ? { department: 'Research' } : claims)
}

it.each(ASKERS)('%s is told the same', async (who) => {
  const token = await tokenOf(who)
  await database.owner`select archon_mcp_enable_rls()`
  const on = await answersTo(token)
  await database.owner`select archon_mcp_disable_rls()`
  const off = await answersTo(token)
  expect(addresses.length).toBeGreaterThan(60)
  expect([...on.values()].filter((answer) => answer.startsWith('200')).length).toBeGreaterThan(20)
  expect([...on.values()].filter((answer) => answer.startsWith('5'))).toEqual([])
  expect(Object.fromEntries(off)).toEqual(Object.fromEntries(on))
})
