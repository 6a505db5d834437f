import { type Configuration, errors, type KoaContextWithOIDC, Provider } from 'oidc-provider'
import type { Person } from '../people.ts'
import { BASIC_SCOPE } from '../scopes.ts'
import type { SignInKeys } from './keys.ts'
import { escaped, page, pageHeaders } from './pages.ts'
import type { SignInStore } from './store.ts'

export interface ProviderOptions {
  /** Its issuer: the origin at which it is reached. */
  origin: string
  /** What it gives tokens for: the first, unless a client names another one. */
  resources: readonly [string, ...string[]]
  /** What its access tokens have as `iss`. */
  tokenIssuer: string
  /** Beside the basic one. */
  scopes: readonly string[]
  keys: SignInKeys
  store: SignInStore
  people: () => Promise<Person[]>
}

const HOUR = 60 * 60
const DAY = 24 * HOUR

/** Below which path everything but discovery lies. */
export const OAUTH_PATH = '/oauth'

export const ROUTES = {
  authorization: `${OAUTH_PATH}/authorize`,
  token: `${OAUTH_PATH}/token`,
  jwks: `${OAUTH_PATH}/jwks`,
  registration: `${OAUTH_PATH}/register`,
  revocation: `${OAUTH_PATH}/revoke`,
  userinfo: `${OAUTH_PATH}/userinfo`,
  end_session: `${OAUTH_PATH}/sign-out`,
}

const sameResource = (one: string, other: string): boolean =>
  one.replace(/\/$/, '') === other.replace(/\/$/, '')

function showPage(ctx: KoaContextWithOIDC, title: string, content: string, redirect?: string): void {
  ctx.set(pageHeaders(redirect))
  ctx.body = page(title, content)
}

/** The dashboard of this server, on whichever port of this machine it listens (RFC 8252 section 7.3). */
const dashboardClient = (origin: string, secret: string) => {
  const local = ['http://127.0.0.1', 'http://localhost', 'http://[::1]', origin]
  return {
    client_id: 'dashboard',
    client_name: 'The dashboard',
    client_secret: secret,
    application_type: 'native' as const,
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: local.map((each) => `${each}/dashboard/callback`),
    post_logout_redirect_uris: local.flatMap((each) => [`${each}/dashboard`, `${each}/dashboard/sign-in`]),
  }
}

/**
 * An OpenID provider for these resources: authorization code with PKCE alone, clients that register themselves
 * (RFC 7591), tokens for one resource (RFC 8707) as JWTs (RFC 9068), and refresh tokens. Client-ID metadata
 * documents are off: for those it would have to reach the internet, and a trial must work without.
 */
export function makeProvider(options: ProviderOptions): Provider {
  const { origin, resources, tokenIssuer, scopes, keys, store, people } = options
  const find = async (sub: string): Promise<Person | undefined> =>
    (await people()).find((person) => person.sub === sub)

  const configuration: Configuration = {
    adapter: store.adapter,
    clients: [dashboardClient(origin, keys.dashboardSecret)],
    // Of native apps, by which http stays on this machine, on any port (RFC 8252).
    clientDefaults: { application_type: 'native' },
    jwks: { keys: [keys.signingKey] },
    cookies: {
      keys: [keys.cookieKey],
      // Cookies know no port: those of other servers on this machine come along.
      names: { session: 'mcp_trial_session', interaction: 'mcp_trial_sign_in', resume: 'mcp_trial_resume' },
    },
    routes: ROUTES,
    responseTypes: ['code'],
    clientAuthMethods: ['none', 'client_secret_basic', 'client_secret_post'],
    pkce: { required: () => true },
    scopes: ['openid', 'profile', 'email', 'offline_access'],
    claims: { openid: ['sub', 'app_metadata'], profile: ['name'], email: ['email'] },
    // Into the ID token itself: nobody must ask twice.
    conformIdTokenClaims: false,
    ttl: {
      AccessToken: HOUR,
      RefreshToken: 30 * DAY,
      Grant: 30 * DAY,
      Session: DAY,
      Interaction: HOUR,
      IdToken: HOUR,
    },
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    expiresWithSession: () => false,
    interactions: { url: (_ctx, { uid }) => `${OAUTH_PATH}/sign-in/${uid}` },
    async findAccount(_ctx, sub) {
      const person = await find(sub)
      if (person === undefined) return undefined
      const { email, user_metadata: user, app_metadata } = person
      return { accountId: sub, claims: () => ({ sub, email, name: user.full_name, app_metadata }) }
    },
    async extraTokenClaims(_ctx, token) {
      const person = 'accountId' in token ? await find(token.accountId) : undefined
      if (person === undefined) return undefined
      const { sub: _sub, ...claims } = person
      return claims
    },
    formats: {
      customizers: {
        // RFC 9068 would have the provider's URL. That changes with the port, and with it everybody would be a new
        // user; whereas this is the name that the tokens of `npm run token` bear too.
        jwt(_ctx, _token, jwt) {
          jwt.payload['iss'] = tokenIssuer
        },
      },
    },
    features: {
      devInteractions: { enabled: false },
      registration: { enabled: true },
      revocation: { enabled: true },
      // Nothing that no client of ours needs, or that the resource does not check.
      pushedAuthorizationRequests: { enabled: false },
      dPoP: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_ctx, _client, oneOf) => (Array.isArray(oneOf) ? oneOf[0] : oneOf) ?? resources[0],
        useGrantedResource: () => true,
        getResourceServerInfo(_ctx, indicator) {
          const resource = resources.find((each) => sameResource(each, indicator))
          if (resource === undefined) throw new errors.InvalidTarget()
          return {
            scope: [BASIC_SCOPE, ...scopes].join(' '),
            audience: resource,
            accessTokenFormat: 'jwt',
            accessTokenTTL: HOUR,
            jwt: { sign: { alg: 'RS256' } },
          }
        },
      },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource(ctx, form) {
          const { postLogoutRedirectUri } = ctx.oidc.session?.state ?? {}
          const button = '<button form="op.logoutForm" name="logout" value="yes">Sign out</button>'
          const to = typeof postLogoutRedirectUri === 'string' ? postLogoutRedirectUri : undefined
          showPage(ctx, 'Sign out of the trial?', form + button, to)
        },
        postLogoutSuccessSource: (ctx) => showPage(ctx, 'You are signed out', ''),
      },
    },
    renderError(ctx, { error, error_description: description }) {
      showPage(ctx, 'This cannot go on', `<p>${escaped(description ?? error)}</p>`)
    },
  }
  const provider = new Provider(origin, configuration)
  // It answers behind this server's own port, which says how it was reached.
  provider.proxy = true
  provider.use(async (ctx, next) => {
    // The few pages of its own send a form by a script, whose hash it adds here.
    ctx.set(
      'content-security-policy',
      "default-src 'none'; script-src; base-uri 'none'; frame-ancestors 'none'",
    )
    // With no-referrer, the server's habit, that form would come from nowhere: "Origin: null".
    ctx.set('referrer-policy', 'same-origin')
    await next()
  })
  provider.on('server_error', (_ctx, error: Error) => {
    console.error(`mcp-user-context: sign-in: ${error.message}`)
  })
  return provider
}
