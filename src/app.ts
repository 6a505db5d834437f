import { type Context, type Handler, Hono } from 'hono'
import type { JWK } from 'jose'
import { health } from './api/health.ts'
import { mcpMetadata } from './auth/mcp-metadata.ts'
import type { TokenOptions } from './auth/token-options.ts'
import type { Config, OidcConfig } from './config.ts'
import type { SampleUser } from './dashboard/dashboard.ts'
import type { SqlSource } from './db/client.ts'
import { everyAnswer, everyRequest } from './edge/edge.ts'
import { mcpRefusal, problem, type Refusal } from './errors.ts'
import { requestIdOf } from './request-id.ts'
import { assertionKeys } from './mcp/user-assertion.ts'
import { mcpUserContext } from './mcp-user-context.ts'
import { onDemand } from './on-demand.ts'
import { tokensFor, upstreamsOf } from './upstreams.ts'
import { VERSION } from './version.ts'

/** The parts that an entry brings. */
export interface AppParts {
  sql: SqlSource
  tokens: TokenOptions
  /** What is governed where the configuration names no server: the sample tools. */
  handler?: Handler | undefined
  /** With which upstream servers are told who is calling. @default those of the configuration */
  assertionKeys?: readonly JWK[] | undefined
  /** The other end of a request's connection, which only the runtime knows. @default nobody knows */
  peerOf?: ((c: Context) => string | undefined) | undefined
  /** Where clients get their tokens. @default the issuer of the tokens */
  authorizationServers?: string[]
  /** Encrypts the dashboard's cookies. @default no dashboard */
  cookieKey?: string
  /** Whom one click signs in to the dashboard: the trial's. @default [] */
  sampleUsers?: readonly SampleUser[]
  /** Where people sign in to the dashboard. @default the configuration's, or nowhere */
  oidc?: OidcConfig
  /** Ends what open pages of the dashboard listen to. @default it ends within minutes */
  stopping?: AbortSignal
  /** What clients ask for to begin with. @default nothing */
  scopesSupported?: string[]
  /** Routes of a provider that is served here too. */
  signIn?: Hono
}

const logOutage = (error: unknown): void =>
  console.error(
    `mcp-user-context: the keys at JWKS_URL cannot be fetched: ${error instanceof Error ? error.message : 'unknown error'}`,
  )

/**
 * The deployable app: the governed endpoint, its metadata, REST, dashboard and health.
 * @throws TypeError naming every fault of the options.
 */
export function createApp(config: Config, parts: AppParts): Hono {
  const { sql, tokens, authorizationServers, scopesSupported, cookieKey, sampleUsers, stopping } = parts
  const options = {
    sql,
    tokens: 'issuer' in tokens ? { onOutage: logOutage, ...tokens } : tokens,
    resource: config.publicUrl,
    allowedOrigins: config.allowedOrigins,
    authorizationServers,
    scopesSupported,
    resourceName: 'mcp-user-context',
    ...(config.rateLimit === undefined ? {} : { rateLimit: config.rateLimit }),
  }
  const app = new Hono()
  const mcpPaths = new Set<string>()
  /** In the way of the route: JSON-RPC at the governed endpoints, which their clients read. */
  const refuse = (c: Context, refusal: Refusal): Response =>
    mcpPaths.has(c.req.path) ? mcpRefusal(refusal) : problem(refusal)
  app.notFound(() => problem({ code: 'not_found' }))
  app.onError((error, c) => {
    // The message alone: an error of the database quotes rows, and one of a handler anything.
    console.error(
      `mcp-user-context: ${c.req.method} ${c.req.path} failed (request_id ${requestIdOf(c)}): ${error.name}: ${error.message}`,
    )
    return refuse(c, { code: 'internal' })
  })
  const atEdge = {
    peerOf: parts.peerOf ?? (() => undefined),
    trustedProxies: config.trustedProxies,
    refuse,
    https: config.publicUrl.startsWith('https:'),
  }
  app.use(...everyAnswer(atEdge))
  // Before the cap: a load balancer asks often, and from one address.
  app.get('/health', health({ sql, version: VERSION }))
  app.use(...everyRequest(atEdge))
  app.route('/', mcpMetadata(options))
  const rest = async (): Promise<Hono> => {
    const { mcpApi } = await import('./api/mcp-api.ts')
    return new Hono().route('/api/mcp', mcpApi(options))
  }
  app.all('/api/mcp/*', onDemand(rest))
  if (parts.signIn !== undefined) app.route('/', parts.signIn)
  if (cookieKey !== undefined) {
    const oidc = parts.oidc ?? (typeof config.oidc === 'object' ? config.oidc : undefined)
    const pages = async (): Promise<Hono> => {
      const { dashboard } = await import('./dashboard/dashboard.ts')
      return new Hono().route('/dashboard', dashboard({ ...options, cookieKey, sampleUsers, oidc, stopping }))
    }
    app.all('/dashboard/*', onDemand(pages))
  }
  const upstreams = upstreamsOf(config, parts.assertionKeys)
  if (upstreams.keys !== undefined) app.route('/', assertionKeys({ keys: upstreams.keys }))
  const handler = upstreams.main ?? parts.handler
  if (handler !== undefined) {
    // A proxy in front may take the path away, or leave it as PUBLIC_URL has it.
    const governed = mcpUserContext(options)
    for (const path of new Set(['/mcp', new URL(config.publicUrl).pathname])) {
      if (path === '/') continue
      mcpPaths.add(path)
      app.all(path, governed, handler)
    }
  }
  for (const { path, handler, ...own } of upstreams.others) {
    const governed = { ...options, ...own, tokens: tokensFor(config, options.tokens, own.resource) }
    const scopes = [...(scopesSupported ?? []), ...own.requiredScopes]
    const metadata = { ...governed, scopesSupported: scopes, resourceName: own.server, atRoot: false }
    app.route('/', mcpMetadata(metadata))
    mcpPaths.add(path)
    app.all(path, mcpUserContext(governed), handler)
  }
  return app
}
