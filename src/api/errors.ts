import { Hono } from 'hono'
import * as z from 'zod'
import { callerOf } from '../as-caller.ts'
import { resolveSql, type SqlSource } from '../db/client.ts'
import { listErrors } from '../reports/errors.ts'
import type { ApiEnv } from './env.ts'
import { callsQuery, readCallsFilter } from './logs.ts'
import { faulty } from './period-query.ts'
import { nextCursor, pageQuery, validate } from './validate.ts'

const ErrorsQuery = z.object({
  severity: z.enum(['error', 'timeout', 'all']).default('all'),
  ...callsQuery,
  ...pageQuery(200, 50),
})

/** `/errors`: the calls that failed, of those that the caller may read, and which part of them that is. */
export const errors = (sql: SqlSource) =>
  new Hono<ApiEnv>().get('/', validate('query', ErrorsQuery), async (c) => {
    const client = resolveSql(sql, c)
    const { severity, limit, cursor, ...query } = c.req.valid('query')
    const read = await readCallsFilter(client, query)
    if ('fault' in read) return faulty(read.fault)
    const page = { limit, after: cursor ?? null }
    const { next, ...report } = await listErrors(client, callerOf(c), severity, read.filter, page)
    return c.json({ ...report, ...nextCursor(next) })
  })
