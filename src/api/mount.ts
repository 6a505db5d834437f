import type { Hono, MiddlewareHandler } from 'hono'
import { problem } from '../errors.ts'
import { isUuid } from '../uuid.ts'
import type { ApiEnv } from './env.ts'
import { type ApiServer, idIn, reachOf, type Route } from './route.ts'
import { jsonBody, validate } from './validate.ts'

const inWords = new Intl.ListFormat('en', { type: 'conjunction' })

/** Before anything of the request is read: nobody else is told what is wrong with it, nor what is there. */
const guard = (route: Route): MiddlewareHandler<ApiEnv> =>
  async function guard(c, next) {
    const { caller, user } = c.var
    const role = caller.kind === 'service' ? 'service' : user?.role
    if (role !== undefined && reachOf(route, role) !== null) return await next()
    const roles = inWords.format(Object.keys(route.roles))
    return problem({ code: 'forbidden', detail: `This is for the roles ${roles}.` })
  }

/** An id that cannot be is unknown, like one that is not there or that the caller may not see. */
const knownId = (name: string, { unknown = 'not_found' }: Route): MiddlewareHandler<ApiEnv> =>
  async function knownId(c, next) {
    return isUuid(c.req.param(name) ?? '') ? await next() : problem({ code: unknown })
  }

/** Adds a route: who calls is judged first, then the id, the query and the body, each before the next is read. */
function mountOne(api: Hono<ApiEnv>, route: Route, server: ApiServer): void {
  const { method, path, query, body } = route
  const id = idIn(path)
  api.on(
    method,
    [path],
    guard(route),
    ...(id === undefined ? [] : [knownId(id, route)]),
    ...(query === undefined ? [] : [validate('query', query)]),
    ...(body === undefined ? [] : [jsonBody, validate('json', body)]),
    (c) =>
      route.handle(
        c,
        {
          query: query === undefined ? undefined : c.req.valid('query' as never),
          body: body === undefined ? undefined : c.req.valid('json' as never),
          id: id === undefined ? '' : (c.req.param(id) ?? ''),
        },
        server,
      ),
  )
}

const hasId = ({ path }: Route): boolean => idIn(path) !== undefined

/** Adds routes. Names go before ids: `/sessions/health` is no session. */
export function mount(api: Hono<ApiEnv>, routes: readonly Route[], server: ApiServer): void {
  for (const route of routes.filter((one) => !hasId(one))) mountOne(api, route, server)
  for (const route of routes.filter(hasId)) mountOne(api, route, server)
}
