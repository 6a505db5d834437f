import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CLEAN_ENV } from './clean-env.ts'
import { firstLine, linesUntil } from './process.ts'

/** An MCP server that was started in a process of its own. */
export interface UpstreamProcess extends AsyncDisposable {
  url: string
}

function ending(child: ChildProcess, url: string): UpstreamProcess {
  return {
    url,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exit = once(child, 'exit')
      child.kill('SIGKILL')
      await exit
    },
  }
}

/** Starts a script of the tests that prints its origin. */
export async function startUpstream(
  script: string,
  runtime = process.execPath,
  args: string[] = [],
): Promise<UpstreamProcess> {
  const path = fileURLToPath(new URL(`../${script}`, import.meta.url).href)
  const child = spawn(runtime, [path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const origin = await firstLine(child)
  child.stdout.resume()
  return ending(child, `${origin}/mcp`)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

const EVERYTHING = dirname(
  createRequire(import.meta.url).resolve('@modelcontextprotocol/server-everything/package.json'),
)

/** Starts the reference server of the protocol's authors, on SDK v1 with sessions and an event store. */
export async function startEverything(): Promise<UpstreamProcess> {
  const port = await freePort()
  const child = spawn(process.execPath, [join(EVERYTHING, 'dist/index.js'), 'streamableHttp'], {
    env: { ...CLEAN_ENV, PORT: String(port) },
    // It says on stderr that it listens.
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  await linesUntil({ ...child, stdout: child.stderr } as unknown as ChildProcess, /listening on port/)
  child.stderr.resume()
  return ending(child, `http://127.0.0.1:${port}/mcp`)
}
