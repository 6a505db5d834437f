import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { identityIds } from '../../src/auth/user-id.ts'
import { connect, type Sql } from '../../src/db/client.ts'
import { configured, startEntry } from '../support/entry.ts'
import { ISSUER, RESOURCE } from '../support/mcp.ts'
import { putQuota } from '../support/quotas.ts'
import { type Caller, callerNamed } from './client.ts'
import { printMachine } from './machine.ts'
import { budgetFaults, recordFaults, runFaults } from './outage-check.ts'
import { type Runtime, RUNTIMES, runtimeOf, startServer } from './processes.ts'
import { type RestartablePostgres, startRestartablePostgres } from './restartable-postgres.ts'
import { pause } from './statistics.ts'
import { type Fate, startLoad } from './steady-load.ts'

interface Bench {
  /** With which the servers run. */
  runtime: Runtime
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
  const server = await startServer('spender', bench.postgres.appUrl, bench.runtime)
  const prefix = `kill${turn}`
  const load = startLoad(server.port, bench.caller, prefix)
  await pause(2000)
  await server.end('SIGKILL')
  const fates = await load.stop()
  const { faults, rows } = await recordFaults(bench.owner, prefix, fates, false)
  const told = `${count(fates, 200)} answered, ${rows} rows`
  say(bench, `a server is killed (${turn})`, told, faults)
}

/** One that is told to stop lets calls in flight end, and records them all: nothing is left to the sweep. */
async function stopServer(bench: Bench, turn: number): Promise<void> {
  const { runtime, postgres } = bench
  await using tools = await startServer('tools', '')
  const entry = await startEntry(RUNTIMES[runtime], `src/${runtime}.ts`, {
    ...configured(postgres.appUrl),
    JWT_AUDIENCE: RESOURCE,
    UPSTREAM_MCP_URL: `http://127.0.0.1:${tools.port}/mcp`,
  })
  const prefix = `stop${turn}`
  const load = startLoad(Number(new URL(entry.origin).port), bench.caller, prefix)
  await pause(2000)
  const exit = once(entry.child, 'exit')
  entry.child.kill('SIGTERM')
  const [code] = (await exit) as [number | null]
  const fates = await load.stop()
  const { faults, rows } = await recordFaults(bench.owner, prefix, fates, true)
  const told = `${count(fates, 200)} answered, ${rows} rows, exit code ${code}`
  const all = [...faults, ...(code === 0 ? [] : ['it did not end by itself'])]
  say(bench, `a server is told to stop (${turn})`, told, all)
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

/** Kills and stops servers, stops and crashes Postgres under load: nothing accepted is lost, nothing is counted twice. */
export async function outage(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { runtime: { type: 'string', default: 'node' } } })
  const runtime = runtimeOf(values.runtime)
  await using started = new AsyncDisposableStack()
  const postgres = started.use(await startRestartablePostgres())
  const owner = started.adopt(connect(postgres.ownerUrl, { max: 2 }), (sql) => sql.end({ timeout: 1 }))
  await printMachine(owner, runtime)
  console.log('30 connections, one user with budgets of requests; the handler takes up to 20 ms')
  const { firstId: subject } = await identityIds(ISSUER, 'outage')
  await putQuota(owner, { scope: 'user', subject, limit: 100_000_000, window: 'total' })
  const bench: Bench = { runtime, postgres, owner, caller: await callerNamed('outage'), faults: [] }
  for (let turn = 1; turn <= 3; turn += 1) await killServer(bench, turn)
  for (let turn = 1; turn <= 3; turn += 1) await stopServer(bench, turn)
  const outages = [
    stopped('SIGINT', 5),
    stopped('SIGQUIT', 5),
    stopped('SIGKILL', 5),
    backendKilled,
    stopped('SIGINT', 12),
  ]
  // One and the same process for all of them.
  const server = started.use(await startServer('spender', postgres.appUrl, runtime))
  for (const [turn, each] of outages.entries()) await outlast(bench, server.port, each, turn)
  await owner`select archon_mcp_sweep(now() + interval '1 hour', 10000)`
  const { faults, told } = await budgetFaults(owner, subject)
  say(bench, 'in the end', told, faults)
  if (bench.faults.length > 0)
    throw new Error(`outages were not outlasted: ${bench.faults.length} violations`)
}
