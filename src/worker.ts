import { connect as connectSocket } from 'node:net'
import type { Context, Handler, Hono } from 'hono'
import { createApp } from './app.ts'
import { ConfigError, readConfig } from './config.ts'
import { connect, type Sql } from './db/client.ts'
import { problem } from './errors.ts'
import { serveMcp } from './mcp/serve-mcp.ts'
import { keepRetention } from './personal-data/retention.ts'
import { createSessionManager } from './sessions/session-manager.ts'

/** Bindings and variables; see wrangler.toml. */
export interface WorkerEnv {
  HYPERDRIVE?: { connectionString: string }
  [variable: string]: unknown
}

const databaseUrlOf = (env: WorkerEnv): string => {
  const url = env.HYPERDRIVE?.connectionString ?? env['DATABASE_URL']
  return typeof url === 'string' ? url : ''
}

/**
 * A client for one request: workerd lets no request use another one's sockets. It ends with the request, and keeps
 * no idle connection: an open page listens for minutes and asks every few seconds. The socket is node:net's, since the
 * one that postgres.js brings for Workers leaves a rejection behind (porsager/postgres#1202).
 */
const openClient = (env: WorkerEnv): Sql =>
  connect(databaseUrlOf(env), {
    max: 3,
    idleTimeout: 1,
    socket: ({ host, port }) => connectSocket(port[0] ?? 5432, host[0]),
  })

/** Variables that may stand in the configuration as JSON itself. */
const JSON_VARIABLES = new Set(['UPSTREAMS', 'ASSERTION_KEYS'])

const textOf = (name: string, value: unknown): string | undefined =>
  typeof value === 'string' ? value : JSON_VARIABLES.has(name) ? JSON.stringify(value) : undefined

/** Their SDK is loaded by the first call: no start pays for it that has other tools. */
const sampleTools: Handler = async (c, next) => {
  const tools = await import('./trial/tools.ts')
  return await serveMcp(tools.sampleTools)(c, next)
}

function makeApp(env: WorkerEnv): Hono {
  const texts = Object.entries(env).map(([name, value]) => [name, textOf(name, value)] as const)
  const config = readConfig({ ...Object.fromEntries(texts), DATABASE_URL: databaseUrlOf(env) }, 'worker')
  if (config.tokens === 'trial') throw new ConfigError(['No key source is set for tokens'])
  const clients = new WeakMap<object, Sql>()
  const sql = (c: Context): Sql => {
    const known = clients.get(c.executionCtx) ?? openClient(env)
    clients.set(c.executionCtx, known)
    return known
  }
  return createApp(config, {
    sql,
    peerOf: (c) => c.req.header('cf-connecting-ip'),
    tokens: config.tokens,
    handler: config.upstream === 'trial' ? sampleTools : undefined,
    ...(typeof config.cookieKey === 'object' ? { cookieKey: config.cookieKey.secret } : {}),
  })
}

// An isolate has one environment; keys and verdicts live as long as it does.
let made: { env: WorkerEnv; app: Hono } | undefined

export default {
  async fetch(request: Request, env: WorkerEnv, ctx: ExecutionContext): Promise<Response> {
    try {
      if (made?.env !== env) made = { env, app: makeApp(env) }
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      console.error(error.message)
      return problem({ code: 'internal', detail: 'The configuration cannot be used; the log says why.' })
    }
    return await made.app.fetch(request, env, ctx)
  },

  async scheduled(_controller: ScheduledController, env: WorkerEnv): Promise<void> {
    const sql = openClient(env)
    await createSessionManager(sql).sweep()
    // In slices: what is left is the next minute's.
    await keepRetention(sql, { steps: 5 })
  },
}
