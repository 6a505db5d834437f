import { checkup } from './cli-checkup.ts'
import { parse, refuseMore, say, UsageError, withDatabase } from './cli-run.ts'
import { type BudgetDifference, checkBudgets } from './limits/quotas.ts'

const budgets = (count: number): string => (count === 1 ? '1 budget' : `${count} budgets`)

function differs({ quota_id, holder, starts_at, ...amounts }: BudgetDifference): string {
  const since = starts_at === null ? '' : ` since ${starts_at.toISOString()}`
  const { used, held, calls_used, calls_held } = amounts
  return `${quota_id} of ${holder}${since}: used ${used}, held ${held}; its calls used ${calls_used}, hold ${calls_held}`
}

/** `doctor`: what will bite a server; `doctor --ledger`: whether every budget says what its calls do. Exit code 1 for one that does not. */
export async function doctorCommand(args: string[]): Promise<void> {
  const { values, positionals } = parse(args, { ledger: { type: 'boolean' }, fix: { type: 'boolean' } })
  refuseMore(positionals)
  if (!values.ledger && values.fix) throw new UsageError('--fix belongs to --ledger')
  if (!values.ledger) return checkup()
  await withDatabase(async (sql) => {
    const { checked, differences } = await checkBudgets(sql, values.fix === true)
    for (const difference of differences) say(differs(difference))
    if (differences.length === 0) return say(`${budgets(checked)} checked: all agree with their calls`)
    const found = `${budgets(checked)} checked: ${differences.length} differed from the calls`
    if (values.fix)
      return say(`${found}, and say now what those do; archon_mcp_repairs keeps what was changed`)
    say(`${found}; --fix sets that right`)
    process.exitCode = 1
  })
}
