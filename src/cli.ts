#!/usr/bin/env node
import { tokenFaults } from './auth/token-options.ts'
import { parse, refuseMore, say, UsageError, variable, withDatabase } from './cli-run.ts'
import { ACCESS_TOKEN_COMMANDS } from './cli-token.ts'
import { errorCode } from './db/client.ts'
import { migrate, migrationStatus, printMigrations } from './db/migrate.ts'
import { removeSampleData } from './trial/sample-data.ts'
import { TRIAL_FOLDER } from './trial/database.ts'
import { loadIdentity, mintToken, type TrialIdentity } from './trial/identity.ts'
import { rememberPerson, ROLES } from './trial/people.ts'

const USAGE = `Usage: mcp-user-context COMMAND

  migrate up [--to N]            apply what is pending, up to migration N
  migrate down [--to N | --all]  undo one migration, all after N, or all
  migrate status                 what is applied, and what is not
  migrate print                  the SQL that "up" would run
  token NAME [--role R] [--department D] [--email E] [--scope "S ..."]
                                 a token for 30 days; R is one of ${ROLES.join(', ')}
  token create --user ID | --service S [--name N] [--scope S]... [--days 90]
                                 a personal access token; it is printed this once
  token list [--user ID] [--service S] [--all] [--json]
  token revoke ID
  quota list [--json]            what is allowed, and what is left of it
  quota set --scope S [--subject ID] --metric requests|tokens|cost|unpriced --limit N --window W
    [--timezone Z] [--hour H] [--day-of-month D] [--day-of-week W] [--tool T]... [--model M]...
    [--mode observe|warn|enforce] [--warn-at SHARE]... [--id ID]
                                 create or change a budget; S is one of user, department, everyone, each_user,
                                 each_department, and W one of minute, hour, day, week, month, total
  quota set --kind rate --scope S [--subject ID] --limit N --window-seconds N [--burst N] [--tool T]...
                                 create or change a rate
  quota remove ID
  quota preview ... [--days 30]  whom such a quota would have refused, options as of "quota set"
  prices list [--model M] [--json]
                                 what models and tools cost, and which models have no price; M is a part of a name
  prices set --provider P --model M --input USD --output USD [--cached USD] [--date D] [--notes N]
                                 what 1,000 tokens cost from a day of UTC on, today unless told otherwise
  prices set --tool T --price USD [--from MOMENT] [--remark R]
                                 what each call of a tool costs by itself, from now on unless told otherwise
  prices sync [--dry-run] [--provider P]...
                                 today's prices of @pydantic/genai-prices, those of the makers of models unless told
                                 otherwise; the first provider that has a model counts, and nothing is overwritten
  prices rerate --from D [--to D] [--model M]...
                                 price recorded calls anew, up to and not with the second day, on the record
  users import FILE [--dry-run]  where users belong from now on, from a CSV file with the columns department, perhaps role,
                                 and user_id, or email, or issuer and subject; all or nothing
  erase USER [--dry-run]         forgets a person, while the sums stay; USER is an id
  retention [--calls DAYS] [--sessions DAYS] [--errors DAYS] [--audit DAYS] [--names on|off]
                                 for how long data is kept, and sets it; DAYS may be "forever"
  sample remove                  takes the trial's sample users away, with all that is theirs
  doctor                         what will bite a server with this environment: configuration, database and keys
  doctor --ledger [--fix]        whether every budget agrees with its calls; --fix sets right what does not

DATABASE_URL names the database, with the owner's login; without it, the one of the trial in ${TRIAL_FOLDER}/.
Tokens are signed for SUPABASE_JWT_SECRET, JWT_ISSUER and JWT_AUDIENCE; without them, for the trial.`

async function migrateCommand(args: string[]): Promise<void> {
  const { values, positionals } = parse(args, { to: { type: 'string' }, all: { type: 'boolean' } })
  const [action, ...rest] = positionals
  refuseMore(rest)
  if (values.to !== undefined && !/^\d+$/.test(values.to))
    throw new UsageError('--to takes the number of a migration')
  if (values.to !== undefined && values.all) throw new UsageError('Give --to or --all, not both')
  if (values.all && action !== 'down') throw new UsageError('--all belongs to "migrate down"')
  if (values.to !== undefined && action !== 'up' && action !== 'down') {
    throw new UsageError('--to belongs to "migrate up" and "migrate down"')
  }
  const to = values.all ? 0 : values.to === undefined ? undefined : Number(values.to)
  switch (action) {
    case 'up':
    case 'down':
      return withDatabase(async (sql) => {
        const done = await migrate(sql, { direction: action, to, log: say })
        if (done.length === 0) say('Nothing to do')
      })
    case 'status':
      return withDatabase(async (sql) => {
        for (const { name, state, appliedAt } of await migrationStatus(sql)) {
          say([state.padEnd(8), name, appliedAt?.toISOString() ?? ''].join(' ').trimEnd())
        }
      })
    case 'print':
      // Without a database to look at, everything: this command starts no server.
      if (variable('DATABASE_URL') === undefined) return say(await printMigrations(null))
      return withDatabase(async (sql) => say(await printMigrations(sql)))
    case undefined:
    default:
      throw new UsageError(`migrate what? "${action ?? ''}" is not one of up, down, status, print`)
  }
}

/** Whether the environment leaves tokens to the trial. */
const isTrial = (): boolean =>
  variable('SUPABASE_JWT_SECRET') === undefined && variable('JWKS_URL') === undefined

/** The identity provider of the environment, as the server would see it, or the trial's. */
function identity(): TrialIdentity {
  const secret = variable('SUPABASE_JWT_SECRET')
  if (isTrial()) return loadIdentity(TRIAL_FOLDER)
  if (secret === undefined) {
    throw new UsageError('The keys of JWKS_URL are at your identity provider: only it can sign tokens')
  }
  const issuer = variable('JWT_ISSUER')
  const audience = variable('JWT_AUDIENCE')?.split(',')[0]?.trim() ?? variable('PUBLIC_URL')
  if (issuer === undefined || audience === undefined) {
    throw new UsageError('Beside SUPABASE_JWT_SECRET set JWT_ISSUER, and JWT_AUDIENCE or PUBLIC_URL')
  }
  const [fault] = tokenFaults({ secret, issuer, audience })
  if (fault !== undefined) throw new UsageError(`SUPABASE_JWT_SECRET, JWT_ISSUER, JWT_AUDIENCE: ${fault}`)
  return { secret, issuer, audience }
}

async function tokenCommand(args: string[]): Promise<void> {
  const [word = '', ...more] = args
  const command = Object.hasOwn(ACCESS_TOKEN_COMMANDS, word) ? ACCESS_TOKEN_COMMANDS[word] : undefined
  if (command !== undefined) return await command(more)
  const text = { type: 'string' } as const
  const { values, positionals } = parse(args, { role: text, department: text, email: text, scope: text })
  const [name, ...rest] = positionals
  if (name === undefined) throw new UsageError('Whose token? Give a name')
  if (rest.length > 0)
    throw new UsageError(`Unexpected argument "${rest[0]}": put a name of several words in quotes`)
  if (name.trim() === '' || name.length > 100) throw new UsageError('A name has 1 to 100 characters')
  const role = ROLES.find((each) => each === (values.role ?? 'member'))
  if (role === undefined) throw new UsageError(`"${values.role}" is not one of ${ROLES.join(', ')}`)
  const person = { name, role, department: values.department, email: values.email }
  // Where the trial vouches for them, they may sign in too.
  if (isTrial()) await rememberPerson(TRIAL_FOLDER, person)
  say(await mintToken(identity(), { ...person, scope: values.scope }))
}

async function sampleCommand([action, ...rest]: string[]): Promise<void> {
  if (action !== 'remove') throw new UsageError(`sample what? "${action ?? ''}" is not remove`)
  refuseMore(rest)
  return withDatabase(async (sql) => say(`Removed ${await removeSampleData(sql)} sample users`))
}

/** What only one command needs, schemas above all, is loaded for that one. */
const COMMANDS: Record<string, (args: string[]) => Promise<void>> = {
  migrate: migrateCommand,
  token: tokenCommand,
  quota: async (args) => (await import('./cli-quota.ts')).quotaCommand(args),
  prices: async (args) => (await import('./cli-prices.ts')).pricesCommand(args),
  users: async (args) => (await import('./cli-users.ts')).usersCommand(args),
  sample: sampleCommand,
  doctor: async (args) => (await import('./cli-doctor.ts')).doctorCommand(args),
  erase: async (args) => (await import('./cli-personal.ts')).eraseCommand(args),
  retention: async (args) => (await import('./cli-personal.ts')).retentionCommand(args),
}

async function main([command = '', ...args]: string[]): Promise<void> {
  if (['help', '--help', '-h'].includes(command)) return say(USAGE)
  const run = Object.hasOwn(COMMANDS, command) ? COMMANDS[command] : undefined
  if (!run) throw new UsageError(command === '' ? 'Give a command' : `Unknown command "${command}"`)
  return run(args)
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  const message = error instanceof Error ? error.message || errorCode(error) : String(error)
  const usage = error instanceof UsageError
  process.stderr.write(usage ? `${message}\n\n${USAGE}\n` : `${message}\n`)
  process.exitCode = usage ? 2 : 1
}
