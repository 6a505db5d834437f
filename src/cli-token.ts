import { CLI_ACTOR } from './audit.ts'
import {
  type AccessTokenOwner,
  createAccessToken,
  DEFAULT_LIFE_DAYS,
  MAX_LIFE_DAYS,
  MAX_LIVE_TOKENS,
  revokeAccessToken,
} from './auth/access-tokens.ts'
import { parse, refuseMore, say, table, UsageError, withDatabase } from './cli-run.ts'
import { listAccessTokens } from './reports/access-tokens.ts'
import { isUuid } from './uuid.ts'

const text = { type: 'string' } as const
const texts = { type: 'string', multiple: true } as const

const userOf = (id: string): string => {
  if (!isUuid(id)) throw new UsageError('--user takes the id of a user')
  return id.toLowerCase()
}

function ownerOf(user: string | undefined, service: string | undefined): AccessTokenOwner {
  if ((user === undefined) === (service === undefined))
    throw new UsageError('Whose is it to be? Give --user ID or --service NAME')
  if (user !== undefined) return { userId: userOf(user) }
  return { service: labelOf('--service', service) }
}

function labelOf(option: string, value: string | undefined): string {
  if (value === undefined || value.trim() === '' || value.length > 100)
    throw new UsageError(`${option} takes 1 to 100 characters`)
  return value
}

function daysOf(typed: string | undefined): number {
  const days = typed === undefined ? DEFAULT_LIFE_DAYS : Number(typed)
  if (!Number.isInteger(days) || days < 1 || days > MAX_LIFE_DAYS)
    throw new UsageError(`--days takes a whole number from 1 to ${MAX_LIFE_DAYS}`)
  return days
}

function scopesOf(typed: readonly string[]): string[] {
  // RFC 6749 section 3.3.
  const bad = typed.find((scope) => !/^[\x21\x23-\x5b\x5d-\x7e]{1,100}$/.test(scope))
  if (bad !== undefined)
    throw new UsageError('--scope takes one scope, without spaces, quotes or backslashes')
  return [...new Set(typed)]
}

async function create(args: string[]): Promise<void> {
  const { values, positionals } = parse(args, {
    user: text,
    service: text,
    name: text,
    scope: texts,
    days: text,
  })
  refuseMore(positionals)
  const request = {
    owner: ownerOf(values.user, values.service),
    name: labelOf('--name', values.name ?? 'command line'),
    scopes: scopesOf(values.scope ?? []),
    lifeDays: daysOf(values.days),
  }
  await withDatabase(async (sql) => {
    const made = await createAccessToken(sql, request, { by: CLI_ACTOR })
    if (!('fault' in made)) return say(made.token)
    if (made.fault === 'too_many')
      throw new Error(`There are ${MAX_LIVE_TOKENS} live tokens already: revoke one first`)
    throw new Error('Nobody with this id has ever signed in here')
  })
}

const EVERYBODY = { role: 'service', userId: null, department: null } as const

async function list(args: string[]): Promise<void> {
  const { values, positionals } = parse(args, {
    user: text,
    service: text,
    all: { type: 'boolean' },
    json: { type: 'boolean' },
  })
  refuseMore(positionals)
  const filter = {
    userId: values.user === undefined ? undefined : userOf(values.user),
    service: values.service,
    status: values.all ? 'all' : 'live',
  } as const
  await withDatabase(async (sql) => {
    const { tokens } = await listAccessTokens(sql, EVERYBODY, filter, { limit: 10_000, after: null })
    if (values.json) return say(JSON.stringify(tokens, null, 2))
    if (tokens.length === 0) return say('There are no access tokens')
    const lines = tokens.map((token) => [
      token.token_id,
      token.user_id ?? `service ${token.service}`,
      token.name,
      token.scopes.join(' '),
      token.status,
      token.expires_at.slice(0, 10),
      token.last_used_at ?? 'never',
    ])
    say(table(['token', 'whose', 'name', 'scopes', 'status', 'until', 'last used'], lines))
  })
}

async function revoke(args: string[]): Promise<void> {
  const { positionals } = parse(args, {})
  const [id = '', ...rest] = positionals
  if (!isUuid(id)) throw new UsageError('Which token? Give its id, as "token list" shows it')
  refuseMore(rest)
  await withDatabase(async (sql) => {
    if (!(await revokeAccessToken(sql, id, null, CLI_ACTOR))) throw new Error(`There is no live token ${id}`)
    say(`revoked ${id}`)
  })
}

/** Commands on personal access tokens; any other word after `token` is the name of a user of the trial. */
export const ACCESS_TOKEN_COMMANDS: Record<string, (args: string[]) => Promise<void>> = {
  create,
  list,
  revoke,
}
