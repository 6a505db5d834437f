import { parseArgs } from 'node:util'
import { connect } from '../../src/db/client.ts'
import { removeSampleData } from '../../src/trial/sample-data.ts'
import { type BenchDatabase, startDatabase } from './database.ts'
import { fillHistory } from './history.ts'
import { printMachine } from './machine.ts'

/** A database with ten million calls, or as many as the options say; in a folder that keeps it, filled once. */
export async function historyBench(args: string[]): Promise<BenchDatabase> {
  const { values } = parseArgs({
    args,
    options: {
      calls: { type: 'string', default: '10000000' },
      sessions: { type: 'string', default: '1000000' },
      users: { type: 'string', default: '10000' },
      keep: { type: 'string' },
    },
  })
  const database = await startDatabase(values.keep)
  await printMachine(database.owner)
  const filler = connect(database.postgres.url, { max: 1 })
  const [{ filled }] = await filler<[{ filled: boolean }]>`
    select exists (select from archon_mcp_users where subject = 'user-0') as filled`
  if (!filled) {
    console.log(`${values.calls} calls in ${values.sessions} sessions of ${values.users} users:`)
    await removeSampleData(filler)
    await fillHistory(filler, {
      users: Number(values.users),
      sessions: Number(values.sessions),
      calls: Number(values.calls),
    })
  }
  const [sizes] = await filler<[{ calls: string; rollups: string }]>`
    select pg_size_pretty(pg_total_relation_size('archon_mcp_requests') + pg_total_relation_size('archon_mcp_usage')) as calls,
           pg_size_pretty(sum(pg_total_relation_size(name::regclass))) as rollups
    from unnest(array['archon_mcp_user_totals', 'archon_mcp_session_totals', 'archon_mcp_ended_sessions',
                      'archon_mcp_user_days', 'archon_mcp_quarters', 'archon_mcp_tool_days',
                      'archon_mcp_duration_days']) as name`
  console.log(`calls take ${sizes.calls}, roll-ups ${sizes.rollups}`)
  await filler.end()
  return database
}
