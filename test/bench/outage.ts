import { identityIds } from '../../src/auth/user-id.ts'
import { connect, type Sql } from '../../src/db/client.ts'
import { ISSUER } from '../support/mcp.ts'
import { putQuota } from '../support/quotas.ts'
import { type Caller, callerNamed } from './client.ts'
import { printMachine } from './machine.ts'
import { budgetFaults, recordFaults, runFaults } from './outage-check.ts'
import { startServer } from './processes.ts'
import { type RestartablePostgres, startRestartablePostgres } from './restartable-postgres.ts'
import { pause } from './statistics.ts'
import { type Fate, startLoad } from './steady-load.ts'

interface Bench {
  postgres: RestartablePostgres
  owner: Sql
  caller: Caller
  faults: string[]
}

const say = ({ faults }: Bench, name: string, told: string, found: string[]): void => {
  console.log(`${name}: ${told}  ${found.length === 0 ? 'ok' : `VIOLATED: ${found.join('; ')}`}`)
  faults.push(...found.map((fault) => `${name}: ${fault}`))
}

const count = (fates: Fate[], status: number): number => fates.filter((fate) => fate.status === status).length

/** A server that is killed under load leaves the row of every call that it answered. */
async function killServer(bench: Bench, turn: number): Promise<void> {
  const server = await startServer('spender', bench.postgres.appUrl)
  const prefix = `kill${turn}`
  const load = startLoad(server.port, bench.caller, prefix)
  await pause(2000)
  await server.end('SIGKILL')
  const fates = await load.stop()
  const { faults, rows } = await recordFaults(bench.owner, prefix, fates, false)
  const told = `${count(fates, 200)} answered, ${rows} rows`
  say(bench, `a server is killed (${turn})`, told, faults)
}

/** What happens to Postgres, and when it is there again. */
interface Outage {
  name: string
  happen: (bench: Bench) => Promise<void>
}

const stopped = (how: 'SIGINT' | 'SIGQUIT' | 'SIGKILL', seconds: number): Outage => ({
  name: `${{ SIGINT: 'a fast stop', SIGQUIT: 'an immediate stop', SIGKILL: 'a kill of the postmaster' }[how]}, back after ${seconds} s`,
  async happen({ postgres }) {
    await postgres.stop(how)
    await pause(seconds * 1000)
    await postgres.start()
  },
})

/** The postmaster then ends every connection, recovers and goes on by itself. */
const backendKilled: Outage = {
  name: 'a crash of one backend',
  async happen({ owner }) {
    const [victim] = await owner<{ pid: number }[]>`
      select pid from pg_stat_activity where usename = 'mcp_app' order by query_start desc limit 1`
    process.kill(victim!.pid, 'SIGKILL')
  },
}

async function outlast(bench: Bench, port: number, outage: Outage, turn: number): Promise<void> {
  const prefix = `outage${turn}`
  const load = startLoad(port, bench.caller, prefix)
  const began = performance.now()
  await pause(1500)
  await outage.happen(bench)
  const backMs = performance.now() - began
  await pause(2500)
  const fates = await load.stop()
  const { faults, rows, notRun } = await recordFaults(bench.owner, prefix, fates, true)
  const ran = (await (await fetch(`http://127.0.0.1:${port}/ran`)).json()) as string[]
  const first = Math.min(
    ...fates.filter(({ status, at }) => status === 200 && at > backMs).map(({ at }) => at),
  )
  const recovered = Number.isFinite(first) ? [] : ['no call was answered within 2.5 s after it was back']
  const longest = Math.max(...fates.filter(({ status }) => status === 200).map(({ ms }) => ms))
  const told =
    `${count(fates, 200)} answered, the longest after ${(longest / 1000).toFixed(1)} s; ${count(fates, 503)} told 503; ` +
    `first answer ${Number.isFinite(first) ? `${Math.round(first - backMs)} ms` : 'never'} after it was back; ${rows} rows, ${notRun} of them closed as not run`
  const mine = ran.filter((name) => name.startsWith(`${prefix}-`))
  say(bench, outage.name, told, [...faults, ...runFaults(fates, mine), ...recovered])
}

/** Kills servers, stops and crashes Postgres under load: nothing accepted is lost, nothing is counted twice. */
export async function outage(): Promise<void> {
  await using started = new AsyncDisposableStack()
  const postgres = started.use(await startRestartablePostgres())
  const owner = started.adopt(connect(postgres.ownerUrl, { max: 2 }), (sql) => sql.end({ timeout: 1 }))
  await printMachine(owner)
  console.log('30 connections, one user with budgets of requests; the handler takes up to 20 ms')
  const { firstId: subject } = await identityIds(ISSUER, 'outage')
  await putQuota(owner, { scope: 'user', subject, limit: 100_000_000, window: 'total' })
  const bench: Bench = { postgres, owner, caller: await callerNamed('outage'), faults: [] }
  for (let turn = 1; turn <= 3; turn += 1) await killServer(bench, turn)
  const outages = [
    stopped('SIGINT', 5),
    stopped('SIGQUIT', 5),
    stopped('SIGKILL', 5),
    backendKilled,
    stopped('SIGINT', 12),
  ]
  // One and the same process for all of them.
  const server = started.use(await startServer('spender', postgres.appUrl))
  for (const [turn, each] of outages.entries()) await outlast(bench, server.port, each, turn)
  await owner`select archon_mcp_sweep(now() + interval '1 hour', 10000)`
  const { faults, told } = await budgetFaults(owner)
  say(bench, 'in the end', told, faults)
  if (bench.faults.length > 0)
    throw new Error(`outages were not outlasted: ${bench.faults.length} violations`)
}
