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

/** Starts a script of this folder in a process of its own; `node` are options for Node itself. */
export async function startProcess(
  script: string,
  args: readonly string[],
  node: readonly string[] = [],
): Promise<BenchProcess> {
  const path = fileURLToPath(new URL(script, import.meta.url).href)
  const child = spawn(process.execPath, [...node, path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
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
export const startServer = (kind: string, databaseUrl: string, node: readonly string[] = []) =>
  startProcess('server.ts', [kind, databaseUrl], node)
