import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { CLEAN_ENV } from './clean-env.ts'
import type { Runtime } from '../runtime/suite.ts'
import { COOKIE_KEY, ISSUER, SECRET } from './issuer.ts'
import { tokenFor } from './mcp.ts'
import { linesUntil } from './process.ts'

const path = (file: string): string => fileURLToPath(new URL(`../../${file}`, import.meta.url).href)

/** A server that was started from its entry, in a process of its own. */
export interface Entry extends Runtime {
  child: ChildProcess
  origin: string
  /** What it printed before it was ready. */
  lines: string[]
  /** Tells it to stop as Ctrl-C does. @returns its exit code */
  interrupt(): Promise<number | null>
}

/** Starts an entry on a free port. It sees the environment given and nothing else. */
export async function startEntry(
  command: string,
  entry: string,
  environment: Record<string, string>,
  cwd?: string,
): Promise<Entry> {
  const env = { ...CLEAN_ENV, PORT: '0', ...environment }
  const child = spawn(command, [path(entry)], { env, cwd, stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = await linesUntil(child, /^ready /)
  // Read on, or a full pipe would stop it.
  child.stdout.resume()
  const origin = lines.at(-1)!.slice('ready '.length)
  return {
    child,
    origin,
    lines,
    fetch: (route, init) => fetch(new URL(route, origin), init),
    token: (name, claims) => tokenFor(name, { aud: `${origin}/mcp`, ...claims }),
    async interrupt() {
      const exit = once(child, 'exit')
      child.kill('SIGINT')
      const [code] = (await exit) as [number | null]
      return code
    },
  }
}

/** An environment in which nothing is the trial's but the sample tools. */
export const configured = (databaseUrl: string): Record<string, string> => ({
  DATABASE_URL: databaseUrl,
  SUPABASE_JWT_SECRET: SECRET,
  JWT_ISSUER: ISSUER,
  COOKIE_KEY,
})

/** Starts an entry that is expected to fail. @returns its exit code and what it said */
export async function failToStart(
  environment: Record<string, string>,
  cwd?: string,
): Promise<{ code: number | null; said: string }> {
  const env = { ...CLEAN_ENV, PORT: '0', ...environment }
  const child = spawn(process.execPath, [path('src/node.ts')], {
    env,
    cwd,
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, said }
}
