import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findRunner, type Runner } from '../../src/trial/binaries.ts'
import { prepareTrialDatabase } from '../../src/trial/database.ts'
import { startPostgres } from '../../src/trial/postgres.ts'
import { pause } from './statistics.ts'

export interface RestartablePostgres extends AsyncDisposable {
  ownerUrl: string
  appUrl: string
  /** SIGINT is a fast stop, SIGQUIT an immediate one, as after a crash; SIGKILL gives it no time at all. */
  stop(how: 'SIGINT' | 'SIGQUIT' | 'SIGKILL'): Promise<void>
  /** On the same data and the same port, where its clients look for it. */
  start(): Promise<void>
}

/** @returns the postmaster when it accepts connections, or null when it ended before. */
async function launch(runner: Runner, port: number): Promise<ChildProcess | null> {
  const settings = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', `port=${port}`]
  const [command, ...args] = [...runner.prefix, join(runner.bin, 'postgres'), '-D', runner.dataDir]
  const child = spawn(command, [...args, ...settings.flatMap((setting) => ['-c', setting])], {
    ...runner.user,
    cwd: tmpdir(),
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ready = new Promise<ChildProcess>((resolve) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (text.includes('ready to accept connections')) resolve(child)
    })
  })
  return await Promise.race([ready, once(child, 'exit').then(() => null)])
}

/** A server that can be stopped in every way and started again, which the trial's own never is. */
export async function startRestartablePostgres(): Promise<RestartablePostgres> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'mcp-user-context-bench-')))
  chmodSync(folder, 0o755) // the user that Postgres runs as must get through
  const dataDir = join(folder, 'data')
  const first = await startPostgres({ dataDir, durable: true })
  const { appUrl, ownerUrl } = await prepareTrialDatabase(first.url)
  await first.stop()
  const runner = findRunner(dataDir)
  let running: ChildProcess | null = null
  const started: RestartablePostgres = {
    appUrl,
    ownerUrl,
    async start() {
      // After a kill it refuses to start while a process of the old server still holds its memory.
      for (let attempt = 1; running === null; attempt += 1) {
        running = await launch(runner, first.port)
        if (attempt === 100) throw new Error('Postgres does not start again')
        if (running === null) await pause(100)
      }
    },
    async stop(how) {
      const stopping = running
      running = null
      if (stopping === null) return
      const ended = once(stopping, 'exit')
      stopping.kill(how)
      await ended
    },
    async [Symbol.asyncDispose]() {
      await started.stop('SIGINT')
      rmSync(folder, { recursive: true, force: true })
    },
  }
  await started.start()
  return started
}
