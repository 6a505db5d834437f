import type { Context } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { DatabaseUnavailableError, isOutage, tookTooLong } from '../db/outage.ts'
import { databaseUnavailable, problem } from '../errors.ts'
import { requestIdOf } from '../request-id.ts'

/**
 * Answers an error that no route expected: 503 while the database is out or a report is too much for it, 400 for a
 * body that is no JSON, else 500 with an id under which the log has the rest.
 */
export function failure(error: Error, c: Context): Response {
  if (error instanceof DatabaseUnavailableError) return problem(databaseUnavailable(error))
  if (isOutage(error)) return problem(databaseUnavailable(new DatabaseUnavailableError()))
  if (tookTooLong(error)) {
    const detail =
      'There are too many calls to answer this in time: ask for fewer days, or for one user or department'
    return problem({ code: 'took_too_long', detail })
  }
  // Hono's validator throws this, for a body that JSON.parse() refuses.
  if (error instanceof HTTPException && error.status === 400) return problem({ code: 'parse_error' })
  const requestId = requestIdOf(c)
  // Neither body nor headers, and of a database error not the details, which quote rows.
  console.error(
    `mcp-user-context: ${c.req.method} ${c.req.path} failed (request_id ${requestId}): ${error.stack ?? error.message}`,
  )
  return problem({ code: 'internal' }, {}, requestId)
}
