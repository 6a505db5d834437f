import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ROOT, WRANGLER } from '../support/wrangler.ts'

const RUNS = 7
const MOST_MS = 50

/** What `wrangler check startup` writes, in the format of Chrome's DevTools. */
interface Profile {
  nodes: { id: number; callFrame: { functionName: string } }[]
  samples: number[]
  /** Microseconds since the sample before. */
  timeDeltas: number[]
}

/** Milliseconds in which the runtime was at work. */
function activeMs({ nodes, samples, timeDeltas }: Profile): number {
  const idle = nodes.find(({ callFrame }) => callFrame.functionName === '(idle)')?.id
  return timeDeltas.reduce((sum, micros, i) => (samples[i] === idle ? sum : sum + micros), 0) / 1000
}

async function profiled(folder: string): Promise<Profile> {
  const file = join(folder, 'startup.cpuprofile')
  await promisify(execFile)(process.execPath, [WRANGLER, 'check', 'startup', '--outfile', file], {
    cwd: ROOT,
    env: { PATH: process.env['PATH'], HOME: folder, WRANGLER_SEND_METRICS: 'false', NO_COLOR: '1' },
  })
  return JSON.parse(readFileSync(file, 'utf8')) as Profile
}

/**
 * How long the Worker's start keeps a core busy, as it is deployed. What else runs on this machine is in the profile
 * too, so the least of several starts counts.
 */
export async function startup(): Promise<void> {
  console.log(`${cpus().length} cores (${cpus()[0]?.model.trim() ?? 'unknown'}) · wrangler check startup`)
  const folder = mkdtempSync(join(tmpdir(), 'mcp-user-context-startup-'))
  try {
    const runs: number[] = []
    while (runs.length < RUNS) runs.push(activeMs(await profiled(folder)))
    const least = Math.min(...runs)
    console.log(
      `start of the Worker: ${runs.map((ms) => ms.toFixed(1)).join(', ')} ms of CPU, ${least.toFixed(1)} at least`,
    )
    if (least > MOST_MS) throw new Error(`The start takes more than ${MOST_MS} ms of CPU`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
