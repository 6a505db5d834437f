import { Hono } from 'hono'
import { callerOf } from '../as-caller.ts'
import { resolveSql, type SqlSource } from '../db/client.ts'
import { problem } from '../errors.ts'
import { countLiveClients } from '../reports/clients.ts'
import { quotasOfUser } from '../reports/quotas.ts'
import type { ApiEnv } from './env.ts'

/** `/me`: the caller as the database knows them, how many of their clients are live, and what is left of their limits. */
export const me = (sql: SqlSource) =>
  new Hono<ApiEnv>().get('/', async (c) => {
    const { user } = c.var
    if (user === null) return problem({ code: 'forbidden', detail: 'A service is no user.' })
    const { id, email, name, department, role, scopes, issuer, subject } = user
    const client = resolveSql(sql, c)
    const [sessions, limits] = await Promise.all([
      countLiveClients(client, callerOf(c), id),
      quotasOfUser(client, id, department),
    ])
    return c.json({
      user: { id, email, name, department, role, scopes, issuer, subject },
      sessions,
      limits,
    })
  })
