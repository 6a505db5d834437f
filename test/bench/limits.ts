import { parseArgs } from 'node:util'
import { identityIds } from '../../src/auth/user-id.ts'
import type { Sql } from '../../src/db/client.ts'
import { ISSUER } from '../support/mcp.ts'
import { putQuota } from '../support/quotas.ts'
import { callerNamed, createClient } from './client.ts'
import { startDatabase } from './database.ts'
import { faultsOf, type Metric, settle } from './limits-check.ts'
import { printMachine } from './machine.ts'
import { type BenchProcess, runtimeOf, startServer } from './processes.ts'
import { rush } from './rush.ts'
import { ESTIMATE } from './spender.ts'

const PROCESSES = 4
const ATTEMPTS = 5000
const CONNECTIONS = 250

/** 1,000 requests; of tokens and cost 200 estimates, so that calls must come back for what others gave back. */
const LIMITS: Record<Metric, string> = {
  requests: '1000',
  tokens: String(200 * ESTIMATE.tokens),
  cost: (200 * Number(ESTIMATE.cost)).toFixed(2),
}

/** A user of their own for each run, with a budget that never comes back: what is refused for good is. */
async function budgetOf(owner: Sql, name: string, metric: Metric): Promise<string> {
  const { firstId: subject } = await identityIds(ISSUER, name)
  return await putQuota(owner, { scope: 'user', subject, metric, limit: LIMITS[metric], window: 'total' })
}

interface Run {
  metric: Metric
  turn: number
  /** Whether one of the processes is killed in the middle. */
  kill: boolean
}

interface Instances {
  start: () => Promise<BenchProcess>
  processes: BenchProcess[]
}

async function attempt(owner: Sql, { start, processes }: Instances, run: Run): Promise<string[]> {
  const { metric, turn, kill } = run
  const name = `${metric}-${turn}${kill ? '-killed' : ''}`
  const quota = await budgetOf(owner, name, metric)
  const message = (await callerNamed(name)).call('spend')
  using client = createClient(CONNECTIONS)
  const began = performance.now()
  // One that has served runs before: a new process would be killed before it admits anything.
  const place = Object.keys(LIMITS).indexOf(metric)
  const victim = processes[place]!
  const seen = await rush({
    client,
    message,
    ports: processes.map(({ port }) => port),
    attempts: ATTEMPTS,
    ...(kill ? { victim } : {}),
    settle: () => settle(owner, quota),
  })
  if (kill) processes[place] = await start()
  const { faults, told } = await faultsOf(owner, quota, { metric, admitted: seen.admitted, killed: kill })
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  console.log(
    `${metric.padEnd(8)} ${kill ? 'one process killed' : `run ${String(turn).padStart(2)}`}: ` +
      `${seen.sent} attempts, ${seen.admitted} admitted, ${seen.refused} refused, ${seen.lost} lost; ${told}, ${seconds} s  ` +
      (faults.length === 0 ? 'ok' : `VIOLATED: ${faults.join('; ')}`),
  )
  return faults
}

/**
 * One user with a hard budget, and attempts at once on several processes: never above, and what is left is less than
 * what one more call might use.
 */
export async function limits(args: string[]): Promise<void> {
  const options = {
    runs: { type: 'string', default: '10' },
    runtime: { type: 'string', default: 'node' },
  } as const
  const { values } = parseArgs({ args, options })
  const runs = Number(values.runs)
  const runtime = runtimeOf(values.runtime)
  await using database = await startDatabase()
  const { owner } = database
  await printMachine(owner, runtime)
  console.log(
    `${PROCESSES} processes, one Postgres; ${ATTEMPTS} attempts of one user at once on ${PROCESSES * CONNECTIONS} connections; ` +
      `budgets of ${LIMITS.requests} requests, ${LIMITS.tokens} tokens (a call may use ${ESTIMATE.tokens}), ` +
      `${LIMITS.cost} USD (a call may use ${ESTIMATE.cost})`,
  )
  const start = (): Promise<BenchProcess> => startServer('spender', database.appUrl, runtime)
  const processes: BenchProcess[] = []
  const faults: string[] = []
  try {
    for (let count = 0; count < PROCESSES; count += 1) processes.push(await start())
    const go = async (metric: Metric, times: number, kill: boolean): Promise<void> => {
      for (let turn = 1; turn <= times; turn += 1)
        faults.push(...(await attempt(owner, { start, processes }, { metric, turn, kill })))
    }
    await go('requests', runs, false)
    for (const metric of ['tokens', 'cost'] as const) await go(metric, Math.ceil(runs / 4), false)
    for (const metric of ['requests', 'tokens', 'cost'] as const) await go(metric, 1, true)
    const [activity] = await owner`
      select deadlocks::integer from pg_stat_database where datname = current_database()`
    console.log(`deadlocks: ${activity?.['deadlocks']}`)
  } finally {
    await Promise.all(processes.map((each) => each.end('SIGTERM')))
  }
  if (faults.length > 0) throw new Error(`limits did not hold: ${faults.length} violations`)
}
