import { join } from 'node:path'
import { connect, type Sql } from '../../src/db/client.ts'
import { prepareTrialDatabase } from '../../src/trial/database.ts'
import { type Postgres, startPostgres } from '../../src/trial/postgres.ts'

export interface BenchDatabase extends AsyncDisposable {
  postgres: Postgres
  /** As the superuser. */
  owner: Sql
  /** For servers: a login that owns nothing, as in production. */
  appUrl: string
}

/**
 * A migrated database on an embedded Postgres of one's own, with the durability that production has.
 * @param folder where it is kept for the next time; by default it goes when the bench ends
 */
export async function startDatabase(folder?: string): Promise<BenchDatabase> {
  const dataDir = folder === undefined ? undefined : join(folder, 'postgres')
  const postgres = await startPostgres({ durable: true, dataDir })
  const { appUrl } = await prepareTrialDatabase(postgres.url)
  const owner = connect(postgres.url, { max: 4 })
  return {
    postgres,
    owner,
    appUrl,
    async [Symbol.asyncDispose]() {
      await owner.end({ timeout: 1 })
      await postgres.stop()
    },
  }
}
