import { readFileSync } from 'node:fs'
import type { Handler, Hono } from 'hono'
import type { JWK } from 'jose'
// With the server, not with the first request: its files may be replaced while it runs.
import './api/mcp-api.ts'
import './dashboard/dashboard.ts'
import { createApp } from './app.ts'
import type { TokenOptions } from './auth/token-options.ts'
import { type Config, ConfigError, readConfig } from './config.ts'
import { connect, errorCode, type Sql } from './db/client.ts'
import { isOutage } from './db/outage.ts'
import { assertMigrated } from './db/schema-version.ts'
import { ledgerOf } from './ledger/ledger.ts'
import { serveMcp } from './mcp/serve-mcp.ts'
import { keepRetention } from './personal-data/retention.ts'
import { createSessionManager } from './sessions/session-manager.ts'
import { TrialInUse } from './trial/owner.ts'
import { endpointsOf } from './upstreams.ts'
import { giveUpAll } from './usage/resumption.ts'
import { type TrialAccess, trialGuide, type TrialParts, trialParts } from './trial/parts.ts'

const SWEEP_INTERVAL_MS = 60_000
/** How long calls in flight may take to finish when the server is told to stop. */
const GRACE_MS = 10_000

/** A server that listens. */
export interface Listening {
  port: number
  /** Takes no new requests and lets those in flight finish; what is left after `graceMs` is cut off. */
  close(graceMs: number): Promise<void>
}

/** What a runtime does differently. */
export type Listen = (
  fetch: (request: Request, peer: string | undefined) => Response | Promise<Response>,
  address: { host: string; port: number },
) => Promise<Listening>

const readFile = (path: string): string => readFileSync(path, 'utf8')

async function assertionKeysOf({ assertionKeys }: Config): Promise<JWK[] | undefined> {
  if (assertionKeys !== 'trial') return assertionKeys
  const { makeAssertionKey } = await import('./trial/assertion-key.ts')
  return [makeAssertionKey()]
}

async function handlerOf({ upstream }: Config): Promise<Handler | undefined> {
  if (upstream !== 'trial') return undefined
  const { sampleTools } = await import('./trial/tools.ts')
  return serveMcp(sampleTools)
}

/** The configured key, or else the one that the entry made. */
function cookieKeyOf({ cookieKey }: Config, made: TrialParts): { cookieKey?: string } {
  if (cookieKey === 'off') return {}
  if (cookieKey !== 'trial') return { cookieKey: cookieKey.secret }
  return made.cookieKey === undefined ? {} : { cookieKey: made.cookieKey }
}

async function start(runtime: 'node' | 'bun', listen: Listen): Promise<void> {
  const config = readConfig(process.env, runtime, readFile)
  const parts = await trialParts(config)
  const sql = connect(parts.databaseUrl)
  const release = async (): Promise<void> => {
    await sql.end({ timeout: 5 })
    await parts.stop()
  }
  try {
    await assertMigrated(sql)
    await warnOfPowers(sql)
    let app: Hono | undefined
    const stopping = new AbortController()
    const listening = await listen((request, peer) => app!.fetch(request, { peer }), config)
    // Only now is it known which port PORT=0 means.
    const settled = readConfig({ ...process.env, PORT: String(listening.port) }, runtime, readFile)
    const access: TrialAccess | { tokens: TokenOptions } =
      settled.tokens === 'trial' ? await parts.access!(settled) : { tokens: settled.tokens }
    app = createApp(settled, {
      sql,
      peerOf: (c) => (c.env as { peer?: string }).peer,
      handler: await handlerOf(settled),
      ...cookieKeyOf(settled, parts),
      assertionKeys: await assertionKeysOf(settled),
      stopping: stopping.signal,
      ...access,
    })

    const sweep = (): void => {
      createSessionManager(sql).sweep().catch(tellSweep)
      keepRetention(sql).catch(tellSweep)
    }
    sweep()
    const sweeper = setInterval(sweep, SWEEP_INTERVAL_MS)

    stopOnSignal(async () => {
      clearInterval(sweeper)
      stopping.abort()
      await listening.close(GRACE_MS)
      giveUpAll()
      // Ends that cannot be recorded now are the sweep's: it closes those calls as timeouts.
      await Promise.race([ledgerOf(sql).settled(), pause(GRACE_MS)])
      await release()
    })
    for (const line of trialGuide(endpointsOf(settled), parts.users, 'signIn' in access)) console.log(line)
    console.log(
      `ready http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${listening.port}`,
    )
  } catch (error) {
    await release()
    throw error
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const tellSweep = (error: unknown): void => console.error(`mcp-user-context: sweep: ${messageOf(error)}`)

/** What to do about the errors that people meet at the start. */
function remedyOf(error: unknown): string {
  const code = errorCode(error)
  if (code === 'EADDRINUSE') return ': set PORT to another one, or stop what listens there'
  // Invalid catalog name, invalid authorization, and everything that keeps a database out of reach.
  if (isOutage(error) || /^(3D000|28...)$/.test(code ?? ''))
    return ': is DATABASE_URL right, and the server up?'
  return ''
}

/** No policy holds for a superuser: the application needs a login of its own. */
async function warnOfPowers(sql: Sql): Promise<void> {
  const [login] = await sql<[{ name: string; mighty: boolean }]>`
    select rolname as name, rolsuper or rolbypassrls as mighty from pg_roles where rolname = current_user`
  if (!login.mighty) return
  console.warn(
    `mcp-user-context: ${login.name} is above every policy of the database: give DATABASE_URL a login of its own (README)`,
  )
}

function stopOnSignal(stop: () => Promise<void>): void {
  let stopping = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      // Asked twice, it goes at once; the embedded server ends with its parent.
      if (stopping) process.exit(130)
      stopping = true
      console.log(`stopping: calls in flight have ${GRACE_MS / 1000} s to finish; ${signal} again cuts them`)
      stop().then(
        () => process.exit(0),
        (error: unknown) => {
          console.error(`mcp-user-context: ${messageOf(error)}`)
          process.exit(1)
        },
      )
    })
  }
}

/**
 * Runs the app on a runtime that lives as long as it is let: from the environment, with the trial in place of what
 * is not configured. Ends the process with one sentence when it cannot.
 */
export async function runServer(runtime: 'node' | 'bun', listen: Listen): Promise<void> {
  try {
    await start(runtime, listen)
  } catch (error) {
    const expected = error instanceof ConfigError || error instanceof TrialInUse
    console.error(
      expected ? error.message : `mcp-user-context cannot start: ${messageOf(error)}${remedyOf(error)}`,
    )
    process.exit(1)
  }
}
