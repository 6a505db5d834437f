import { parseArgs } from 'node:util'
import { tokenFor } from '../support/mcp.ts'
import { startDatabase } from './database.ts'
import { fillMonth, SESSIONS_OF_A_USER } from './export-rows.ts'
import { printMachine } from './machine.ts'
import { startServer } from './processes.ts'

/** What an export may hold of a server's memory. */
const MOST_BYTES = 100e6

const MB = (bytes: number): string => (bytes / 1e6).toFixed(0)

/** What is asked for, and how many rows it has at least, beside the calls. */
const FILES = [
  { name: 'nothing', path: '/pricing?limit=1', rows: 0 },
  { name: 'calls', path: '/logs?format=csv', rows: 1 },
  { name: 'sessions', path: '/sessions?format=csv&status_filter=all', rows: 1 },
  { name: 'users', path: '/users?format=csv', rows: 1 / SESSIONS_OF_A_USER },
  {
    name: 'costs by user',
    path: '/costs?group_by=user&format=csv&from=2000-01-01',
    rows: 1 / SESSIONS_OF_A_USER,
  },
]

interface Export {
  rows: number
  seconds: number
  /** The most memory that the process ever had. */
  peakBytes: number
}

/** Reads a file from a server of its own, as fast as it comes, and keeps none of it. */
async function readFrom(databaseUrl: string, path: string): Promise<Export> {
  await using server = await startServer('reports', databaseUrl)
  const origin = `http://127.0.0.1:${server.port}`
  const token = await tokenFor('bench', { sub: undefined, role: 'service_role' })
  const started = performance.now()
  const response = await fetch(`${origin}/api/mcp${path}`, { headers: { authorization: `Bearer ${token}` } })
  if (!response.ok || response.body === null) throw new Error(`${path}: ${await response.text()}`)
  let lines = 0
  for await (const chunk of response.body) for (const byte of chunk) if (byte === 10) lines += 1
  const seconds = (performance.now() - started) / 1000
  const stats = (await (await fetch(`${origin}/stats`)).json()) as { peakBytes: number }
  // The head, the total and the period are none.
  return { rows: Math.max(lines - 3, 0), seconds, peakBytes: stats.peakBytes }
}

/** What exports of a million rows take of a server's memory, beside one that was asked for nothing. */
export async function exporting(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { rows: { type: 'string', default: '1000000' } } })
  const rows = Number(values.rows)
  await using database = await startDatabase()
  await printMachine(database.owner)
  await fillMonth(database.owner, rows)
  console.log(
    `${rows} sessions with a call each, of ${rows / SESSIONS_OF_A_USER} users; each file from a server of its own`,
  )
  const broken: string[] = []
  let idle = 0
  for (const { name, path, rows: share } of FILES) {
    const found = await readFrom(database.appUrl, path)
    if (name === 'nothing') idle = found.peakBytes
    const above = found.peakBytes - idle
    if (above > MOST_BYTES) broken.push(name)
    if (found.rows < rows * share) throw new Error(`${name}: ${found.rows} rows of ${rows * share}`)
    const figures = `peak ${MB(found.peakBytes)} MB, ${MB(above)} above idle`
    console.log(`${name}: ${found.rows} rows in ${found.seconds.toFixed(1)} s, ${figures}`)
  }
  if (broken.length > 0) throw new Error(`more than ${MB(MOST_BYTES)} MB: ${broken.join(', ')}`)
}
