import * as z from 'zod'
import type { PageRequest } from '../reports/position.ts'
import type { SessionsFilter } from '../reports/session-rows.ts'
import { label, pageQuery, uuid } from './validate.ts'

/** The query of the lists of sessions: which, how many, and from where. */
export const SessionQuery = z
  .object({
    status_filter: z.enum(['active', 'idle', 'disconnected', 'all']).optional(),
    user_id: uuid.optional(),
    department: label.optional(),
    ...pageQuery(200, 100),
  })
  .transform(
    ({
      status_filter,
      user_id,
      department,
      limit,
      cursor,
    }): { filter: SessionsFilter; page: PageRequest } => ({
      filter: { status: status_filter ?? 'live', userId: user_id, department },
      page: { limit, after: cursor ?? null },
    }),
  )
