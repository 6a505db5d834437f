import { cpus, totalmem } from 'node:os'
import type { Sql } from '../../src/db/client.ts'

/** What the numbers below were measured on: they mean nothing without it. */
export async function printMachine(sql: Sql, runtime = 'node'): Promise<void> {
  const [server] = await sql<{ version: string; fsync: string; commit: string }[]>`
    select current_setting('server_version') as version, current_setting('fsync') as fsync,
           current_setting('synchronous_commit') as commit`
  const cores = cpus()
  console.log(
    [
      `${cores.length} cores (${cores[0]?.model.trim() ?? 'unknown'})`,
      `${Math.round(totalmem() / 2 ** 30)} GiB`,
      `Node ${process.versions.node}`,
      `Postgres ${server?.version} (fsync ${server?.fsync}, synchronous_commit ${server?.commit})`,
      `load, servers${runtime === 'bun' ? ' (Bun)' : ''} and Postgres on this machine`,
    ].join(' · '),
  )
}
