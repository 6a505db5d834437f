import type { Config } from './config.ts'
import { type DatabaseFacts, isTooOld } from './db/facts.ts'
import { profileOf } from './db/profile.ts'
import { aheadSentence, behindSentence, SCHEMA_VERSION } from './db/schema-version.ts'

/** Something that will bite: what it is, and what to do. */
export interface Finding {
  about: 'configuration' | 'database' | 'keys'
  sentence: string
}

/** Tokens say when they were issued, and a cut-off is a moment of the database's clock. */
const MOST_SKEW_MS = 5000

const schemaFinding = ({ migration, state }: DatabaseFacts['schema']): string | null => {
  switch (state) {
    case 'current':
      return null
    case 'empty':
    case 'behind':
      return behindSentence(migration ?? 0, SCHEMA_VERSION)
    case 'ahead':
      return aheadSentence(migration ?? 0, SCHEMA_VERSION)
    case 'unreadable':
      return 'This login may not read archon_mcp_migrations: grant it service_role and authenticated'
  }
}

/** What will bite a server with this configuration on a database of which these facts are known. */
export function databaseFindings(
  config: Pick<Config, 'production'>,
  url: string,
  facts: DatabaseFacts,
): Finding[] {
  const { name, mighty, owns, missingRoles, openTables, clockAheadMs, pooled, cached } = facts
  const profile = profileOf(url)
  const behind = clockAheadMs < 0 ? 'behind' : 'ahead of'
  const found: (string | false | null)[] = [
    isTooOld(facts) && 'The server is older than Postgres 15: upgrade it',
    schemaFinding(facts.schema),
    mighty && `${name} is above every policy of the database: give DATABASE_URL a login of its own`,
    !mighty &&
      owns &&
      `${name} owns the tables and is above their policies: give DATABASE_URL a login that owns nothing`,
    missingRoles.length > 0 &&
      `${name} lacks rights: have the owner run grant ${missingRoles.join(', ')} to ${name}`,
    config.production &&
      openTables.length > 0 &&
      `Row-level security is off on ${openTables.join(', ')}: have the owner run select archon_mcp_enable_rls()`,
    pooled &&
      profile !== 'transaction-pooler' &&
      'A pooler gives connections for one transaction, and prepared statements will fail: add ?profile=transaction-pooler to DATABASE_URL',
    cached &&
      'Reads are answered from a cache, so budgets would be judged by what was: create Hyperdrive with --caching-disabled',
    Math.abs(clockAheadMs) > MOST_SKEW_MS &&
      `The clock of the database is ${Math.round(Math.abs(clockAheadMs) / 1000)} s ${behind} this one's: set both by NTP`,
  ]
  return found
    .filter((sentence) => typeof sentence === 'string')
    .map((sentence) => ({ about: 'database', sentence }))
}

/** What will bite when keys are fetched: `failure` says why they could not be, `keys` how many can verify a token. */
export const keyFindings = (
  url: string,
  { failure, keys }: { failure?: string; keys?: number },
): Finding[] => {
  const { host } = new URL(url)
  if (failure !== undefined)
    return [{ about: 'keys', sentence: `The keys at ${host} (JWKS_URL) cannot be fetched: ${failure}` }]
  return keys === 0
    ? [
        {
          about: 'keys',
          sentence: `There is no key to verify with at ${host} (JWKS_URL): is it the right address?`,
        },
      ]
    : []
}
