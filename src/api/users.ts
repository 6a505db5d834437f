import { Hono, type MiddlewareHandler } from 'hono'
import * as z from 'zod'
import { callerOf } from '../as-caller.ts'
import { changeUser, revokeUser } from '../auth/users.ts'
import { resolveSql, type SqlSource } from '../db/client.ts'
import { problem } from '../errors.ts'
import { periodOf } from '../reports/period.ts'
import { listSessions } from '../reports/sessions.ts'
import { userActivity } from '../reports/user-activity.ts'
import { userLines } from '../reports/user-csv.ts'
import { USER_SORTS } from '../reports/user-rows.ts'
import { findUser, listUsers, userById } from '../reports/users.ts'
import { isUuid } from '../uuid.ts'
import { csvResponse, formatQuery } from './csv.ts'
import type { ApiEnv } from './env.ts'
import { faulty, periodQuery, readPeriod, timezoneQuery } from './period-query.ts'
import { SESSION_STATUS } from './session-query.ts'
import { countQuery, label, nextCursor, pageQuery, validate } from './validate.ts'

const UsersQuery = z.object({
  // An empty field of a form searches for nothing.
  search: label.or(z.literal('').transform(() => undefined)).optional(),
  department: label.optional(),
  sort: z.enum(USER_SORTS).default('cost'),
  ...periodQuery,
  ...pageQuery(200, 100),
  format: formatQuery,
})
const UserQuery = z.object(periodQuery)
const SessionsQuery = z.object({ status_filter: SESSION_STATUS.default('all'), ...pageQuery(200, 100) })
const ActivityQuery = z.object({ days: countQuery(366, 30), timezone: timezoneQuery })
const Change = z
  .strictObject({
    department: label.nullish(),
    role: z.enum(['member', 'manager', 'finance', 'admin']).nullish(),
    blocked: z.boolean().nullish(),
  })
  .refine((change) => Object.keys(change).length > 0, 'changes nothing')

/** Reports of users are of all time, unless asked otherwise. */
const EARLIEST = new Date(0)
const DAY_MS = 86_400_000

/** Before the body is read: nobody else is told what is wrong with it, nor who is there. */
const adminsOnly: MiddlewareHandler<ApiEnv> = async function adminsOnly(c, next) {
  const { role } = callerOf(c)
  if (role === 'admin' || role === 'service') return await next()
  return problem({ code: 'forbidden', detail: 'Admins and services change users.' })
}

/** An id that cannot be is unknown, like one that is not there or that the caller may not see. */
const knownId: MiddlewareHandler<ApiEnv> = async function knownId(c, next) {
  return isUuid(c.req.param('id') ?? '') ? await next() : problem({ code: 'not_found' })
}

/** Whom Archon knew alone has no token that could be refused. */
const stranger = (): Response =>
  problem({ code: 'not_found', detail: 'Nobody with this id has ever signed in here.' })

/** `/users`: who they are, what they did, and what an administrator may change. */
export const users = (sql: SqlSource) =>
  new Hono<ApiEnv>()
    .get('/', validate('query', UsersQuery), async (c) => {
      const client = resolveSql(sql, c)
      const { from, to, timezone, limit, cursor, format, ...filter } = c.req.valid('query')
      const read = await readPeriod(client, { from, to, timezone }, EARLIEST)
      if ('fault' in read) return faulty(read.fault)
      const page = format === 'csv' ? { limit: null, after: null } : { limit, after: cursor ?? null }
      const { next, ...report } = await listUsers(client, callerOf(c), filter, read.period, page)
      return format === 'csv'
        ? csvResponse('users.csv', userLines(report))
        : c.json({ ...report, ...nextCursor(next) })
    })
    .use('/:id/*', knownId)
    .get('/:id', validate('query', UserQuery), async (c) => {
      const client = resolveSql(sql, c)
      const read = await readPeriod(client, c.req.valid('query'), EARLIEST)
      if ('fault' in read) return faulty(read.fault)
      const user = await userById(client, callerOf(c), c.req.param('id'), read.period)
      return user === null ? problem({ code: 'not_found' }) : c.json(user)
    })
    .get('/:id/sessions', validate('query', SessionsQuery), async (c) => {
      const client = resolveSql(sql, c)
      const caller = callerOf(c)
      const userId = c.req.param('id')
      const { status_filter: status, limit, cursor } = c.req.valid('query')
      if ((await findUser(client, caller, userId)) === null) return problem({ code: 'not_found' })
      const page = { limit, after: cursor ?? null }
      const { sessions, total, next } = await listSessions(client, caller, { status, userId }, page)
      return c.json({ sessions, total, ...nextCursor(next) })
    })
    .get('/:id/activity', validate('query', ActivityQuery), async (c) => {
      const client = resolveSql(sql, c)
      const { days, timezone } = c.req.valid('query')
      const read = await readPeriod(client, { timezone }, EARLIEST)
      if ('fault' in read) return faulty(read.fault)
      const { end } = read.period
      const period = { start: new Date(end.getTime() - days * DAY_MS), end, timezone }
      const activity = await userActivity(client, callerOf(c), c.req.param('id'), period)
      return activity === null ? problem({ code: 'not_found' }) : c.json({ days, ...activity })
    })
    .patch('/:id', adminsOnly, validate('json', Change), async (c) => {
      const client = resolveSql(sql, c)
      const userId = c.req.param('id')
      if (!(await changeUser(client, userId, c.req.valid('json')))) return stranger()
      const period = await periodOf(client, { from: EARLIEST, to: null, timezone: 'UTC' })
      const user = await userById(client, callerOf(c), userId, period)
      // Erased by somebody else in between.
      return user === null ? problem({ code: 'not_found' }) : c.json(user)
    })
    .post('/:id/revoke', adminsOnly, async (c) => {
      const revokedAt = await revokeUser(resolveSql(sql, c), c.req.param('id'))
      return revokedAt === null ? stranger() : c.json({ revoked_at: revokedAt.toISOString() })
    })
