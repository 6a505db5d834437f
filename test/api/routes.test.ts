import { describe, expect, it } from 'vitest'
import { reachOf } from '../../src/api/route.ts'
import { ROUTES } from '../../src/api/routes.ts'
import type { Role } from '../../src/variables.ts'
import { expectProblem, refusesStrangers, send, serviceToken, useApi, userToken } from './support.ts'

const api = useApi()
const NOBODYS = '00000000-0000-4000-8000-000000000000'
const ROLES: Role[] = ['member', 'manager', 'finance', 'admin', 'service']

const tokenOf = async (role: Role): Promise<string> => {
  if (role === 'service') return await serviceToken()
  return await userToken(role, role === 'member' ? {} : { role, department: 'sales' })
}

/** An address that the route has, with an id that nobody has. */
const addressOf = ({ method, path }: { method: string; path: string }): string =>
  `${method} ${path.replace(/:\w+/, NOBODYS)}`

describe('the table of routes', () => {
  it('has each once', () => {
    const names = ROUTES.map(({ method, path }) => `${method} ${path}`)
    expect(new Set(names).size).toBe(names.length)
  })

  const refused = ROUTES.flatMap((route) =>
    ROLES.filter((role) => reachOf(route, role) === null).map((role) => ({ ...route, role })),
  )
  it.each(refused)('$method $path refuses a $role, and tells nothing of what was sent', async (route) => {
    const body = route.body === undefined ? {} : { body: '{ no JSON', headers: { 'content-type': 'text/x' } }
    const answer = await send(api.app, `${addressOf(route)}?limit=x`, {
      token: await tokenOf(route.role),
      ...body,
    })
    expectProblem(answer, 403, 'forbidden')
    expect(JSON.stringify(answer.body)).not.toMatch(/JSON|Content-Type|limit/)
  })

  for (const route of ROUTES) refusesStrangers(api, addressOf(route))
})
