import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'

/** The lines that a process prints, until one matches; fails with all it said when it ends before. */
export async function linesUntil(child: ChildProcess, wanted: RegExp): Promise<string[]> {
  const lines: string[] = []
  for await (const line of createInterface({ input: child.stdout! })) {
    lines.push(line)
    if (wanted.test(line)) return lines
  }
  throw new Error(`The process ended before it said ${String(wanted)}:\n${lines.join('\n')}`)
}

/** The first line that a process prints. */
export const firstLine = async (child: ChildProcess): Promise<string> =>
  (await linesUntil(child, /./)).at(-1)!
