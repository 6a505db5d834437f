import * as z from 'zod'
import { asCaller } from '../as-caller.ts'
import type { Queryable } from '../db/client.ts'
import { listLogs, logLines } from '../reports/logs.ts'
import type { CallsFilter } from '../reports/logs-rows.ts'
import type { Period } from '../reports/period.ts'
import { LogPage } from './answers/calls.ts'
import { csvResponse, formatQuery } from './csv.ts'
import { faulty, periodQuery, type QueryFault, readPeriod } from './period-query.ts'
import { CALL_READERS } from './roles.ts'
import { route } from './route.ts'
import { label, nextCursor, pageQuery, uuid, wholeNumber } from './validate.ts'

/** The part of a query that says whose calls, which, and of when. */
export const callsQuery = {
  session_id: uuid.optional(),
  user_id: uuid.optional(),
  tool: label.optional(),
  kind: z.enum(['mcp', 'api']).optional(),
  ...periodQuery,
}

const FIRST = new Date(0)

/** The same as reports take it; `period` is left out for all time. */
export async function readCallsFilter(
  sql: Queryable,
  { session_id, user_id, tool, kind, ...when }: z.output<z.ZodObject<typeof callsQuery>>,
): Promise<{ filter: CallsFilter; period: Period | undefined } | { fault: QueryFault }> {
  const filter = { sessionId: session_id, userId: user_id, tool, kind }
  if (when.from === undefined && when.to === undefined) return { filter, period: undefined }
  const read = await readPeriod(sql, when, FIRST)
  return 'fault' in read ? read : { filter: { ...filter, period: read.period }, period: read.period }
}

const LogsQuery = z
  .object({
    level: z.enum(['info', 'warning', 'error', 'all']).default('all'),
    // An empty field of a form searches for nothing.
    search: label.or(z.literal('').transform(() => undefined)).optional(),
    ...callsQuery,
    ...pageQuery(1000, 100),
    offset: wholeNumber.default(0).meta({ type: 'integer', minimum: 0, default: 0 }),
    format: formatQuery,
  })
  .refine(({ offset, cursor }) => offset === 0 || cursor === undefined, {
    path: ['offset'],
    message: 'does not go with a cursor',
  })

export const logs = [
  route({
    method: 'GET',
    path: '/logs',
    roles: CALL_READERS,
    summary: 'Calls that have ended, newest first; as a file all that match',
    query: LogsQuery,
    answers: { 200: LogPage },
    csv: true,
    handle: (c, { query: { level, search, limit, cursor, offset, format, ...query } }, { sql }) =>
      asCaller(c, sql, async (db, caller) => {
        const read = await readCallsFilter(db, query)
        if ('fault' in read) return faulty(read.fault)
        const filter = { ...read.filter, level, search }
        if (format === 'csv') {
          return csvResponse(
            'calls.csv',
            logLines((report) => asCaller(c, sql, report), filter, read.period),
          )
        }
        const page = { limit, after: cursor ?? null }
        const { logs, total, next } = await listLogs(db, caller, filter, page, offset)
        return c.json({
          logs,
          pagination: { total, limit, offset, has_more: next !== null },
          ...nextCursor(next),
        })
      }),
  }),
]
