import type { Handler } from 'hono'
import type { JWK } from 'jose'
import type { TokenOptions } from './auth/token-options.ts'
import type { Config, UpstreamConfig } from './config.ts'
import type { QuotaRule } from './limits/quota-rule.ts'
import type { RateLimitRule } from './limits/rate-rule.ts'
import { proxyMcp, type ProxyMcpOptions } from './mcp/proxy.ts'
import { ASSERTED_CLAIMS, type AssertedClaim } from './mcp/user-assertion.ts'

/** One of several servers: where it is mounted, and what is its own among the options of `mcpUserContext()`. */
export interface MountedUpstream {
  path: string
  handler: Handler
  server: string
  resource: string
  requiredScopes: string[]
  quota: QuotaRule
  rateLimit?: RateLimitRule
}

/** For whoever runs the server: why a call failed, which its client is not told. */
function logFault(server: string): NonNullable<ProxyMcpOptions['onFault']> {
  return ({ message }, error) => {
    const cause: unknown = error instanceof Error ? (error.cause ?? error) : undefined
    const why = cause instanceof Error ? ` (${cause.message || cause.name})` : ''
    console.error(`mcp-user-context: ${server}: ${message}${why}`)
  }
}

/** What the configuration says of the servers behind this one. */
export function upstreamsOf(
  config: Config,
  made: readonly JWK[] | undefined,
): { main: Handler | undefined; others: MountedUpstream[]; keys: readonly JWK[] | undefined } {
  const { upstream, upstreams, publicUrl } = config
  const keys = made ?? (config.assertionKeys === 'trial' ? undefined : config.assertionKeys)
  const { origin } = new URL(publicUrl)
  const assertion = (claims: AssertedClaim[] | undefined): Pick<ProxyMcpOptions, 'assertion'> =>
    claims === undefined || keys === undefined ? {} : { assertion: { keys, issuer: origin, claims } }
  const mounted = ({
    path,
    url,
    name,
    headers,
    timeoutSeconds,
    ...own
  }: UpstreamConfig): MountedUpstream => ({
    path,
    handler: proxyMcp({
      upstream: url,
      headers,
      onFault: logFault(name),
      ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
      ...assertion(own.assertion),
    }),
    server: name,
    resource: new URL(path, origin).href,
    requiredScopes: own.requiredScopes,
    quota: own.quota,
    ...(own.rateLimit === undefined ? {} : { rateLimit: own.rateLimit }),
  })
  const main =
    typeof upstream === 'string'
      ? undefined
      : proxyMcp({
          upstream: upstream.url,
          onFault: logFault('UPSTREAM_MCP_URL'),
          ...assertion([...ASSERTED_CLAIMS]),
        })
  return { main, others: upstreams.map(mounted), keys }
}

/** The URLs that clients connect to: that of PUBLIC_URL, unless nothing is there, and those of several servers. */
export const endpointsOf = ({ publicUrl, upstream, upstreams }: Config): string[] => [
  ...(upstream === 'none' ? [] : [publicUrl]),
  ...upstreams.map(({ path }) => new URL(path, publicUrl).href),
]

/** A token names the server that it is for (RFC 8707), unless JWT_AUDIENCE says otherwise. */
export const tokensFor = ({ tokens }: Config, options: TokenOptions, resource: string): TokenOptions =>
  tokens !== 'trial' && tokens.audiencePerResource === true && 'issuer' in options
    ? { ...options, audience: resource }
    : options
