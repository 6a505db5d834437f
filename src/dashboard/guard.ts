import type { Context, MiddlewareHandler } from 'hono'
import { basePath } from 'hono/route'
import { ask } from '../admission.ts'
import { createAuthenticator } from '../auth/authenticator.ts'
import { errorCode } from '../db/client.ts'
import { DatabaseUnavailableError, isOutage, tookTooLong } from '../db/outage.ts'
import type { Refusal } from '../errors.ts'
import { requestIdOf } from '../request-id.ts'
import { type Claims, setUser } from '../variables.ts'
import type { DashboardEnv, DashboardOptions } from './env.ts'
import { type Message, messagePage } from './pages/message.ts'
import { type Credential, newVisit, type Visit, type VisitCookie } from './sign-in/visit.ts'

/** Reads the cookie, or makes a stranger of whoever has none, and says where the dashboard is mounted. */
export const visitor = (cookie: VisitCookie, clock: () => Date): MiddlewareHandler<DashboardEnv> =>
  async function visitor(c, next) {
    const now = clock()
    c.set('now', now)
    c.set('base', basePath(c).replace(/\/+$/, ''))
    const visit = (await cookie.read(c, now)) ?? newVisit(now)
    c.set('visit', visit)
    c.set('formKey', await cookie.formKey(visit))
    return await next()
  }

const encoded = (claims: unknown): string => {
  const bytes = new TextEncoder().encode(JSON.stringify(claims))
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

const decoded = async (text: string): Promise<Claims> => {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0))
  return JSON.parse(new TextDecoder().decode(bytes)) as Claims
}

const bearer = (token: string): Headers => new Headers({ authorization: `Bearer ${token}` })

/** Asks who a credential stands for, as a request with a bearer token does. */
export type Vouch = (credential: Credential) => ReturnType<ReturnType<typeof createAuthenticator>>

/** @throws TypeError naming every fault of the options. */
export function createVouch(options: DashboardOptions): Vouch {
  const byToken = createAuthenticator({ ...options, required: true })
  // Claims come from our own cookie, which nobody else can write: the provider's signature was checked at sign-in.
  const byClaims = createAuthenticator({
    ...options,
    required: true,
    requiredScopes: [],
    tokens: { verify: decoded },
  })
  return (credential) =>
    credential.kind === 'token'
      ? byToken(bearer(credential.token))
      : byClaims(bearer(encoded(credential.claims)))
}

const signInAgain = (c: Context<DashboardEnv>, reason?: 'over'): Response => {
  // What listens shows no form: it is told to stop.
  if (c.req.header('accept') === 'text/event-stream') return c.body(null, 204)
  const to = c.req.method === 'GET' ? c.req.path.slice(c.var.base.length) + new URL(c.req.url).search : '/'
  const query = new URLSearchParams({ ...(to === '/' || to === '' ? {} : { to }), ...(reason && { reason }) })
  return c.redirect(`${c.var.base}/sign-in${query.size === 0 ? '' : `?${query.toString()}`}`, 303)
}

const REFUSED: Partial<Record<Refusal['code'], Message>> = {
  blocked: {
    status: 403,
    title: 'Your access is blocked',
    text: 'An administrator has blocked you. Ask them to let you in again.',
  },
  insufficient_scope: {
    status: 403,
    title: 'Not allowed',
    text: 'Your token lacks a scope that is required here.',
  },
}

function refused(c: Context<DashboardEnv>, { code, detail }: Refusal): Response {
  if (code === 'unauthorized' || code === 'invalid_token') return signInAgain(c, 'over')
  if (code === 'auth_unavailable' || code === 'database_unavailable') return outage(c)
  const other: Message = { status: 403, title: 'Not allowed', text: detail ?? 'You were refused.' }
  return messagePage(c, REFUSED[code] ?? other)
}

const outage = (c: Context): Response => {
  c.header('retry-after', '5')
  return messagePage(c, {
    status: 503,
    title: 'Out of reach for a moment',
    text: 'The database, or whoever vouches for tokens, does not answer. Nothing is lost: load the page again in a few seconds.',
  })
}

/**
 * Lets in whoever is signed in. Role, department, block and revocation are the database's at every request, as for
 * REST; everybody else is sent to the sign-in and comes back to the same address.
 */
export const signedIn = (
  { sql }: DashboardOptions,
  vouch: Vouch,
  renew: (c: Context<DashboardEnv>) => Promise<Visit | null>,
): MiddlewareHandler<DashboardEnv> =>
  async function signedIn(c, next) {
    if (c.var.visit.credential === undefined) return signInAgain(c)
    const credential = (await renew(c))?.credential
    if (credential === undefined) return signInAgain(c, 'over')
    const result = await vouch(credential)
    if (!result.ok) return refused(c, result.refusal)
    setUser(c, result.variables)
    const refusal = await ask(c, sql, { session: null, calls: [] })
    if (refusal === null) return await next()
    // Whoever is refused is nobody on the page that says so.
    c.set('user', null)
    c.set('caller', { ...c.var.caller, kind: 'anonymous' })
    return refused(c, refusal)
  }

/** Postgres has a list of zones of its own. */
const UNKNOWN_ZONE = '22023'

/** Answers what no page expected: with a page that says so, and an id under which the log has the rest. */
export function failed(error: Error, c: Context): Response {
  if (error instanceof DatabaseUnavailableError || isOutage(error)) return outage(c)
  if (errorCode(error) === UNKNOWN_ZONE) {
    return messagePage(c, {
      status: 400,
      title: 'Time zone not known',
      text: 'The database does not know this time zone. Choose another one, such as that of a city near you.',
    })
  }
  if (tookTooLong(error)) {
    return messagePage(c, {
      status: 503,
      title: 'This takes too long',
      text: 'There are too many calls to answer this within half a minute. Ask for fewer days, or for one user or department.',
    })
  }
  const requestId = requestIdOf(c)
  // Neither query nor body; of a database error not the details, which quote rows.
  console.error(
    `mcp-user-context: ${c.req.method} ${c.req.path} failed (request_id ${requestId}): ${error.stack ?? error.message}`,
  )
  return messagePage(c, {
    status: 500,
    title: 'Something went wrong',
    text: `The log of the server has the rest, under ${requestId}.`,
  })
}
