import { connect, type Queryable, type Sql } from '../../src/db/client.ts'
import { responseTimes } from '../../src/reports/analytics-times.ts'
import { costsBy } from '../../src/reports/costs.ts'
import { periodOf } from '../../src/reports/period.ts'
import { userActivity } from '../../src/reports/user-activity.ts'
import { listUsers } from '../../src/reports/users.ts'
import type { ReportCaller } from '../../src/reports/visible-to.ts'
import { historyBench } from './history-bench.ts'
import { median, table } from './statistics.ts'

const ADMIN: ReportCaller = { role: 'admin', userId: null, department: null }
const ROUNDS = 7
const DAY_MS = 86_400_000

/** The seed's view: it counts each user's calls three times over, in subqueries of their own. */
const SEEDS_VIEW = `
  create or replace view seeds_user_stats as
  select who.user_id, who.user_email, who.user_name, count(*) as total_sessions,
         (select count(*) from archon_mcp_requests as made join archon_mcp_sessions as own using (session_id)
          where own.user_id = who.user_id) as total_requests,
         (select coalesce(sum(made.total_tokens), 0) from archon_mcp_requests as made
          join archon_mcp_sessions as own using (session_id) where own.user_id = who.user_id) as total_tokens,
         (select coalesce(sum(made.estimated_cost), 0) from archon_mcp_requests as made
          join archon_mcp_sessions as own using (session_id) where own.user_id = who.user_id) as total_cost
  from archon_mcp_sessions as who
  where who.user_id is not null
  group by who.user_id, who.user_email, who.user_name`

async function msOf(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await run()
  return performance.now() - start
}

/** How long Postgres took, without sending the rows and reading them here. */
async function databaseMsOf(sql: Queryable, query: string): Promise<number> {
  const [row] = await sql.unsafe<[{ 'QUERY PLAN': [{ 'Execution Time': number }] }]>(
    `explain (analyze, timing off, format json) ${query}`,
  )
  return row['QUERY PLAN'][0]['Execution Time']
}

/** Each question with how fast it must be: so many times the seed's view, or so many ms. */
interface Question {
  name: string
  /** A report, with all that comes with it, or a query, of which the time in the database counts. */
  ask: string | ((sql: Queryable) => Promise<unknown>)
  times?: number
  ms?: number
}

async function questions(sql: Sql): Promise<Question[]> {
  const now = new Date()
  const from = new Date(now.getTime() - 30 * DAY_MS)
  const period = await periodOf(sql, { from, to: null, timezone: 'Europe/Berlin' })
  const everything = await periodOf(sql, { from: new Date(0), to: null, timezone: 'UTC' })
  const [busiest] = await sql<[{ user_id: string }]>`
    select user_id from archon_mcp_user_totals order by calls desc limit 1`
  const first = { limit: 50, after: null }
  return [
    { name: 'all users, archon_mcp_user_stats', ask: 'select * from archon_mcp_user_stats', times: 500 },
    {
      name: 'first page of all users, of all time',
      ask: (db) => listUsers(db, ADMIN, { sort: 'cost' }, everything, first),
    },
    {
      name: 'ten most active users of 30 days',
      ask: (db) => listUsers(db, ADMIN, { sort: 'calls' }, period, { limit: 10, after: null }),
      times: 50,
    },
    {
      name: 'costs by department, 30 days',
      ask: (db) => costsBy(db, ADMIN, 'department', period),
      times: 50,
    },
    { name: 'costs by user, 30 days', ask: (db) => costsBy(db, ADMIN, 'user', period), times: 50 },
    { name: 'costs by tool, 30 days', ask: (db) => costsBy(db, ADMIN, 'tool', period), times: 50 },
    { name: 'costs by model, 30 days', ask: (db) => costsBy(db, ADMIN, 'model', period), times: 50 },
    { name: 'costs by day in Berlin, 30 days', ask: (db) => costsBy(db, ADMIN, 'day', period), times: 50 },
    { name: 'p95 by tool, 30 days', ask: (db) => responseTimes(db, ADMIN, period as never), times: 50 },
    {
      name: "one user's 30 days, in SQL",
      ask: `select * from get_user_activity_summary('${busiest.user_id}', 30)`,
      ms: 5,
    },
    { name: "one user's 30 days, day by day", ask: (db) => userActivity(db, ADMIN, busiest.user_id, period) },
  ]
}

const GROUPS = [1, 10, 25, 100]
const GROUPS_OF_EACH = 60

/**
 * What roll-ups cost whoever writes calls: microseconds of Postgres for each, by the size of the group with which they
 * are closed. Nothing of it stays.
 */
async function writersCost(owner: Sql): Promise<string[]> {
  const costs: string[] = []
  // On the one connection that it has.
  await owner`begin`
  for (const size of GROUPS) {
    const found: number[] = []
    for (let group = 0; group < GROUPS_OF_EACH; group += 1) {
      const calls = `array(
        select archon_mcp_rolled(call, 1)
        from (select * from archon_mcp_requests order by timestamp desc offset ${group * 100} limit ${size}) as call
      )`
      const gathered = await databaseMsOf(owner, `select ${calls}`)
      const add =
        size === 1 ? `archon_mcp_add_to_rollups((${calls})[1])` : `archon_mcp_move_rollups(${calls})`
      found.push((1000 * ((await databaseMsOf(owner, `select ${add}`)) - gathered)) / size)
    }
    costs.push(`${Math.round(median(found))} (${size})`)
  }
  await owner`rollback`
  return costs
}

/** How long reports take over much history, beside the seed's own view over the same rows. */
export async function reports(args: string[]): Promise<void> {
  await using database = await historyBench(args)
  const filler = connect(database.postgres.url, { max: 1 })
  console.log(
    `roll-ups cost whoever writes, in us a call (by group): ${(await writersCost(filler)).join(', ')}`,
  )
  await filler.unsafe(SEEDS_VIEW)
  // The application's login, for which row-level security holds.
  const sql = connect(database.appUrl, { max: 1 })
  const seeds = await databaseMsOf(filler, 'select * from seeds_user_stats')
  console.log(`the seed's view over the same rows: ${Math.round(seeds)} ms`)
  const missed: string[] = []
  const rows: string[][] = [['', 'ms', "times the seed's view", 'promised']]
  for (const { name, ask, times, ms } of await questions(sql)) {
    const found: number[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      found.push(typeof ask === 'string' ? await databaseMsOf(sql, ask) : await msOf(() => ask(sql)))
    }
    const took = median(found)
    const kept = (times === undefined || seeds / took >= times) && (ms === undefined || took < ms)
    if (!kept) missed.push(name)
    const promised = times === undefined ? (ms === undefined ? '' : `< ${ms} ms`) : `${times}x`
    rows.push([name, took.toFixed(1), `${Math.round(seeds / took)}x`, `${promised}${kept ? '' : ' MISSED'}`])
  }
  console.log(table(rows))
  await Promise.all([sql.end(), filler.end()])
  if (missed.length > 0) throw new Error(`slower than promised: ${missed.join('; ')}`)
}
