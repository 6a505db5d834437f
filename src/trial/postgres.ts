import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { findRunner, type Runner } from './binaries.ts'
import { stopLeftover } from './processes.ts'

export interface PostgresOptions {
  /** Where the data is kept. Default: a temporary folder that `stop()` removes. */
  dataDir?: string | undefined
  /** Whether commits survive a crash of the machine. Default true; false is for tests. */
  durable?: boolean | undefined
}

export interface Postgres {
  /** The superuser's address; the server listens on 127.0.0.1 alone. */
  url: string
  port: number
  pid: number
  dataDir: string
  /** Ends every connection and the server, and waits for it. May be called again. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const FAST = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'max_connections=300']

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('No free port')
  return address.port
}

// Its own process group: Ctrl-C in a terminal must reach the server only after its clients have finished.
const optionsOf = ({ user }: Runner) => ({
  ...user,
  detached: true,
  cwd: tmpdir(),
  env: { PATH: process.env['PATH'], LC_ALL: 'C' },
})

/** Made beside its place and then moved there, so that a folder with data is always a whole one. */
function initialise(runner: Runner, passwordFile: string, durable: boolean): void {
  const { dataDir, prefix, bin, give } = runner
  const draft = `${dataDir}.new`
  rmSync(draft, { recursive: true, force: true })
  mkdirSync(draft, { mode: 0o700 })
  give(draft)
  writeFileSync(passwordFile, randomBytes(24).toString('base64url'), { mode: 0o600 })
  give(passwordFile)
  const [command, ...args] = [...prefix, join(bin, 'initdb'), '-D', draft, '-U', 'postgres']
  args.push('--auth=scram-sha-256', `--pwfile=${passwordFile}`, '--encoding=UTF8', '--no-instructions')
  args.push('--locale-provider=builtin', '--builtin-locale=C.UTF-8', ...(durable ? [] : ['--no-sync']))
  const { status, error, stderr } = spawnSync(command, args, { ...optionsOf(runner), encoding: 'utf8' })
  if (status !== 0) throw new Error(`initdb failed: ${stderr || error?.message}`, { cause: error })
  renameSync(draft, dataDir)
}

/** Starts the server and waits until it accepts connections. */
async function launch(runner: Runner, port: number, durable: boolean): Promise<ChildProcess> {
  const settings = [
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    `port=${port}`,
    ...(durable ? [] : FAST),
  ]
  const [command, ...args] = [...runner.prefix, join(runner.bin, 'postgres'), '-D', runner.dataDir]
  for (const setting of settings) args.push('-c', setting)
  const child = spawn(command, args, { ...optionsOf(runner), stdio: ['ignore', 'ignore', 'pipe'] })
  let output = ''
  await new Promise<void>((ready, fail) => {
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      output = (output + chunk).slice(-10_000)
      if (output.includes('ready to accept connections')) ready()
    })
    child.once('error', fail)
    child.once('close', (code, signal) => fail(new Error(`Postgres ended (${code ?? signal}): ${output}`)))
  })
  child.removeAllListeners('close')
  child.stderr.removeAllListeners('data').resume()
  return child
}

/** A port that was free a moment ago may be taken by now. */
async function launchOnFreePort(
  runner: Runner,
  durable: boolean,
): Promise<{ child: ChildProcess; port: number }> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    try {
      return { child: await launch(runner, port, durable), port }
    } catch (error) {
      if (attempt === 3 || !String(error).includes('could not bind')) throw error
    }
  }
}

/** Postgres names its folder in its command line: the one true path of it. */
function placeFor(dataDir: string | undefined): string {
  if (dataDir === undefined) {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'mcp-user-context-')))
    chmodSync(folder, 0o755) // the user that Postgres runs as must get through; the data inside is closed
    return join(folder, 'data')
  }
  mkdirSync(dirname(dataDir), { recursive: true })
  return join(realpathSync(dirname(dataDir)), basename(dataDir))
}

/**
 * Starts an embedded Postgres, on a folder with data or a new one. A server that a killed process has left behind on
 * that folder is stopped first; whether the folder is in use by somebody is for the caller to know (`owner.ts`).
 * @returns when it accepts connections.
 * @throws Error with what Postgres wrote, or when none is installed for this platform.
 * @example await using postgres = await startPostgres({ durable: false })
 */
export async function startPostgres({ dataDir, durable = true }: PostgresOptions = {}): Promise<Postgres> {
  const place = placeFor(dataDir)
  const runner = findRunner(place)
  // Beside the data, where the user that Postgres runs as can read it.
  const passwordFile = `${runner.dataDir}.password`
  if (existsSync(join(runner.dataDir, 'PG_VERSION'))) await stopLeftover(runner.dataDir)
  else initialise(runner, passwordFile, durable)
  const { child, port } = await launchOnFreePort(runner, durable)

  const ended = new Promise((resolve) => child.once('exit', resolve))
  const interrupt = () => child.kill('SIGINT')
  process.once('exit', interrupt)
  const stop = async () => {
    process.off('exit', interrupt)
    interrupt()
    await ended
    if (dataDir === undefined) rmSync(dirname(place), { recursive: true, force: true })
  }
  const password = readFileSync(passwordFile, 'utf8')
  return {
    url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    port,
    pid: child.pid ?? 0,
    dataDir: runner.dataDir,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
