import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { firstLine } from '../support/process.ts'

/** A process of the bench, which says its port when it is ready. */
export interface BenchProcess extends AsyncDisposable {
  port: number
  /** Ends it; SIGKILL leaves it no time for anything. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
}

const pathOf = (file: string): string => fileURLToPath(new URL(file, import.meta.url).href)

/** With which program servers run. */
export const RUNTIMES = { node: process.execPath, bun: pathOf('../../node_modules/.bin/bun') }
export type Runtime = keyof typeof RUNTIMES

/** The option `--runtime` of a bench whose servers run on either. */
export function runtimeOf(value: string): Runtime {
  if (value !== 'node' && value !== 'bun') throw new Error(`There is no runtime "${value}": give node or bun`)
  return value
}

/** Starts a script of this folder in a process of its own. */
export async function startProcess(
  script: string,
  args: readonly string[],
  runtime: Runtime = 'node',
): Promise<BenchProcess> {
  const child = spawn(RUNTIMES[runtime], [pathOf(script), ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const killed = (): boolean => child.kill('SIGKILL')
  process.once('exit', killed)
  const ended = once(child, 'exit')
  const port = Number(await firstLine(child))
  child.stdout.resume()
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    child.kill(signal)
    await ended
    process.off('exit', killed)
  }
  return { port, end, [Symbol.asyncDispose]: () => end('SIGTERM') }
}

/** Serves an app on a free port, and tells it to whoever started this process. */
export const startServer = (kind: string, databaseUrl: string, runtime?: Runtime) =>
  startProcess('server.ts', [kind, databaseUrl], runtime)
