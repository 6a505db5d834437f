import { resolve } from 'node:path'
import type { TokenOptions } from '../auth/token-options.ts'
import type { Config } from '../config.ts'
import { prepareTrialDatabase, startTrialServer, TRIAL_FOLDER } from './database.ts'
import { loadCookieKey, loadIdentity, mintToken, TRIAL_USERS } from './identity.ts'

/** What stands in for the parts that are not configured. */
export interface TrialParts {
  databaseUrl: string
  /** Whose tokens the trial accepts; undefined when the configuration says whose. */
  tokens?: TokenOptions
  /** A token for each of the trial's users. */
  users: { name: string; role: string; token: string }[]
  /** Encrypts the dashboard's cookies; undefined when the configuration says which. */
  cookieKey?: string
  stop(): Promise<void>
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
    const stop = async (): Promise<void> => server?.stop()
    const cookie = config.cookieKey === 'trial' ? { cookieKey: loadCookieKey(folder) } : {}
    if (config.tokens !== 'trial') return { databaseUrl, users: [], ...cookie, stop }
    const identity = loadIdentity(folder)
    const users = await Promise.all(
      TRIAL_USERS.map(async (user) => ({ ...user, token: await mintToken(identity, user) })),
    )
    return { databaseUrl, tokens: identity, users, ...cookie, stop }
  } catch (error) {
    await server?.stop()
    throw error
  }
}

/** What the trial says when it is ready, line by line. */
export function trialGuide(url: string, users: TrialParts['users']): string[] {
  const [first] = users
  if (first === undefined) return [`endpoint  ${url}`]
  return [
    'mcp-user-context: the trial. Its data is in .data/',
    '',
    `endpoint  ${url}`,
    '',
    ...users.flatMap(({ name, role, token }) => [`${name} (${role})`, `  ${token}`]),
    '',
    `dashboard ${new URL('/dashboard', url).href}`,
    '',
    'To connect Claude Code:',
    `  claude mcp add --transport http trial ${url} --header "Authorization: Bearer ${first.token}"`,
    'More tokens: npm run --silent token -- NAME [--role R] [--department D]',
    '',
  ]
}
