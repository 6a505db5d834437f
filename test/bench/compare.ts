import { parseArgs } from 'node:util'
import { connect } from '../../src/db/client.ts'
import { callerNamed, createClient } from './client.ts'
import { type BenchDatabase, startDatabase } from './database.ts'
import { DEPARTMENT, putBudgets } from './limits-of-comparison.ts'
import { type Load, type Measured, measure } from './load.ts'
import { printMachine } from './machine.ts'
import { type BenchProcess, startProcess, startServer } from './processes.ts'
import { median, pause, spread, table } from './statistics.ts'
import { makeChainTables } from './usual-chain.ts'

const CONNECTIONS = 50
const USERS = Array.from({ length: 20 }, (_, place) => `user${place}`)

export interface Comparison {
  /** Servers (server.ts) to be measured in turn; the first is what the others are compared with. */
  kinds: readonly string[]
  rounds: number
  seconds: number
  /** Milliseconds of a round trip between server and Postgres. */
  distanceMs: number
}

const DESCRIPTIONS: Record<string, string> = {
  bare: 'the handler, nothing in front, given its parsed body',
  governed: 'the kit: session, rate, two budgets, usage; groups of calls share a statement',
  'one-by-one': 'the same, one statement per call',
  'usual-chain':
    'jose per request, limiter in memory, session select, quota update, insert, update at the end',
}

async function atDistance(
  { appUrl, postgres }: BenchDatabase,
  milliseconds: number,
  started: AsyncDisposableStack,
): Promise<string> {
  if (milliseconds === 0) return appUrl
  const proxy = started.use(await startProcess('distance.ts', [String(postgres.port), String(milliseconds)]))
  const url = new URL(appUrl)
  url.port = String(proxy.port)
  return url.href
}

async function roundTripMs(url: string): Promise<number> {
  const sql = connect(url, { max: 1 })
  const times: number[] = []
  for (let turn = 0; turn < 30; turn += 1) {
    const start = performance.now()
    await sql`select 1`
    times.push(performance.now() - start)
  }
  await sql.end()
  return median(times)
}

/** A call alone on an idle server: what a caller waits for the kit, when nobody else calls. */
async function alone(port: number, load: Load): Promise<number> {
  const { p50Ms } = await measure(port, { ...load, connections: 1, seconds: 1 })
  return p50Ms
}

function print(rounds: Map<string, Measured[]>, idleMs: Map<string, number>): void {
  const kinds = [...rounds.keys()]
  const of = (kind: string, what: keyof Measured): number[] => rounds.get(kind)!.map((each) => each[what])
  const rows = kinds.map((kind) => [
    kind,
    spread(of(kind, 'callsPerSecond'), 0),
    median(of(kind, 'p50Ms')).toFixed(1),
    idleMs.get(kind)!.toFixed(2),
    median(of(kind, 'nodeMicros')).toFixed(0),
    median(of(kind, 'statements')).toFixed(2),
    median(of(kind, 'postgresMicros')).toFixed(0),
  ])
  const head = [
    'server',
    'calls/s',
    'p50 ms',
    'p50 alone',
    'Node us/call',
    'statements/call',
    'Postgres us/call',
  ]
  console.log(table([head, ...rows]))
  const ratio = (kind: string, to: string, what: keyof Measured): string =>
    spread(of(kind, what).map((value, turn) => value / of(to, what)[turn]!))
  for (const to of kinds.filter((kind) => kind !== 'governed')) {
    console.log(
      `governed / ${to}: throughput ${ratio('governed', to, 'callsPerSecond')}, ` +
        `Node CPU ${ratio('governed', to, 'nodeMicros')}, p50 ${ratio('governed', to, 'p50Ms')}`,
    )
  }
}

/** Measures servers in turn, round after round, so that whatever else the machine does meets all of them. */
export async function compareServers({ kinds, rounds, seconds, distanceMs }: Comparison): Promise<void> {
  await using database = await startDatabase()
  await using started = new AsyncDisposableStack()
  const { owner, postgres } = database
  await printMachine(owner)
  await putBudgets(owner)
  await makeChainTables(owner, USERS)
  const url = await atDistance(database, distanceMs, started)
  console.log(
    `${rounds} rounds of ${seconds} s each, in turn; ${CONNECTIONS} connections, ${USERS.length} users of one department; ` +
      `a round trip to Postgres takes ${(await roundTripMs(url)).toFixed(2)} ms; medians [min..max]`,
  )
  const servers = new Map<string, BenchProcess>()
  for (const kind of kinds) {
    console.log(`${kind.padEnd(11)} ${DESCRIPTIONS[kind]}`)
    servers.set(kind, started.use(await startServer(kind, url)))
  }
  const callers = await Promise.all(USERS.map((name) => callerNamed(name, DEPARTMENT)))
  const messages = callers.map((caller) => caller.call('echo', { text: 'hello' }))
  const client = started.use(createClient(CONNECTIONS))
  const load: Load = { client, messages, connections: CONNECTIONS, seconds, postgres: postgres.pid }
  const measured = new Map<string, Measured[]>(kinds.map((kind) => [kind, []]))
  for (let turn = 0; turn <= rounds; turn += 1) {
    for (const [kind, { port }] of servers) {
      const round = await measure(port, load)
      // The first warms up.
      if (turn > 0) measured.get(kind)!.push(round)
    }
  }
  const idleMs = new Map<string, number>()
  for (const [kind, { port }] of servers) idleMs.set(kind, await alone(port, load))
  print(measured, idleMs)
  // The last call's end goes alone, a moment after its answer.
  await pause(200)
  const [rows] = await owner`
    select count(*)::integer as calls, count(*) filter (where status = 'success')::integer as success
    from archon_mcp_requests`
  console.log(`on record by the kit: ${rows?.['calls']} calls, ${rows?.['success']} closed as success`)
}

/** `tools/call` with everything on, against nothing in front, one statement per call, and the usual chain. */
export async function compare(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      distance: { type: 'string', default: '0' },
      rounds: { type: 'string', default: '7' },
      seconds: { type: 'string', default: '2' },
    },
  })
  await compareServers({
    kinds: ['bare', 'governed', 'one-by-one', 'usual-chain'],
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    distanceMs: Number(values.distance),
  })
}

/** The two that matter most, for a quick look. */
export const throughput = (): Promise<void> =>
  compareServers({ kinds: ['bare', 'governed'], rounds: 5, seconds: 2, distanceMs: 0 })
