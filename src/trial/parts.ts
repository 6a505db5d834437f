import { resolve } from 'node:path'
import type { Hono } from 'hono'
import { isLoopback, type TokenOptions } from '../auth/token-options.ts'
import type { Config, OidcConfig } from '../config.ts'
import { inUrl } from '../config-values.ts'
import { prepareTrialDatabase, startTrialServer, TRIAL_FOLDER } from './database.ts'
import { loadCookieKey, loadIdentity, mintToken } from './identity.ts'
import { TRIAL_USERS } from './people.ts'
import { BASIC_SCOPE, SECRETS_SCOPE } from './scopes.ts'
import type { SignIn } from './sign-in/sign-in.ts'

/** What stands in for the parts that are not configured. */
export interface TrialParts {
  databaseUrl: string
  /** Whose tokens the trial accepts, and where to get them; undefined when the configuration says whose. */
  access?: (settled: Config) => Promise<TrialAccess>
  /** A token for each of the trial's users. */
  users: { name: string; role: string; token: string }[]
  /** Encrypts the dashboard's cookies; undefined when the configuration says which. */
  cookieKey?: string
  stop(): Promise<void>
}

/** Who is let in, at an address that is known by now. */
export interface TrialAccess {
  tokens: TokenOptions
  authorizationServers: string[]
  scopesSupported?: string[]
  /** The provider where people sign in. */
  signIn?: Hono
  /** How they sign in to the dashboard: there, or as one of these with one click. */
  oidc?: OidcConfig
  sampleUsers?: TrialParts['users']
}

/** Brings the database and the identity of the trial, each only where the configuration has none. */
export async function trialParts(
  config: Config,
  folder: string = resolve(TRIAL_FOLDER),
): Promise<TrialParts> {
  const server = config.database === 'trial' ? await startTrialServer(folder) : undefined
  try {
    const databaseUrl =
      config.database === 'trial'
        ? (await prepareTrialDatabase(server!.ownerUrl)).appUrl
        : config.database.url
    let signIn: SignIn | undefined
    const stop = async (): Promise<void> => {
      await signIn?.stop()
      await server?.stop()
    }
    const cookie = config.cookieKey === 'trial' ? { cookieKey: loadCookieKey(folder) } : {}
    if (config.tokens !== 'trial') return { databaseUrl, users: [], ...cookie, stop }
    const identity = loadIdentity(folder)
    const users = await Promise.all(
      TRIAL_USERS.map(async (user) => ({ ...user, token: await mintToken(identity, user) })),
    )
    const access = async (settled: Config): Promise<TrialAccess> => {
      const { publicUrl: resource } = settled
      const authorizationServers = [new URL(resource).origin]
      if (!isForThisMachine(settled)) return { tokens: identity, authorizationServers }
      const { startSignIn } = await withoutRuntimeWarning(() => import('./sign-in/sign-in.ts'))
      const resources: [string, ...string[]] = [
        resource,
        ...settled.upstreams.map(({ path }) => new URL(path, resource).href),
      ]
      const scopes = [SECRETS_SCOPE, ...settled.upstreams.flatMap(({ requiredScopes }) => requiredScopes)]
      signIn = await startSignIn({ folder, resources, tokenIssuer: identity.issuer, scopes })
      const { jwksUrl, routes, dashboard: oidc } = signIn
      return {
        // Both at once: tokens of the command line by the secret, those of the provider by its keys.
        tokens: { ...identity, audience: [identity.audience, ...resources], jwksUrl },
        authorizationServers,
        // What is needed to begin with; a tool that wants more says so when it is called.
        scopesSupported: [BASIC_SCOPE],
        signIn: routes,
        oidc,
        sampleUsers: users,
      }
    }
    return { databaseUrl, access, users, ...cookie, stop }
  } catch (error) {
    await server?.stop()
    throw error
  }
}

/** oidc-provider warns of every runtime but the long-term lines of Node; our tests tell where it works. */
async function withoutRuntimeWarning<T>(load: () => Promise<T>): Promise<T> {
  const { warn } = console
  console.warn = (...said: unknown[]): void => {
    if (!String(said[0]).includes('Unsupported runtime')) warn(...said)
  }
  try {
    return await load()
  } finally {
    console.warn = warn
  }
}

/** Nobody has a password: only who sits at this machine may choose whom to be. */
const isForThisMachine = ({ host, publicUrl }: Config): boolean =>
  isLoopback(inUrl(host)) && isLoopback(new URL(publicUrl).hostname)

/** What the trial says when it is ready, line by line. */
export function trialGuide(urls: string[], users: TrialParts['users'], signIn: boolean): string[] {
  const [first] = users
  const [url = ''] = urls
  const endpoints = urls.map((each) => `endpoint  ${each}`)
  if (first === undefined) return endpoints
  return [
    'mcp-user-context: the trial. Its data is in .data/',
    '',
    ...endpoints,
    '',
    ...users.flatMap(({ name, role, token }) => [`${name} (${role})`, `  ${token}`]),
    '',
    `dashboard ${new URL('/dashboard', url).href}`,
    '',
    ...(signIn
      ? [
          'To connect Claude Code, which then signs in by itself (/mcp in Claude Code), as any MCP client can:',
          `  claude mcp add --transport http trial ${url}`,
          'Or with a token:',
        ]
      : ['To connect Claude Code:']),
    `  claude mcp add --transport http trial ${url} --header "Authorization: Bearer ${first.token}"`,
    'More users and tokens: npm run --silent token -- NAME [--role R] [--department D]',
    '',
  ]
}
