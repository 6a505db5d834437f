import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { errorCode } from '../db/client.ts'

const hasProc = process.platform === 'linux'

/** What `ps` says in one column about a process; empty when there is no such process. */
function ps(pid: number, column: string): string {
  try {
    return execFileSync('ps', ['-o', `${column}=`, '-p', String(pid)], { encoding: 'utf8' }).trim()
  } catch {
    return ''
  }
}

function proc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}

/**
 * When a process began, in whatever form this system tells it. Numbers of processes are given out again, after a
 * restart of a container most of all; number and beginning together name one process.
 * @returns null when it is gone, or dead and only not yet collected by its parent.
 */
export function processStart(pid: number): string | null {
  if (!hasProc) return ps(pid, 'lstart') || null
  // proc(5): the name, in brackets, may contain anything; the state is field 3, the start time field 22.
  const fields = proc(pid, 'stat')
    .replace(/^.*\) /s, '')
    .split(' ')
  const [state, start] = [fields[0], fields[19]]
  return start === undefined || state === 'Z' || state === 'X' ? null : start
}

/** Whether this process is the postmaster of that data folder, by its command line. */
export function isPostgresOf(pid: number, dataDir: string): boolean {
  if (!hasProc) {
    const command = ps(pid, 'args')
    return /\/postgres /.test(command) && command.includes(` -D ${dataDir} `)
  }
  const [program = '', ...args] = proc(pid, 'cmdline').split('\0')
  return basename(program) === 'postgres' && args[args.indexOf('-D') + 1] === dataDir
}

/** Waits until a process that is nobody's child of ours has ended. */
async function gone(pid: number, start: string, milliseconds: number): Promise<boolean> {
  for (const deadline = Date.now() + milliseconds; Date.now() < deadline; await delay(10)) {
    if (processStart(pid) !== start) return true
  }
  return false
}

/**
 * Stops the server that outlived the process which had started it, going by the `postmaster.pid` it left. When that
 * number is some other process by now, only the file goes: Postgres would not start beside it.
 * @throws Error when the server belongs to another login, or does not end.
 */
export async function stopLeftover(dataDir: string): Promise<void> {
  const file = join(dataDir, 'postmaster.pid')
  if (!existsSync(file)) return
  const pid = Number.parseInt(readFileSync(file, 'utf8'), 10)
  const start = processStart(pid)
  if (Number.isNaN(pid) || (start !== null && !isPostgresOf(pid, dataDir))) return rmSync(file)
  if (start === null) return
  // Fast shutdown first; immediate (recovered from the log at the next start) when that hangs.
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    try {
      process.kill(pid, signal)
    } catch (cause) {
      if (errorCode(cause) === 'ESRCH') return
      throw new Error(
        `Postgres is still running on ${dataDir} as process ${pid}, which this login may not stop`,
        {
          cause,
        },
      )
    }
    if (await gone(pid, start, 10_000)) return
  }
  throw new Error(`Postgres is still running on ${dataDir} as process ${pid} and does not stop`)
}
