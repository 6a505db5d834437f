import { Hono } from 'hono'
import { dashboard } from '../../src/dashboard/dashboard.ts'
import { connect, type Sql } from '../../src/db/client.ts'
import { COOKIE_KEY } from '../support/issuer.ts'
import { optionsFor, tokenFor } from '../support/mcp.ts'
import { signedInAs, type Visitor } from '../support/visitor.ts'
import { type BusySockets, busySockets } from './busy-sockets.ts'
import { historyBench } from './history-bench.ts'
import { median, table } from './statistics.ts'

/** How much longer than its queries a page may take, and how much it may weigh. */
const MOST_TIMES = 5
const MOST_BYTES = 150_000

const WARM_UP = 3
const ROUNDS = 7

/** The pages an administrator looks at, with everything that there is. */
async function addresses(owner: Sql): Promise<string[]> {
  const [{ user, session }] = await owner<[{ user: string; session: string }]>`
    select (select user_id from archon_mcp_user_totals order by calls desc limit 1) as user,
           (select session_id from archon_mcp_session_totals order by calls desc limit 1) as session`
  const groups = ['user', 'department', 'client', 'tool', 'model', 'day']
  return [
    '',
    '/clients',
    '/clients?status=all',
    `/clients/${session}`,
    ...groups.map((group) => `/costs?group=${group}`),
    '/users',
    '/users?search=user-77',
    `/users/${user}`,
    '/limits',
    '/prices',
    '/log',
    '/log?level=error',
    '/tokens',
    '/audit',
    '/data',
  ]
}

async function measure(
  visitor: Visitor,
  queries: BusySockets,
  path: string,
): Promise<{ ms: number; queriesMs: number; bytes: number }> {
  const times: number[] = []
  const waits: number[] = []
  let bytes = 0
  for (let round = 0; round < WARM_UP + ROUNDS; round += 1) {
    queries.take()
    const start = performance.now()
    const { status, html } = await visitor.get(path)
    if (status !== 200) throw new Error(`${path} answers ${status}`)
    if (round < WARM_UP) continue
    times.push(performance.now() - start)
    waits.push(queries.take())
    bytes = new TextEncoder().encode(html).length
  }
  return { ms: median(times), queriesMs: median(waits), bytes }
}

/** How long the dashboard's pages take beside their own queries over much history, and what they weigh. */
export async function pages(args: string[]): Promise<void> {
  await using bench = await historyBench(args)
  const { owner, appUrl } = bench
  const queries = busySockets()
  const sql = connect(appUrl, { socket: queries.open })
  const app = new Hono().route('/dashboard', dashboard({ ...optionsFor(sql), cookieKey: COOKIE_KEY }))
  const token = await tokenFor('bench-admin', { app_metadata: { role: 'admin' } })
  const visitor = await signedInAs(app, token)
  const broken: string[] = []
  const rows: string[][] = [['page', 'ms to its first byte', 'ms of queries', 'times', 'kB']]
  for (const path of await addresses(owner)) {
    const { ms, queriesMs, bytes } = await measure(visitor, queries, path)
    const times = ms / queriesMs
    const name = path === '' ? '/' : path.replace(/[\da-f]{8}-[\da-f-]{27}/, 'ID')
    const kept = times <= MOST_TIMES && bytes < MOST_BYTES
    if (!kept) broken.push(name)
    rows.push([
      name,
      ms.toFixed(0),
      queriesMs.toFixed(0),
      `${times.toFixed(1)}${kept ? '' : ' MISSED'}`,
      (bytes / 1000).toFixed(0),
    ])
  }
  console.log(table(rows))
  await sql.end()
  if (broken.length > 0) throw new Error(`slower or heavier than promised: ${broken.join('; ')}`)
}
