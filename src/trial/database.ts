import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from '../db/client.ts'
import { migrate } from '../db/migrate.ts'
import { currentOwner, takeOwnership, TrialInUse } from './owner.ts'
import { startPostgres } from './postgres.ts'
import { insertSampleData } from './sample-data.ts'

/** Where the trial keeps everything, seen from the folder of the package. */
export const TRIAL_FOLDER = '.data'

/** The trial's application login: like one in production it owns nothing. */
const APP_LOGIN = 'mcp_app'

export interface TrialServer {
  /** The owner's login, a superuser. */
  ownerUrl: string
  /** Ends the server, unless another process runs it. */
  stop(): Promise<void>
}

export interface TrialUrls {
  ownerUrl: string
  /** The login the server works with: a member of service_role and authenticated. */
  appUrl: string
}

const ownerFile = (folder: string): string => join(folder, 'trial.json')

/**
 * Starts the trial's server for this process alone, on the data in `folder`, also after a process that was killed.
 * @throws TrialInUse while another process runs it.
 * @example const server = await startTrialServer('.data')
 */
export async function startTrialServer(folder: string): Promise<TrialServer> {
  mkdirSync(folder, { recursive: true })
  const ownership = takeOwnership(ownerFile(folder))
  try {
    const postgres = await startPostgres({ dataDir: join(folder, 'postgres') })
    ownership.announce(postgres.url)
    const stop = async () => {
      await postgres.stop()
      ownership.release()
    }
    return { ownerUrl: postgres.url, stop }
  } catch (error) {
    ownership.release()
    throw error
  }
}

/**
 * The trial's server for a command: the one that runs, or one started until `stop()`.
 * @throws TrialInUse while another process is just starting it.
 */
export async function useTrialServer(folder: string): Promise<TrialServer> {
  const owner = currentOwner(ownerFile(folder))
  if (!owner) return startTrialServer(folder)
  if (owner.url === null) throw new TrialInUse(owner)
  return { ownerUrl: owner.url, stop: () => Promise.resolve() }
}

/**
 * Migrates the trial's database and makes the application's login, with a new password at every start.
 * @param ownerUrl a superuser's address.
 */
export async function prepareTrialDatabase(ownerUrl: string): Promise<TrialUrls> {
  const sql = connect(ownerUrl, { max: 1 })
  try {
    const applied = await migrate(sql, { direction: 'up' })
    if (applied.some((name) => name.startsWith('0013'))) await sql`select archon_mcp_enable_rls()`
    // A new database alone: who removed the sample does not want it back.
    if (applied.some((name) => name.startsWith('0001'))) await insertSampleData(sql)
    const password = randomBytes(24).toString('hex')
    const exists = await sql`select from pg_roles where rolname = ${APP_LOGIN}`
    // A statement that makes a role takes no parameters; name and password are plain letters and digits.
    await sql.unsafe(
      `${exists.length === 0 ? 'create' : 'alter'} role ${APP_LOGIN} login nosuperuser password '${password}'`,
    )
    await sql.unsafe(`grant service_role, authenticated to ${APP_LOGIN}`)

    const appUrl = new URL(ownerUrl)
    appUrl.username = APP_LOGIN
    appUrl.password = password
    return { ownerUrl, appUrl: appUrl.href }
  } finally {
    await sql.end()
  }
}
