import type { Sql } from '../../src/db/client.ts'
import { differences } from '../support/quotas.ts'
import { pause } from './statistics.ts'
import type { Fate } from './steady-load.ts'

interface Row {
  name: string
  status: string
  error: string | null
}

const rowsOf = (owner: Sql, prefix: string): Promise<Row[]> =>
  owner<Row[]>`
    select tool_name as name, status, error_message as error
    from archon_mcp_requests where starts_with(tool_name, ${`${prefix}-`})`

const some = (names: readonly string[], what: string): string[] =>
  names.length === 0 ? [] : [`${names.length} ${what}, such as ${names[0]}`]

/** Calls that were answered 200 are on record, once; `closed`: and their end too. */
export async function recordFaults(
  owner: Sql,
  prefix: string,
  fates: readonly Fate[],
  closed: boolean,
): Promise<{ faults: string[]; rows: number; notRun: number }> {
  const answered = fates.filter(({ status }) => status === 200).map(({ name }) => name)
  let rows = await rowsOf(owner, prefix)
  if (closed) {
    for (let wait = 0; wait < 100 && rows.some(({ status }) => status === 'open'); wait += 1) {
      await pause(100)
      rows = await rowsOf(owner, prefix)
    }
  }
  const byName = new Map(rows.map((row) => [row.name, row]))
  const open = rows.filter(({ status }) => status === 'open')
  const faults = [
    ...(closed
      ? some(
          open.map(({ name }) => name),
          'calls are still open after 10 s',
        )
      : []),
    ...some(
      answered.filter((name) => !byName.has(name)),
      'calls were answered and are not on record',
    ),
    ...(closed
      ? some(
          answered.filter((name) => byName.get(name)?.status !== 'success'),
          'answered calls are not closed as a success',
        )
      : []),
    ...(byName.size === rows.length ? [] : [`${rows.length - byName.size} rows too many`]),
  ]
  const notRun = rows.filter(({ error }) => error?.startsWith('not run')).length
  return { faults, rows: rows.length, notRun }
}

/** No tool ran whose client was told 503, and none ran twice. */
export function runFaults(fates: readonly Fate[], ran: readonly string[]): string[] {
  const runs = new Set(ran)
  const refused = fates.filter(({ status }) => status === 503)
  return [
    ...some(
      refused.filter(({ name }) => runs.has(name)).map(({ name }) => name),
      'calls ran although their client was told 503',
    ),
    ...some(
      refused.filter(({ retryAfter }) => retryAfter === undefined).map(({ name }) => name),
      'refusals without Retry-After',
    ),
    ...some(
      ran.filter((name, place) => ran.indexOf(name) !== place),
      'calls ran twice',
    ),
    ...some(
      fates
        .filter(({ status }) => ![200, 503].includes(status))
        .map(({ name, status }) => `${name}: ${status}`),
      'answers were neither 200 nor 503',
    ),
  ]
}

/** The budgets of a user are what their calls used, and hold nothing any more. */
export async function budgetFaults(owner: Sql, userId: string): Promise<{ faults: string[]; told: string }> {
  const [counts] = await owner<{ rows: string; names: string; used: string; held: string }[]>`
    select count(*) as rows, count(distinct tool_name) as names,
           (select trim_scale(max(used)) from archon_mcp_budgets) as used,
           (select trim_scale(sum(held)) from archon_mcp_budgets) as held
    from archon_mcp_requests where user_id = ${userId}`
  const { rows, names, used, held } = counts!
  const differing = await differences(owner)
  return {
    faults: [
      ...(rows === names && rows === used ? [] : ['something was counted twice, or not at all']),
      ...(held === '0' ? [] : [`${held} is held by nobody`]),
      ...(differing.length === 0 ? [] : [`doctor: ${JSON.stringify(differing)}`]),
    ],
    told: `budget used ${used} = ${rows} rows = ${names} distinct calls`,
  }
}
