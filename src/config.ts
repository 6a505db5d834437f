import type { JWK } from 'jose'
import { relationFaults } from './config-rules.ts'
import { readUpstreams, type UpstreamConfig } from './config-upstreams.ts'
import * as parse from './config-values.ts'

/** Where the process runs: it decides which parts may be missing. */
export type Runtime = 'node' | 'bun' | 'worker'

/** Whose tokens are accepted. At least one of `secret` and `jwksUrl` is set. */
export interface TokenConfig {
  /** HS256 secret, raw UTF-8. */
  secret?: string
  jwksUrl?: string
  issuer: string
  audience: string[]
  /** JWT_AUDIENCE is not set: each MCP server behind this kit takes tokens for its own URL alone. */
  audiencePerResource?: true
}

export type { UpstreamConfig }

/** How people sign in to the dashboard. */
export interface OidcConfig {
  issuer: string
  clientId: string
  clientSecret: string
}

/** The environment, read and checked. A part that is `'trial'` is brought by the entry; `readConfig` says when it may be. */
export interface Config {
  runtime: Runtime
  /** NODE_ENV is `production`. */
  production: boolean
  host: string
  /** 0 takes any free port; the entry then reads the configuration again with the port it was given. */
  port: number
  /** Canonical URL of the MCP resource: what clients are told, and the default audience. */
  publicUrl: string
  database: { url: string } | 'trial'
  tokens: TokenConfig | 'trial'
  /** What is governed at PUBLIC_URL; `'none'` where there are other servers alone. */
  upstream: { url: string } | 'trial' | 'none'
  /** The servers of UPSTREAMS_FILE or UPSTREAMS, each at a path of its own. */
  upstreams: UpstreamConfig[]
  /** With which upstream servers are told who is calling; undefined when nobody asks for it. */
  assertionKeys: JWK[] | 'trial' | undefined
  /** `'off'` without the trial's identity provider: its sign-in must never open somebody's real data. */
  oidc: OidcConfig | 'trial' | 'off'
  /** Encrypts the dashboard's cookies. Without one the entry makes it; a Worker cannot, and serves no dashboard. */
  cookieKey: { secret: string } | 'trial' | 'off'
  /** Per user; undefined is unlimited. */
  rateLimit: parse.RateLimitValue | undefined
  /** Browser origins; undefined leaves it to the resource: those of localhost if it is there, else none. */
  allowedOrigins: string[] | undefined
  /** Hops of X-Forwarded-For to believe. */
  trustedProxies: number
}

/** Everything that is wrong with the environment, a line each; no line holds a secret. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly faults: string[]

  constructor(faults: string[]) {
    super(['The configuration cannot be used:', ...faults].join('\n  '))
    this.faults = faults
  }
}

const RESOURCE = 'https://mcp.example.com/mcp'
const ISSUER = 'https://id.example.com'

/**
 * The configuration that an environment asks for. Pure: the entry hands over the variables and says where it runs;
 * a Worker's puts the connection string of its Hyperdrive binding into DATABASE_URL first.
 * @param readFile reads the file that UPSTREAMS_FILE names, where there are files.
 * @throws ConfigError naming every fault at once.
 */
export function readConfig(
  env: Readonly<Record<string, string | undefined>>,
  runtime: Runtime,
  readFile?: (path: string) => string,
): Config {
  const faults: string[] = []
  const isSet = (name: string): boolean => (env[name] ?? '') !== ''
  const read = <T>(name: string, of: (text: string) => parse.Parsed<T>): T | undefined => {
    const text = env[name] ?? ''
    if (text === '') return undefined
    // Nothing is trimmed in silence: a line break at the end of a secret would make every token a wrong one.
    const parsed = text === text.trim() ? of(text) : { fault: 'begins or ends with white space: remove it' }
    if ('value' in parsed) return parsed.value
    faults.push(`${name} ${parsed.fault}`)
    return undefined
  }

  const production = env.NODE_ENV === 'production'
  const port = read('PORT', parse.integer(65_535, '8787')) ?? 8787
  const host = read('HOST', parse.host) ?? '127.0.0.1'
  const database = read('DATABASE_URL', parse.databaseUrl)
  const tokenSecret = read('SUPABASE_JWT_SECRET', parse.secret('as the identity provider has it'))
  const jwksUrl = read('JWKS_URL', parse.web({ secure: true, example: `${ISSUER}/.well-known/jwks.json` }))
  const issuer = read('JWT_ISSUER', parse.issuer)
  const audience = read('JWT_AUDIENCE', parse.list)
  const givenUrl = read('PUBLIC_URL', parse.web({ secure: true, bare: true, example: RESOURCE }))
  const upstream = read('UPSTREAM_MCP_URL', parse.web({ example: 'http://127.0.0.1:3000/mcp' }))
  const list = upstreamsOf(env, readFile)
  faults.push(...list.faults)
  const assertionKeys = read('ASSERTION_KEYS', parse.assertionKeys)
  const rateLimit = read('RATE_LIMIT', parse.rateLimitValue)
  const allowedOrigins = read('ALLOWED_ORIGINS', parse.origins)
  const trustedProxies = read('TRUSTED_PROXIES', parse.integer(100, '1')) ?? 0
  const oidcIssuer = read('OIDC_ISSUER', parse.web({ secure: true, bare: true, example: ISSUER }))
  const clientId = read('OIDC_CLIENT_ID', parse.anyText)
  const clientSecret = read('OIDC_CLIENT_SECRET', parse.anyText)
  const cookieKey = read('COOKIE_KEY', parse.secret('such as from openssl rand -base64 48'))

  const asserted = list.value.some(({ assertion }) => assertion !== undefined)
  faults.push(...relationFaults({ isSet, production, worker: runtime === 'worker', host, asserted }))
  const publicUrl = parse.canonical(givenUrl ?? `http://${parse.inUrl(host)}:${port}/mcp`)
  const own = runtime === 'worker' ? undefined : { host, port }
  const paths = [publicUrl, ...list.value.map(({ path }) => new URL(path, publicUrl).href)]
  const leadsBack = (url: string): boolean => paths.some((path) => parse.leadsBack(url, path, own))
  if (upstream !== undefined && leadsBack(upstream)) {
    faults.push('UPSTREAM_MCP_URL is this server itself: give the URL of the MCP server to govern')
  }
  for (const { path } of list.value.filter(({ url }) => url !== '' && leadsBack(url))) {
    faults.push(`${list.name} has at ${path} this server itself: give the URL of the MCP server to govern`)
  }
  if (upstream !== undefined && list.value.some(({ path }) => path === new URL(publicUrl).pathname)) {
    faults.push(`${list.name} has the path of PUBLIC_URL, where UPSTREAM_MCP_URL is: leave out one of them`)
  }
  if (faults.length > 0) throw new ConfigError(faults)

  const tokens: Config['tokens'] =
    issuer === undefined
      ? 'trial'
      : {
          ...(tokenSecret === undefined ? {} : { secret: tokenSecret }),
          ...(jwksUrl === undefined ? {} : { jwksUrl }),
          issuer,
          audience: audience ?? [publicUrl],
          ...(audience === undefined ? { audiencePerResource: true } : {}),
        }
  const withoutOidc = tokens === 'trial' ? 'trial' : 'off'
  return {
    runtime,
    production,
    host,
    port,
    publicUrl,
    database: database === undefined ? 'trial' : { url: database },
    tokens,
    upstream: upstream !== undefined ? { url: upstream } : list.value.length > 0 ? 'none' : 'trial',
    upstreams: list.value,
    assertionKeys: assertionKeys ?? (asserted ? 'trial' : undefined),
    oidc:
      oidcIssuer === undefined || clientId === undefined || clientSecret === undefined
        ? withoutOidc
        : { issuer: oidcIssuer, clientId, clientSecret },
    cookieKey: cookieKey === undefined ? (runtime === 'worker' ? 'off' : 'trial') : { secret: cookieKey },
    rateLimit,
    allowedOrigins,
    trustedProxies,
  }
}

/** The servers of UPSTREAMS or UPSTREAMS_FILE; `name` is the variable that says them. */
function upstreamsOf(
  env: Readonly<Record<string, string | undefined>>,
  readFile: ((path: string) => string) | undefined,
): { name: string; value: UpstreamConfig[]; faults: string[] } {
  const { UPSTREAMS: text = '', UPSTREAMS_FILE: file = '' } = env
  const name = file === '' ? 'UPSTREAMS' : 'UPSTREAMS_FILE'
  const faulty = (fault: string) => ({ name, value: [], faults: [`${name} ${fault}`] })
  if (text === '' && file === '') return { name, value: [], faults: [] }
  if (text !== '' && file !== '') return faulty('is set beside UPSTREAMS: set one of them')
  if (file !== '' && readFile === undefined)
    return faulty('is set where there are no files: put the JSON into UPSTREAMS')
  let json = text
  try {
    if (file !== '') json = readFile!(file)
  } catch {
    return faulty('cannot be read: give the path of a file that this process may read')
  }
  const { value, faults } = readUpstreams(json, env)
  return { name, value, faults: faults.map((fault) => `${name} ${fault}`) }
}
