import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect } from 'vitest'
import { CLEAN_ENV } from '../support/clean-env.ts'
import type { TestDatabase } from '../support/database.ts'
import { serveWithToken } from '../support/token-proxy.ts'
import { REQUIRED, type Revision } from './scenarios.ts'

/** What the suite says of a server; every list in alphabetical order. */
interface Verdict {
  /** Scenarios that the revision requires, by how they ended. */
  passed: string[]
  failed: string[]
  /** In which nothing was checked at all, which the suite counts as passed. */
  unchecked: string[]
  /** Scenarios that are run but not required, and failed. */
  failedUnscored: string[]
}

/** The scenarios of an extension that the official SDK does not have. */
const isExtension = (scenario: string): boolean => scenario.startsWith('tasks-')

const PACKAGE = dirname(
  createRequire(import.meta.url).resolve('@modelcontextprotocol/conformance/package.json'),
)

/** Far more than any scenario takes, so that a busy machine is no failure. */
const SCENARIO_TIMEOUT_MS = 30_000
const SUITE_TIMEOUT_MS = 240_000
/** For the test around it. */
export const TEST_TIMEOUT_MS = SUITE_TIMEOUT_MS + 60_000

/**
 * Runs what a revision requires of a guarded server with the official suite, which can carry no token of its own:
 * a listener in front of the server adds it.
 * @param origin where the server listens.
 * @param failing the scenarios that it cannot pass; it must pass all others.
 */
export async function expectConformance(
  origin: string,
  token: string,
  revision: Revision,
  failing: readonly string[] = [],
): Promise<void> {
  await using proxy = await serveWithToken(origin, token)
  const { exitCode, output, reasons } = await runSuite(`${proxy.origin}/mcp`, revision)
  const { failedUnscored, ...scored } = readVerdict(output)
  const unexpected = failedUnscored.filter((scenario) => !isExtension(scenario))
  expect({ ...scored, failedUnscored: unexpected, exitCode }, reasons || output).toEqual({
    passed: REQUIRED[revision].filter((scenario) => !failing.includes(scenario)).sort(),
    failed: [...failing].sort(),
    unchecked: [],
    failedUnscored: [],
    exitCode: failing.length === 0 ? 0 : 1,
  })
}

/** Every call has ended and belongs to a session; those that the suite walked away from end when it is gone. */
export async function expectTheRecord({ sql }: TestDatabase): Promise<void> {
  const calls = async (): Promise<unknown> => {
    const [row] = await sql`
      select count(*) > 50 as many, count(*) filter (where status = 'open') as open,
             count(*) filter (where session_id is null) as astray
      from archon_mcp_requests`
    return row
  }
  await expect.poll(calls, { timeout: 10_000 }).toEqual({ many: true, open: '0', astray: '0' })
}

/** Runs the suite in a process of its own, which is ended when it takes too long. */
async function runSuite(url: string, requirements: Revision) {
  const results = mkdtempSync(join(tmpdir(), 'mcp-user-context-conformance-'))
  const command = [join(PACKAGE, 'dist/index.js'), 'server', '--url', url, '--requirements', requirements]
  const options = ['--timeout', String(SCENARIO_TIMEOUT_MS), '--output-dir', results]
  const child = spawn(process.execPath, [...command, ...options], {
    cwd: results,
    env: { ...CLEAN_ENV },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: SUITE_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  }
  try {
    const [exitCode] = (await once(child, 'close')) as [number | null]
    return { exitCode, output, reasons: reasonsIn(results) }
  } finally {
    rmSync(results, { recursive: true, force: true })
  }
}

/** Why checks failed, as the suite wrote it down: `server-ping-2026-…: no answer`. */
function reasonsIn(results: string): string {
  const failures = globSync('*/checks.json', { cwd: results }).flatMap((file) => {
    const checks = JSON.parse(readFileSync(join(results, file), 'utf8')) as Record<string, string>[]
    const failed = checks.filter(
      ({ status }) => status === 'FAILURE' && !isExtension(file.slice('server-'.length)),
    )
    return failed.map(({ errorMessage }) => `${dirname(file)}: ${errorMessage}`)
  })
  return failures.join('\n')
}

/** The summary names each scenario once: `✓ ping: 2 passed, 0 failed`; those not scored follow it. */
function readVerdict(output: string): Verdict {
  const summary = output.slice(output.lastIndexOf('=== SUMMARY ==='))
  const unscored = new Map(
    [...summary.matchAll(/^ {2}([✓✗]) (\S+) \(/gm)].map(([, mark, name = '']) => [name, mark]),
  )
  const scored = [...summary.matchAll(/^[✓✗] (\S+): (\d+) passed, (\d+) failed/gm)]
    .map(([, name = '', passed, failed]) => ({ name, passed: Number(passed), failed: Number(failed) }))
    .filter(({ name }) => !unscored.has(name))
  const names = (those: typeof scored): string[] => those.map(({ name }) => name).sort()
  return {
    passed: names(scored.filter(({ passed, failed }) => passed > 0 && failed === 0)),
    failed: names(scored.filter(({ failed }) => failed > 0)),
    unchecked: names(scored.filter(({ passed, failed }) => passed + failed === 0)),
    failedUnscored: [...unscored].flatMap(([name, mark]) => (mark === '✗' ? [name] : [])),
  }
}
