import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { proxy } from 'hono/proxy'
import { browserGuard } from '../../auth/origin.ts'
import type { OidcConfig } from '../../config.ts'
import { peopleOf } from '../people.ts'
import { BASIC_SCOPE } from '../scopes.ts'
import { interact } from './interaction.ts'
import { loadSignInKeys } from './keys.ts'
import { page, sendPage } from './pages.ts'
import { makeProvider, OAUTH_PATH, ROUTES } from './provider.ts'
import { openStore } from './store.ts'

/** The trial's OpenID provider, ready to be mounted at the root. */
export interface SignIn {
  routes: Hono
  /** Its issuer, for the metadata of the resource. */
  issuer: string
  /** Its public keys. */
  jwksUrl: string
  /** How the dashboard signs people in: the values of `OIDC_ISSUER`, `OIDC_CLIENT_ID` and `OIDC_CLIENT_SECRET`. */
  dashboard: OidcConfig
  stop(): Promise<void>
}

export interface SignInOptions {
  /** Of the trial: people, keys, and what the provider keeps. */
  folder: string
  /** Where the provider is reached. @default the origin of the first resource */
  origin?: string
  /** Canonical URLs of the endpoints, on this machine. */
  resources: readonly [string, ...string[]]
  /** What access tokens have as `iss`: the issuer of the trial's other tokens. */
  tokenIssuer: string
  /** Scopes of single tools. */
  scopes: readonly string[]
}

const DISCOVERY = ['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration']
const MAX_BODY_BYTES = 64 * 1024

/**
 * Starts the provider. It speaks node:http, as Bun does too, on a port of its own that nobody is told of; the routes
 * pass to it what comes to this server's origin, from pages of this machine alone.
 */
export async function startSignIn(options: SignInOptions): Promise<SignIn> {
  const { folder, resources, tokenIssuer, scopes } = options
  const [resource] = resources
  const { origin = new URL(resource).origin } = options
  const { host, protocol } = new URL(origin)
  const keys = loadSignInKeys(folder)
  const store = openStore(folder)
  const people = () => peopleOf(folder)
  const provider = makeProvider({ origin, resources, tokenIssuer, scopes, keys, store, people })
  const answer = provider.callback()
  const server = createServer((req, res) => {
    if (req.url?.startsWith(`${OAUTH_PATH}/sign-in/`) !== true) return void answer(req, res)
    interact(provider, { people, resource }, req, res).catch((error: unknown) => failed(res, error))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve)
  })
  const inner = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  const routes = new Hono()
  const guard = browserGuard({ resource: origin, refuse: 'problem' })
  for (const path of [`${OAUTH_PATH}/*`, ...DISCOVERY]) {
    routes.use(path, guard, bodyLimit({ maxSize: MAX_BODY_BYTES }))
    routes.all(path, async (c) => {
      const { pathname, search, body } = await lenient(c.req.raw)
      const headers = new Headers(c.req.raw.headers)
      // Whom to let in was decided by the guard, which also answers browsers.
      headers.delete('origin')
      headers.delete('content-length')
      headers.set('x-forwarded-host', host)
      headers.set('x-forwarded-proto', protocol.slice(0, -1))
      const { method } = c.req
      const response = await proxy(`${inner}${pathname}${search}`, {
        method,
        headers,
        body,
        redirect: 'manual',
      })
      response.headers.delete('access-control-allow-origin')
      return response
    })
  }
  return {
    routes,
    issuer: origin,
    jwksUrl: `${inner}${OAUTH_PATH}/jwks`,
    dashboard: {
      issuer: origin,
      clientId: 'dashboard',
      clientSecret: keys.dashboardSecret,
    },
    async stop() {
      store.flush()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** What clients say of scopes, as this provider can take it. */
async function lenient(request: Request): Promise<{ pathname: string; search: string; body: string | null }> {
  const url = new URL(request.url)
  const { pathname } = url
  const body = request.method === 'GET' || request.method === 'HEAD' ? null : await request.text()
  if (pathname === ROUTES.authorization && !url.searchParams.has('scope')) {
    // RFC 6749 section 3.3 leaves it to the server what asking for no scope means.
    url.searchParams.set('scope', BASIC_SCOPE)
  }
  if (pathname !== ROUTES.registration || body === null) return { pathname, search: url.search, body }
  try {
    // Clients register with the scopes that they begin with, and would be held to them when a tool wants more.
    const { scope: _scope, ...metadata }: Record<string, unknown> = JSON.parse(body)
    return { pathname, search: url.search, body: JSON.stringify(metadata) }
  } catch {
    return { pathname, search: url.search, body }
  }
}

function failed(res: ServerResponse, error: unknown): void {
  console.error(`mcp-user-context: sign-in: ${error instanceof Error ? error.message : 'unknown error'}`)
  if (!res.headersSent) sendPage(res, 500, page('This cannot go on', '<p>The log says why.</p>'))
}
