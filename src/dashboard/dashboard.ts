import { Hono } from 'hono'
import { readingFrom } from '../as-caller.ts'
import { assets } from './assets.ts'
import type { DashboardEnv, DashboardOptions } from './env.ts'
import { formGuard } from './form-guard.ts'
import { createVouch, failed, signedIn, visitor } from './guard.ts'
import { client } from './pages/client.ts'
import { clients } from './pages/clients.ts'
import { live } from './live.ts'
import { audit } from './pages/audit.ts'
import { costs } from './pages/costs.ts'
import { data } from './pages/data.ts'
import { limit } from './pages/limit.ts'
import { limitForm } from './pages/limit-form.ts'
import { limits } from './pages/limits.ts'
import { log } from './pages/log.ts'
import { notFound } from './pages/message.ts'
import { overview } from './pages/overview.ts'
import { prices } from './pages/prices.ts'
import { tokens } from './pages/tokens.ts'
import { user } from './pages/user.ts'
import { userActions } from './pages/user-actions.ts'
import { users } from './pages/users.ts'
import { securityHeaders } from './security.ts'
import { createProvider } from './sign-in/provider.ts'
import { providerRoutes } from './sign-in/provider-routes.ts'
import { isDue, renewed } from './sign-in/renewal.ts'
import { signInRoutes } from './sign-in/routes.ts'
import { createVisitCookie } from './sign-in/visit.ts'

export type { DashboardOptions, OidcOptions, SampleUser } from './env.ts'

const MIN_KEY_BYTES = 32

const PAGES = [
  overview,
  clients,
  client,
  costs,
  users,
  user,
  userActions,
  limits,
  limitForm,
  limit,
  prices,
  log,
  tokens,
  audit,
  data,
]

const optionFaults = ({ cookieKey, sql }: DashboardOptions): string[] => [
  ...(typeof sql === 'function' ? [] : ['sql must be a postgres.js client, or a function that gives one']),
  ...(typeof cookieKey === 'string' && new TextEncoder().encode(cookieKey).length >= MIN_KEY_BYTES
    ? []
    : [`cookieKey must be at least ${MIN_KEY_BYTES} bytes long, such as from openssl rand -base64 48`]),
]

/**
 * The dashboard: server-rendered pages over the same reports as REST, which show everybody what their role may see.
 * Nothing is loaded from another host, and no script is needed but for the live update.
 * @returns routes to mount under a path of your choice.
 * @throws TypeError at creation, naming every fault of the options.
 * @example
 * ```ts
 * app.route('/dashboard', dashboard({ ...options, cookieKey: process.env.COOKIE_KEY! }))
 * ```
 */
export function dashboard(options: DashboardOptions): Hono<DashboardEnv> {
  const faults = optionFaults(options)
  if (faults.length > 0) throw new TypeError(`dashboard: ${faults.join('; ')}`)
  const { sql, cookieKey, resource, oidc, stopping, now = () => new Date() } = options
  const vouch = createVouch(options)
  const cookie = createVisitCookie(cookieKey, { secure: new URL(resource).protocol === 'https:' })
  const provider = oidc === undefined ? null : createProvider(oidc, now)
  const app = new Hono<DashboardEnv>()
  app.onError(failed)
  app.use(securityHeaders)
  app.route('/', assets())
  app.use(visitor(cookie, now), formGuard)
  if (provider !== null) app.route('/', providerRoutes(options, provider, cookie, vouch))
  app.route('/', signInRoutes(options, cookie, vouch))
  app.use(
    signedIn(options, vouch, async (c) => {
      const { visit, now, base } = c.var
      if (provider === null || !isDue(visit, now)) return visit
      const next = await renewed(visit, provider, vouch, now)
      if (next !== null) await cookie.write(c, base, next)
      return next
    }),
  )
  app.route('/', live(sql, { now, stopping }))
  app.use(readingFrom(options.reportsSql))
  for (const pages of PAGES) app.route('/', pages(sql))
  // Not notFound(), which an app that mounts this one does not see.
  app.all('*', (c) =>
    c.req.path === `${c.var.base}/` ? c.redirect(c.var.base + new URL(c.req.url).search, 302) : notFound(c),
  )
  return app
}
