import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { CLEAN_ENV } from './clean-env.ts'
import { linesUntil } from './process.ts'

export interface ServedWorker extends AsyncDisposable {
  origin: string
}

const run = promisify(execFile)
/** The folder of wrangler.toml. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url).href)
/** The program, to be run with Node. */
export const WRANGLER = join(
  dirname(createRequire(import.meta.url).resolve('wrangler/package.json')),
  'bin/wrangler.js',
)
const READY = /Ready on (http:\/\/\S+)/
const START_TIMEOUT_MS = 60_000

/** What a bundle weighs, as it is uploaded. */
export interface Bundle extends AsyncDisposable {
  /** The module to run. */
  entry: string
  gzipBytes: number
}

/**
 * Makes the bundle that would be deployed, by `wrangler deploy --dry-run`.
 * @param entry the module, in place of the one that the configuration names.
 */
export async function bundleWorker(entry: string): Promise<Bundle> {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-user-context-bundle-'))
  const args = [WRANGLER, 'deploy', entry, '--config', 'wrangler.toml', '--dry-run', '--outdir', folder]
  await run(process.execPath, args, {
    cwd: ROOT,
    env: { ...CLEAN_ENV, HOME: folder, WRANGLER_SEND_METRICS: 'false', NO_COLOR: '1' },
  })
  const bundle = join(folder, basename(entry).replace(/\.ts$/, '.js'))
  return {
    entry: bundle,
    gzipBytes: gzipSync(readFileSync(bundle), { level: 9 }).length,
    [Symbol.asyncDispose]: async () => rmSync(folder, { recursive: true, force: true }),
  }
}

/**
 * Serves a Worker on a free port with the real runtime and the configuration that is deployed.
 * @param entry the module, in place of the one that the configuration names.
 * @param databaseUrl what its Hyperdrive binding connects to.
 * @param more further options of `wrangler dev`.
 */
export async function startWorker(
  entry: string,
  databaseUrl: string,
  more: string[] = [],
): Promise<ServedWorker> {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-user-context-worker-'))
  const address = ['--config', 'wrangler.toml', '--ip', '127.0.0.1', '--port', '0', '--inspector-port', '0']
  const quiet = ['--show-interactive-dev-session=false', '--persist-to', folder]
  const child = spawn(process.execPath, [WRANGLER, 'dev', entry, ...address, ...quiet, ...more], {
    cwd: ROOT,
    env: {
      ...CLEAN_ENV,
      HOME: folder,
      CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_HYPERDRIVE: databaseUrl,
      CLOUDFLARE_CF_FETCH_ENABLED: 'false',
      WRANGLER_SEND_METRICS: 'false',
      NO_COLOR: '1',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that the runtime ends with it.
    detached: true,
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (said += chunk))
  const exit = once(child, 'exit')
  const end = (): void => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGKILL')
  }
  const tooLong = setTimeout(end, START_TIMEOUT_MS)
  try {
    const lines = await linesUntil(child, READY)
    child.stdout.resume()
    return {
      origin: READY.exec(lines.at(-1)!)![1]!,
      async [Symbol.asyncDispose]() {
        end()
        await exit
        rmSync(folder, { recursive: true, force: true })
      },
    }
  } catch (error) {
    end()
    throw new Error(`The Worker does not start:\n${said}`, { cause: error })
  } finally {
    clearTimeout(tooLong)
  }
}
