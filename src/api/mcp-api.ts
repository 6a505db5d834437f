import { Hono, type MiddlewareHandler } from 'hono'
import { ask } from '../admission.ts'
import { readingFrom } from '../as-caller.ts'
import type { AuthenticatorOptions } from '../auth/authenticator.ts'
import { browserGuard, type BrowserGuardOptions } from '../auth/origin.ts'
import { userContext } from '../auth/user-context.ts'
import type { SqlSource } from '../db/client.ts'
import { problem } from '../errors.ts'
import { requestId } from '../request-id.ts'
import type { SessionRules } from '../sessions/life-cycle.ts'
import type { ApiEnv } from './env.ts'
import { failure } from './failure.ts'
import { mount } from './mount.ts'
import { openApiDocument } from './openapi-document.ts'
import { ROUTES } from './routes.ts'

/** What `mcpApi()` needs: the options of `mcpUserContext()` will do. */
export interface McpApiOptions extends AuthenticatorOptions, BrowserGuardOptions {
  /** One pool on Node and Bun; on Workers a function that gives the client of the request. */
  sql: SqlSource
  /**
   * Where reports are read: a replica of the same database, with the same login. Who is calling, and what they change,
   * stays with `sql`.
   * @default sql
   */
  reportsSql?: SqlSource | undefined
  /** How long sessions live without a call. */
  session?: SessionRules
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/**
 * Reads the caller's row, and makes it at first sight: role and department are the database's, and who is blocked or
 * revoked is so at once.
 */
const knowCaller = (sql: SqlSource): MiddlewareHandler =>
  async function knowCaller(c, next) {
    const refusal = await ask(c, sql, { session: null, calls: [] })
    if (refusal !== null) return problem(refusal)
    c.header('cache-control', 'no-store')
    return await next()
  }

/**
 * The REST API. It takes the options of `mcpUserContext()`, so that both know the same callers; a token is required
 * here even where `/mcp` lets anonymous callers pass. Refusals are RFC 9457 problem details.
 * @returns routes to mount under a path of your choice.
 * @throws TypeError at creation, naming every fault of the options.
 * @example
 * ```ts
 * app.route('/api/mcp', mcpApi({ sql, tokens: { secret, issuer, audience: resource }, resource }))
 * ```
 */
export function mcpApi(options: McpApiOptions): Hono<ApiEnv> {
  const { sql, session = {}, now = () => new Date() } = options
  // A client for each request means a runtime that may start and stop for each one too.
  const startedAt = 'options' in sql ? now().getTime() : null
  const api = new Hono<ApiEnv>()
  api.onError(failure)
  api.use(requestId, browserGuard({ ...options, refuse: 'problem', methods: METHODS }))
  api.get('/openapi.json', openApiDocument(ROUTES))
  api.use(userContext({ ...options, required: true, refuse: 'problem' }), knowCaller(sql))
  api.use(readingFrom(options.reportsSql))
  mount(api, ROUTES, {
    sql,
    session,
    uptimeSeconds: () => (startedAt === null ? null : Math.floor((now().getTime() - startedAt) / 1000)),
  })
  // Not notFound(), which an app that mounts this one does not see.
  api.all('*', () => problem({ code: 'not_found' }))
  return api
}
