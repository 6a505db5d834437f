import { CLI_ACTOR } from './audit.ts'
import { parse, refuseMore, say, table, UsageError, withDatabase } from './cli-run.ts'
import { eraseUser } from './personal-data/erase.ts'
import {
  type Retention,
  type RetentionChange,
  type RetentionState,
  retentionState,
  setRetention,
} from './personal-data/retention.ts'
import { isUuid } from './uuid.ts'

/** `erase USER [--dry-run]`: forgets a person, or tells what would go. */
export async function eraseCommand(args: string[]): Promise<void> {
  const { values, positionals } = parse(args, { 'dry-run': { type: 'boolean' } })
  const [userId, ...rest] = positionals
  refuseMore(rest)
  if (userId === undefined || !isUuid(userId))
    throw new UsageError('Who is to be erased? Give the id of a user')
  const dryRun = values['dry-run'] === true
  await withDatabase(async (sql) => {
    const receipt = await eraseUser(sql, userId.toLowerCase(), dryRun, CLI_ACTOR)
    if (receipt === null) throw new Error('Nothing is kept of a user with this id')
    const rows = Object.entries(receipt.tables).map(([name, count]) => [name, String(count)])
    say(table(['table', 'rows'], rows, [1]))
    say(receipt.erased_at === undefined ? 'Nothing was changed' : `Erased at ${receipt.erased_at}`)
  })
}

const KINDS = ['calls', 'sessions', 'errors', 'audit'] as const
const LEAST: Record<(typeof KINDS)[number], number> = { calls: 62, sessions: 1, errors: 1, audit: 30 }

function daysOf(kind: (typeof KINDS)[number], text: string): number | null {
  if (text === 'forever') return null
  const days = Number(text)
  if (!/^\d{1,5}$/.test(text) || days < LEAST[kind] || days > 36_500)
    throw new UsageError(`--${kind} takes days from ${LEAST[kind]} to 36500, or "forever"`)
  return days
}

const told = (days: number | null): string => (days === null ? 'for ever' : `for ${days} days`)

function show(state: RetentionState): void {
  for (const kind of KINDS) say(`${kind.padEnd(9)} are kept ${told(state[`${kind}_days` as const])}`)
  say(`names     are ${state.stores_names ? '' : 'not '}stored`)
  if (state.calls_complete_from !== null) say(`Every call is kept from ${state.calls_complete_from} on`)
  if (state.calls_held_by_quotas)
    say('No call goes while a budget of all time counts them: remove that budget, or keep calls for ever')
}

/** `retention [--calls DAYS]…`: shows for how long data is kept, and sets it. */
export async function retentionCommand(args: string[]): Promise<void> {
  const text = { type: 'string' } as const
  const { values, positionals } = parse(args, {
    calls: text,
    sessions: text,
    errors: text,
    audit: text,
    names: text,
  })
  refuseMore(positionals)
  const change: { -readonly [Key in keyof Retention]?: Retention[Key] } = {}
  for (const kind of KINDS) {
    const given = values[kind]
    if (given !== undefined) change[`${kind}_days`] = daysOf(kind, given)
  }
  if (values.names !== undefined) {
    if (values.names !== 'on' && values.names !== 'off') throw new UsageError('--names takes on or off')
    change.stores_names = values.names === 'on'
  }
  const changes: RetentionChange = change
  await withDatabase(async (sql) =>
    show(
      Object.keys(change).length === 0
        ? await retentionState(sql)
        : await setRetention(sql, changes, CLI_ACTOR),
    ),
  )
}
