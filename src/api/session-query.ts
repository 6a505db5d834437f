import * as z from 'zod'
import type { PageRequest } from '../reports/position.ts'
import type { SessionsFilter } from '../reports/session-rows.ts'
import { formatQuery } from './csv.ts'
import { label, pageQuery, uuid } from './validate.ts'

export const SESSION_STATUS = z.enum(['active', 'idle', 'disconnected', 'all'])

const fields = z.object({
  status_filter: SESSION_STATUS.optional(),
  user_id: uuid.optional(),
  department: label.optional(),
  ...pageQuery(200, 100),
})

interface SessionRequest {
  filter: SessionsFilter
  page: PageRequest
}

const requestOf = ({
  status_filter,
  user_id,
  department,
  limit,
  cursor,
}: z.output<typeof fields>): SessionRequest => ({
  filter: { status: status_filter ?? 'live', userId: user_id, department },
  page: { limit, after: cursor ?? null },
})

/** The query of the lists of sessions: which, how many, and from where. */
export const SessionQuery = fields.transform(requestOf)

/** The same of a list that is told as a file too. */
export const SessionFileQuery = fields
  .extend({ format: formatQuery })
  .transform(({ format, ...query }) => ({ format, ...requestOf(query) }))
