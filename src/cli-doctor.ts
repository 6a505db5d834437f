import { checkup } from './cli-checkup.ts'
import { parse, refuseMore, say, UsageError, withDatabase } from './cli-run.ts'
import type { Sql } from './db/client.ts'
import { type BudgetDifference, checkBudgets } from './limits/quotas.ts'
import { checkRollups, firstWrongDay, rebuildRollups, type RollupDifference } from './usage/rollups.ts'

const budgets = (count: number): string => (count === 1 ? '1 budget' : `${count} budgets`)

function differs({ quota_id, holder, starts_at, ...amounts }: BudgetDifference): string {
  const since = starts_at === null ? '' : ` since ${starts_at.toISOString()}`
  const { used, held, calls_used, calls_held } = amounts
  return `${quota_id} of ${holder}${since}: used ${used}, held ${held}; its calls used ${calls_used}, hold ${calls_held}`
}

async function lookAtBudgets(sql: Sql, fix: boolean): Promise<void> {
  const { checked, differences } = await checkBudgets(sql, fix)
  for (const difference of differences) say(differs(difference))
  if (differences.length === 0) return say(`${budgets(checked)} checked: all agree with their calls`)
  const found = `${budgets(checked)} checked: ${differences.length} differed from the calls`
  if (fix) return say(`${found}, and say now what those do; archon_mcp_repairs keeps what was changed`)
  say(`${found}; --fix sets that right`)
  process.exitCode = 1
}

/** Rows to tell of one by one: where a whole day is wrong, all of its rows are. */
const ROWS_TOLD = 20

function isBeyond({ rollup, key, beyond }: RollupDifference): string {
  const figures = Object.entries(beyond).map(([name, by]) => `${name} ${by > 0 ? '+' : ''}${by}`)
  return `${rollup} of ${Object.values(key).join(', ') || 'nobody'}: ${figures.join(', ')}`
}

async function lookAtRollups(sql: Sql, fix: boolean): Promise<void> {
  const differences = await checkRollups(sql)
  for (const difference of differences.slice(0, ROWS_TOLD)) say(isBeyond(difference))
  if (differences.length > ROWS_TOLD) say(`… and ${differences.length - ROWS_TOLD} more`)
  if (differences.length === 0) return say('roll-ups checked: all agree with their calls')
  const found = `roll-ups checked: ${differences.length} ${differences.length === 1 ? 'row' : 'rows'} differed from the calls`
  if (fix) {
    await rebuildRollups(sql, firstWrongDay(differences, new Date().toISOString().slice(0, 10)))
    return say(`${found}, and were made anew; archon_mcp_rebuilds keeps how much was wrong`)
  }
  say(`${found}; --fix sets that right`)
  process.exitCode = 1
}

/**
 * `doctor`: what will bite a server; `doctor --ledger`: whether every budget and every roll-up says what its calls
 * do. Exit code 1 for one that does not.
 */
export async function doctorCommand(args: string[]): Promise<void> {
  const { values, positionals } = parse(args, { ledger: { type: 'boolean' }, fix: { type: 'boolean' } })
  refuseMore(positionals)
  if (!values.ledger && values.fix) throw new UsageError('--fix belongs to --ledger')
  if (!values.ledger) return checkup()
  await withDatabase(async (sql) => {
    await lookAtBudgets(sql, values.fix === true)
    await lookAtRollups(sql, values.fix === true)
  })
}
