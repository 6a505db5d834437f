import { type Finding, databaseFindings, keyFindings } from './checkup.ts'
import { say, UsageError, variable } from './cli-run.ts'
import { type Config, ConfigError, readConfig } from './config.ts'
import { errorCode } from './db/client.ts'
import { databaseFacts } from './db/facts.ts'
import { profileOf } from './db/profile.ts'

const FETCH_TIMEOUT_MS = 5000

const messageOf = (error: unknown): string =>
  (error instanceof Error && error.message) || errorCode(error) || 'no reason was given'

/** The configuration as the server would read it, or what is wrong with it. */
function configured(): Config | Finding[] {
  try {
    return readConfig(process.env, 'node')
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.faults.map((sentence) => ({ about: 'configuration', sentence }))
  }
}

async function examineDatabase(config: Pick<Config, 'production'>, url: string): Promise<Finding[]> {
  try {
    const facts = await databaseFacts(url)
    const skew = `clock ${Math.round(facts.clockAheadMs)} ms ahead`
    say(
      `database       Postgres ${Math.floor(facts.serverVersion / 10_000)}, as ${facts.name}, ${profileOf(url)}, ${skew}`,
    )
    return databaseFindings(config, url, facts)
  } catch (error) {
    return [{ about: 'database', sentence: `${messageOf(error)}: is DATABASE_URL right, and the server up?` }]
  }
}

/** How many keys are there, or why they cannot be had. */
async function fetchKeys(url: string): Promise<{ failure?: string; keys?: number }> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(FETCH_TIMEOUT_MS), redirect: 'error' })
    if (!answer.ok) return { failure: `it answers ${answer.status}` }
    const body: unknown = await answer.json()
    const keys: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, 'keys') : undefined
    // A symmetric key there would be one that everybody knows.
    return {
      keys: Array.isArray(keys)
        ? keys.filter((key: { kty?: unknown } | null) => key?.kty !== 'oct').length
        : 0,
    }
  } catch (error) {
    const cause: unknown = error instanceof Error ? error.cause : undefined
    return { failure: cause === undefined ? messageOf(error) : messageOf(cause) }
  }
}

async function examineKeys(url: string): Promise<Finding[]> {
  const fetched = await fetchKeys(url)
  if (fetched.keys !== undefined) say(`keys           ${fetched.keys} at ${new URL(url).host}`)
  return keyFindings(url, fetched)
}

/**
 * `doctor`: looks at configuration, database and keys as the server would find them, from the server's own
 * environment. Exit code 1 when something will bite.
 */
export async function checkup(): Promise<void> {
  const url = variable('DATABASE_URL')
  if (url === undefined)
    throw new UsageError(
      'There is nothing to look at: set the variables of the server, DATABASE_URL among them',
    )
  const config = configured()
  const broken = Array.isArray(config)
  const production = broken ? variable('NODE_ENV') === 'production' : config.production
  const jwksUrl = broken || config.tokens === 'trial' ? undefined : config.tokens.jwksUrl
  const findings = [
    ...(broken ? config : []),
    ...(broken && config.some(({ sentence }) => sentence.startsWith('DATABASE_URL'))
      ? []
      : await examineDatabase({ production }, url)),
    ...(jwksUrl === undefined ? [] : await examineKeys(jwksUrl)),
  ]
  for (const { about, sentence } of findings) say(`${about.padEnd(13)}  ! ${sentence}`)
  if (findings.length === 0) return say('All is well')
  process.exitCode = 1
}
