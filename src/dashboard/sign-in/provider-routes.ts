import { type Context, Hono } from 'hono'
import { isLoopback } from '../../auth/token-options.ts'
import type { DashboardEnv, DashboardOptions } from '../env.ts'
import type { Vouch } from '../guard.ts'
import { messagePage } from '../pages/message.ts'
import { newCodeRequest, type Provider } from './provider.ts'
import { credentialOf, kept } from './renewal.ts'
import { enter, localPath } from './routes.ts'
import { goOnPage } from './page.ts'
import { newVisit, VISIT_SECONDS, type VisitCookie } from './visit.ts'

/**
 * Where the provider sends people back to: the public origin, whatever a proxy made of the request; on this machine
 * the name by which it was asked for, to which the cookie belongs.
 */
function addressOf(c: Context<DashboardEnv>, { resource }: DashboardOptions, path: string): string {
  const asked = new URL(c.req.url)
  const { origin } = isLoopback(asked.hostname) ? asked : new URL(resource)
  return `${origin}${c.var.base}${path}`
}
const callbackOf = (c: Context<DashboardEnv>, options: DashboardOptions): string =>
  addressOf(c, options, '/callback')

const noProvider = (error: unknown): null => {
  console.error(
    `mcp-user-context: the sign-in provider fails: ${error instanceof Error ? error.message : 'unknown error'}`,
  )
  return null
}

/** `/sign-in/start` and `/callback`: to the provider and back; `/sign-out`: from both. */
export const providerRoutes = (
  options: DashboardOptions,
  provider: Provider,
  cookie: VisitCookie,
  vouch: Vouch,
) =>
  new Hono<DashboardEnv>()
    // A link, not a form: `form-action` would hold for the redirect to the provider too.
    .get('/sign-in/start', async (c) => {
      const request = newCodeRequest(callbackOf(c, options))
      const { redirectUri: _, ...pending } = request
      const address = await provider.authorizationUrl(request).catch(noProvider)
      if (address === null) {
        return messagePage(c, {
          status: 503,
          title: 'The sign-in is out of reach',
          text: 'Your organisation’s sign-in does not answer. Try again in a moment.',
        })
      }
      const visit = { ...newVisit(c.var.now), pending: { ...pending, to: localPath(c.req.query('to')) } }
      await cookie.write(c, c.var.base, visit)
      return c.redirect(address.href, 303)
    })
    .get('/callback', async (c) => {
      const { pending } = c.var.visit
      const redirectUri = callbackOf(c, options)
      const callback = new URL(redirectUri)
      callback.search = new URL(c.req.url).search
      const tokens =
        pending === undefined
          ? null
          : await provider.exchange(callback, { ...pending, redirectUri }).catch(noProvider)
      const credential = tokens === null ? null : await credentialOf(tokens, vouch)
      if (pending === undefined || tokens === null || credential === null) {
        return c.redirect(`${c.var.base}/sign-in?reason=refused`, 303)
      }
      const now = Math.floor(c.var.now.getTime() / 1000)
      // What cannot be renewed ends with its token, what can only with the visit.
      const lasts =
        tokens.refreshToken !== undefined || credential.kind === 'claims' ? VISIT_SECONDS : tokens.expiresIn
      const end = lasts === undefined ? undefined : now + lasts
      const signedIn = { credential, ...kept(tokens, c.var.now) }
      return await enter(c, cookie, signedIn, end, pending.to)
    })
    .post('/sign-out', async (c, next) => {
      const { fromProvider } = c.var.visit
      if (fromProvider === undefined) return await next()
      const redirectUri = addressOf(c, options, '/sign-in')
      const away = await provider
        .signOutUrl({ idToken: fromProvider.idToken, redirectUri, state: 'out' })
        .catch(noProvider)
      if (away === null) return await next()
      await cookie.write(c, c.var.base, newVisit(c.var.now))
      return goOnPage(c, away)
    })
