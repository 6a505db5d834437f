import { Hono } from 'hono'
import { callerOf } from '../as-caller.ts'
import { resolveSql, type SqlSource } from '../db/client.ts'
import { listClients } from '../reports/clients.ts'
import type { ApiEnv } from './env.ts'
import { SessionQuery } from './session-query.ts'
import { nextCursor, validate } from './validate.ts'

/** `/clients`: the clients that the caller may see, latest activity first. */
export const clients = (sql: SqlSource) =>
  new Hono<ApiEnv>().get('/', validate('query', SessionQuery), async (c) => {
    const { filter, page } = c.req.valid('query')
    const { clients, total, next } = await listClients(resolveSql(sql, c), callerOf(c), filter, page)
    return c.json({ clients, total, ...nextCursor(next) })
  })
