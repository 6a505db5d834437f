import { type Context, Hono } from 'hono'
import type { DashboardEnv, DashboardOptions } from '../env.ts'
import { field } from '../form-fields.ts'
import type { Vouch } from '../guard.ts'
import { homeOf } from '../navigation.ts'
import { signInPage } from './page.ts'
import { type Credential, newVisit, VISIT_SECONDS, type Visit, type VisitCookie } from './visit.ts'

/** Where to go after the sign-in: below the dashboard, whatever an address says. */
export const localPath = (to: string | undefined): string =>
  to !== undefined && /^\/(?![/\\])[^\\\r\n]*$/.test(to) && !to.startsWith('/sign-') ? to : '/'

/** How long a credential is good: until its token ends, half a day at most. */
const lastsUntil = (expiresAt: number | undefined, now: Date): number => {
  const longest = Math.floor(now.getTime() / 1000) + VISIT_SECONDS
  return Math.min(expiresAt ?? longest, longest)
}

/** Makes a new visit of whoever signs in, so that no form and no cookie from before goes on. */
export async function enter(
  c: Context<DashboardEnv>,
  cookie: VisitCookie,
  signedIn: Omit<Visit, 'id' | 'expiresAt'> & { credential: Credential },
  expiresAt: number | undefined,
  to: string,
): Promise<Response> {
  const visit = { ...newVisit(c.var.now), ...signedIn, expiresAt: lastsUntil(expiresAt, c.var.now) }
  await cookie.write(c, c.var.base, visit)
  return c.redirect(to === '/' ? homeOf(c.var.base) : `${c.var.base}${to}`, 303)
}

/** `/sign-in` and `/sign-out`. */
export const signInRoutes = (options: DashboardOptions, cookie: VisitCookie, vouch: Vouch) =>
  new Hono<DashboardEnv>()
    .get('/sign-in', async (c) => {
      // A provider that has signed somebody out gives back the state, and nothing else.
      const { to, state, reason = state } = c.req.query()
      // The form's key is of this visit, which the cookie must bring back.
      await cookie.write(c, c.var.base, {
        ...c.var.visit,
        credential: undefined,
        refreshToken: undefined,
        fromProvider: undefined,
      })
      return signInPage(c, options, { to: localPath(to), reason })
    })
    .post('/sign-in', async (c) => {
      const to = localPath(await field(c, 'to'))
      const sample = options.sampleUsers?.[Number((await field(c, 'sample')) || -1)]
      // As people copy it from a header.
      const token = sample?.token ?? (await field(c, 'token')).replace(/^Bearer\s+/i, '')
      const credential: Credential = { kind: 'token', token }
      const result = await vouch(credential)
      if (result.ok) return await enter(c, cookie, { credential }, result.variables.auth?.expiresAt, to)
      const { code, detail } = result.refusal
      const wrong =
        code === 'auth_unavailable' ? 'Tokens cannot be checked right now. Try again in a moment.' : undefined
      return signInPage(c, options, { to, wrong: wrong ?? detail ?? 'This token is not accepted.' })
    })
    .post('/sign-out', async (c) => {
      await cookie.write(c, c.var.base, newVisit(c.var.now))
      return c.redirect(`${c.var.base}/sign-in?reason=out`, 303)
    })
