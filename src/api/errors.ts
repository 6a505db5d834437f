import * as z from 'zod'
import { asCaller } from '../as-caller.ts'
import { listErrors } from '../reports/errors.ts'
import { ErrorPage } from './answers/calls.ts'
import { callsQuery, readCallsFilter } from './logs.ts'
import { faulty } from './period-query.ts'
import { CALL_READERS } from './roles.ts'
import { route } from './route.ts'
import { nextCursor, pageQuery } from './validate.ts'

const ErrorsQuery = z.object({
  severity: z.enum(['error', 'timeout', 'all']).default('all'),
  ...callsQuery,
  ...pageQuery(200, 50),
})

export const errors = [
  route({
    method: 'GET',
    path: '/errors',
    roles: CALL_READERS,
    summary: 'Calls that failed, newest first, and which part of all calls they are',
    query: ErrorsQuery,
    answers: { 200: ErrorPage },
    handle: (c, { query: { severity, limit, cursor, ...query } }, { sql }) =>
      asCaller(c, sql, async (db, caller) => {
        const read = await readCallsFilter(db, query)
        if ('fault' in read) return faulty(read.fault)
        const page = { limit, after: cursor ?? null }
        const { next, ...report } = await listErrors(db, caller, severity, read.filter, page)
        return c.json({ ...report, ...nextCursor(next) })
      }),
  }),
]
