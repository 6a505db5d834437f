import { Hono } from 'hono'
import { resolveSql, type SqlSource } from '../db/client.ts'
import { problem } from '../errors.ts'
import { countLiveClients } from '../reports/clients.ts'
import { type ApiEnv, callerOf } from './env.ts'

/** `/me`: the caller as the database knows them, and how many of their clients are live. */
export const me = (sql: SqlSource) =>
  new Hono<ApiEnv>().get('/', async (c) => {
    const { user } = c.var
    if (user === null) return problem({ code: 'forbidden', detail: 'A service is no user.' })
    const { id, email, name, department, role, scopes, issuer, subject } = user
    return c.json({
      user: { id, email, name, department, role, scopes, issuer, subject },
      sessions: await countLiveClients(resolveSql(sql, c), callerOf(c), id),
    })
  })
