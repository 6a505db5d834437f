import { type ChildProcess, spawn } from 'node:child_process'
import { Agent, request as send } from 'node:http'
import { fileURLToPath } from 'node:url'
import { connect } from '../../src/db/client.ts'
import { migrate } from '../../src/db/migrate.ts'
import { startPostgres } from '../../src/trial/postgres.ts'
import { callTool, mcpHeaders, modern, tokenFor } from '../support/mcp.ts'
import { firstLine } from '../support/process.ts'

const ROUNDS = 5
const CALLS_A_ROUND = 4000
const CONNECTIONS = 50

interface Measured {
  callsPerSecond: number
  p50Ms: number
  cpuMicrosPerCall: number
}

const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
const median = (values: number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** One POST; node:http, since fetch would be the limit. */
const post = (port: number, headers: Record<string, string>, body: string) =>
  new Promise<void>((resolve, reject) => {
    const call = send(
      { port, host: '127.0.0.1', path: '/mcp', method: 'POST', headers, agent },
      (response) => {
        response.resume()
        response.once('end', () => {
          if (response.statusCode === 200) resolve()
          else reject(new Error(`answered ${response.statusCode}`))
        })
      },
    )
    call.once('error', reject)
    call.end(body)
  })

async function round(port: number, headers: Record<string, string>, body: string): Promise<Measured> {
  const cpu = async () => {
    const { user, system } = (await (await fetch(`http://127.0.0.1:${port}/cpu`)).json()) as NodeJS.CpuUsage
    return user + system
  }
  const cpuBefore = await cpu()
  const latencies: number[] = []
  let left = CALLS_A_ROUND
  const start = performance.now()
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      while (left-- > 0) {
        const sent = performance.now()
        await post(port, headers, body)
        latencies.push(performance.now() - sent)
      }
    }),
  )
  const seconds = (performance.now() - start) / 1000
  return {
    callsPerSecond: CALLS_A_ROUND / seconds,
    p50Ms: median(latencies),
    cpuMicrosPerCall: ((await cpu()) - cpuBefore) / CALLS_A_ROUND,
  }
}

/** `tools/call` with the kit in front, against the same handler with nothing in front, in turn. */
export async function throughput(): Promise<void> {
  const postgres = await startPostgres({ durable: true })
  const owner = connect(postgres.url, { max: 1 })
  const children: ChildProcess[] = []
  try {
    await migrate(owner, { direction: 'up' })
    const start = async (kind: string): Promise<number> => {
      const script = fileURLToPath(new URL('server.ts', import.meta.url).href)
      const child = spawn(process.execPath, [script, kind, postgres.url], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      children.push(child)
      return Number(await firstLine(child))
    }
    const ports = { bare: await start('bare'), governed: await start('governed') }
    const { body, headers } = modern(callTool('echo', { text: 'hello' }))
    const all = mcpHeaders({ token: await tokenFor('Bench'), headers })
    const json = JSON.stringify(body)
    const rounds: Record<keyof typeof ports, Measured[]> = { bare: [], governed: [] }
    for (let turn = 0; turn <= ROUNDS; turn += 1) {
      for (const kind of ['bare', 'governed'] as const) {
        const measured = await round(ports[kind], all, json)
        // The first warms up.
        if (turn > 0) rounds[kind].push(measured)
      }
    }
    const of = (kind: keyof typeof ports, what: keyof Measured) =>
      median(rounds[kind].map((each) => each[what]))
    console.log(`${ROUNDS} rounds of ${CALLS_A_ROUND} calls, ${CONNECTIONS} connections, one user; medians`)
    for (const kind of ['bare', 'governed'] as const) {
      console.log(
        `${kind.padEnd(9)} ${of(kind, 'callsPerSecond').toFixed(0).padStart(6)} calls/s   p50 ${of(kind, 'p50Ms').toFixed(1)} ms   Node CPU ${of(kind, 'cpuMicrosPerCall').toFixed(0)} us a call`,
      )
    }
    const ratios = rounds.bare.map(
      (bare, turn) => rounds.governed[turn]!.callsPerSecond / bare.callsPerSecond,
    )
    console.log(
      `governed / bare ${median(ratios).toFixed(2)} [${Math.min(...ratios).toFixed(2)}..${Math.max(...ratios).toFixed(2)}]`,
    )
    const [rows] = await owner`
      select count(*)::integer as calls, count(*) filter (where status = 'success')::integer as success
      from archon_mcp_requests`
    console.log(`on record: ${rows?.['calls']} calls, ${rows?.['success']} closed as success`)
  } finally {
    for (const child of children) child.kill('SIGTERM')
    await owner.end({ timeout: 1 })
    await postgres.stop()
    agent.destroy()
  }
}
