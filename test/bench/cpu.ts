import { readdirSync, readFileSync } from 'node:fs'

/** Microseconds of a clock tick of /proc: USER_HZ is 100 on every Linux there is. */
const TICK = 10_000

/** Fields of /proc/PID/stat from the state on (proc(5)): the name before them may contain anything. */
function statOf(pid: number | string): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
  } catch {
    return []
  }
}

const ticks = (fields: string[], ...places: number[]): number =>
  places.reduce((sum, place) => sum + Number(fields[place - 3] ?? 0), 0)

/**
 * Microseconds of CPU that a Postgres server has used: the postmaster, its children that live, and those that have
 * ended. Linux alone tells; elsewhere it is NaN.
 */
export function postgresCpuMicros(postmaster: number): number {
  const own = statOf(postmaster)
  if (own.length === 0) return Number.NaN
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(statOf)
    .filter((fields) => fields[1] === String(postmaster))
  // utime and stime are fields 14 and 15; of children that were waited for, 16 and 17.
  return TICK * (ticks(own, 14, 15, 16, 17) + children.reduce((sum, child) => sum + ticks(child, 14, 15), 0))
}
