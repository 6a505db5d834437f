import { parseArgs } from 'node:util'
import { connect, type Sql } from '../../src/db/client.ts'
import { prepareTrialDatabase } from '../../src/trial/database.ts'
import { onDatabase } from '../support/urls.ts'
import { postgresCpuMicros } from './cpu.ts'
import { startDatabase } from './database.ts'
import { fillHistory, groupCaller, type GroupOptions, ledgerLoop } from './group-load.ts'
import { putBudgets } from './limits-of-comparison.ts'
import { printMachine } from './machine.ts'
import { spread, table } from './statistics.ts'

const SIZES = [1, 10, 25, 50, 100]
const HISTORY = 200_000
const USERS = 100

/** What a group has to be held to; budgets are rows of the database, so those with and without lie in two. */
interface Setting {
  name: string
  url: string
  rate: boolean
  endsAlone?: boolean
}

interface Figures {
  micros: number
  callsPerSecond: number
}

/** One connection, one group after the other. */
async function measure(
  sql: Sql,
  postmaster: number,
  options: GroupOptions,
  seconds: number,
): Promise<Figures> {
  const before = postgresCpuMicros(postmaster)
  const start = performance.now()
  const calls = await ledgerLoop(sql, options, start + seconds * 1000)
  const elapsed = (performance.now() - start) / 1000
  return { micros: (postgresCpuMicros(postmaster) - before) / calls, callsPerSecond: calls / elapsed }
}

async function postgresPerCall(
  postmaster: number,
  settings: Setting[],
  rounds: number,
  seconds: number,
): Promise<void> {
  const callers = await Promise.all(Array.from({ length: USERS }, (_, place) => groupCaller(place)))
  const found = new Map<string, Figures[]>()
  for (let turn = 0; turn <= rounds; turn += 1) {
    for (const { name, url, rate, endsAlone = false } of settings) {
      // A new connection, as a server that starts has: what is planned once is in the numbers, but for the first.
      const sql = connect(url, { max: 1 })
      for (const size of SIZES) {
        const options = { size, callers, rate, endsAlone }
        await ledgerLoop(sql, options, performance.now() + 200)
        const figures = await measure(sql, postmaster, options, seconds)
        if (turn > 0) found.set(`${name} ${size}`, [...(found.get(`${name} ${size}`) ?? []), figures])
      }
      await sql.end()
    }
  }
  const cell = (name: string, size: number, what: keyof Figures): string =>
    spread(
      found.get(`${name} ${size}`)!.map((each) => each[what]),
      0,
    )
  console.log('Postgres CPU per call in us (and calls per second of one connection), by the size of groups')
  const head = ['', ...SIZES.map(String)]
  const rows = settings.flatMap(({ name }) => [
    [name, ...SIZES.map((size) => cell(name, size, 'micros'))],
    ['  calls/s', ...SIZES.map((size) => cell(name, size, 'callsPerSecond'))],
  ])
  console.log(table([head, ...rows]))
}

/** Every call of four connections on one department's budget, its row locked by each group in turn. */
async function hotDepartment(owner: Sql, url: string, seconds: number): Promise<void> {
  const callers = await Promise.all(Array.from({ length: USERS }, (_, place) => groupCaller(place)))
  const rates: number[] = []
  const deadlocks = async (): Promise<number> => {
    const [row] = await owner<{ deadlocks: number }[]>`
      select sum(deadlocks)::integer as deadlocks from pg_stat_database`
    return row!.deadlocks
  }
  const before = await deadlocks()
  for (let turn = 0; turn < 3; turn += 1) {
    const clients = Array.from({ length: 4 }, () => connect(url, { max: 1 }))
    const start = performance.now()
    const end = start + seconds * 1000
    const calls = await Promise.all(
      clients.map((sql) => ledgerLoop(sql, { size: 25, callers, rate: true }, end)),
    )
    rates.push(calls.reduce((sum, each) => sum + each, 0) / ((performance.now() - start) / 1000))
    await Promise.all(clients.map((sql) => sql.end()))
  }
  // The statistics of a session arrive when it ends, or within a second.
  await owner`select pg_stat_clear_snapshot()`
  const found = (await deadlocks()) - before
  console.log(
    `hot department, four connections, groups of 25: ${spread(rates, 0)} calls/s, ${found} deadlocks  ` +
      (found === 0 ? 'ok' : 'VIOLATED'),
  )
  if (found > 0) throw new Error(`${found} deadlocks`)
}

/** What the ledger's statement costs Postgres, by the size of groups, straight and without a server. */
export async function groups(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: { rounds: { type: 'string', default: '3' }, seconds: { type: 'string', default: '1' } },
  })
  await using database = await startDatabase()
  const { owner, postgres } = database
  await printMachine(owner)
  console.log(
    `runLedger() with the ends of one group and the calls of the next, or (as a Worker's) its ends alone; ` +
      `${USERS} users of one department, ${HISTORY} calls in the table; ${values.rounds} rounds, medians [min..max]`,
  )
  await owner`create database budgeted`
  const budgeted = await prepareTrialDatabase(onDatabase(postgres.url, 'budgeted'))
  const appUrl = (await prepareTrialDatabase(postgres.url)).appUrl
  for (const url of [postgres.url, budgeted.ownerUrl]) await fillHistory(url, HISTORY, USERS)
  const sql = connect(budgeted.ownerUrl, { max: 1 })
  await putBudgets(sql)
  await sql.end()
  const budgetedUrl = onDatabase(appUrl, 'budgeted')
  const settings = [
    { name: 'no limit', url: appUrl, rate: false },
    { name: 'a rate', url: appUrl, rate: true },
    { name: 'a rate, two budgets', url: budgetedUrl, rate: true },
    { name: 'no limit, ends alone', url: appUrl, rate: false, endsAlone: true },
    { name: 'a rate, two budgets, ends alone', url: budgetedUrl, rate: true, endsAlone: true },
  ]
  await postgresPerCall(postgres.pid, settings, Number(values.rounds), Number(values.seconds))
  await hotDepartment(owner, budgetedUrl, 3)
}
