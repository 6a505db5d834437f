import { Hono } from 'hono'
import * as z from 'zod'
import { resolveSql, type SqlSource } from '../db/client.ts'
import { listClients } from '../reports/clients.ts'
import { type ApiEnv, callerOf } from './env.ts'
import { label, nextCursor, pageQuery, uuid, validate } from './validate.ts'

const Query = z.object({
  status_filter: z.enum(['active', 'idle', 'disconnected', 'all']).optional(),
  user_id: uuid.optional(),
  department: label.optional(),
  ...pageQuery(200, 100),
})

/** `/clients`: the clients that the caller may see, latest activity first. */
export const clients = (sql: SqlSource) =>
  new Hono<ApiEnv>().get('/', validate('query', Query), async (c) => {
    const { status_filter, user_id, department, limit, cursor } = c.req.valid('query')
    const { clients, total, next } = await listClients(
      resolveSql(sql, c),
      callerOf(c),
      { status: status_filter ?? 'live', userId: user_id, department },
      { limit, after: cursor ?? null },
    )
    return c.json({ clients, total, ...nextCursor(next) })
  })
