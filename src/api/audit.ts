import * as z from 'zod'
import { asCaller } from '../as-caller.ts'
import { AUDIT_ACTIONS } from '../audit.ts'
import { auditLines, listAudit } from '../reports/audit.ts'
import { AuditPage } from './answers/audit.ts'
import { csvResponse, formatQuery } from './csv.ts'
import { faulty, periodQuery, readPeriod } from './period-query.ts'
import { ADMINS } from './roles.ts'
import { route } from './route.ts'
import { label, nextCursor, pageQuery, uuid } from './validate.ts'

const AuditQuery = z.object({
  // What kind, or whose id.
  actor: z.enum(['user', 'service', 'cli']).or(uuid.toLowerCase()).optional(),
  action: z.enum(AUDIT_ACTIONS).optional(),
  target: label.optional(),
  ...periodQuery,
  ...pageQuery(1000, 100),
  format: formatQuery,
})

const FIRST = new Date(0)

export const audit = [
  route({
    method: 'GET',
    path: '/audit',
    roles: ADMINS,
    summary: 'Who changed what, newest first; as a file all that match',
    notes: 'Ids and numbers alone: names and e-mails are those of the users.',
    query: AuditQuery,
    answers: { 200: AuditPage },
    csv: true,
    handle: (c, { query: { from, to, timezone, limit, cursor, format, ...wanted } }, { sql }) =>
      asCaller(c, sql, async (db) => {
        const read = await readPeriod(db, { from, to, timezone }, FIRST)
        if ('fault' in read) return faulty(read.fault)
        if (format === 'csv') {
          return csvResponse(
            'audit.csv',
            auditLines((report) => asCaller(c, sql, report), wanted, read.period),
          )
        }
        const period = from === undefined && to === undefined ? undefined : read.period
        const page = { limit, after: cursor ?? null }
        const { next, ...report } = await listAudit(db, { ...wanted, period }, page)
        return c.json({ ...report, ...nextCursor(next) })
      }),
  }),
]
