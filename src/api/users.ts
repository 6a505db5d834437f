import * as z from 'zod'
import { actorOf, asCaller } from '../as-caller.ts'
import { changeUser, revokeUser } from '../auth/users.ts'
import { resolveSql } from '../db/client.ts'
import { problem } from '../errors.ts'
import { periodOf } from '../reports/period.ts'
import { listSessions } from '../reports/sessions.ts'
import { userActivity } from '../reports/user-activity.ts'
import { userLines } from '../reports/user-csv.ts'
import { USER_SORTS } from '../reports/user-rows.ts'
import { findUser, listUsers, userById } from '../reports/users.ts'
import { SessionsOfUser } from './answers/sessions.ts'
import { Activity, Revoked, UserList, UserWithMemberships } from './answers/users.ts'
import { csvResponse, formatQuery } from './csv.ts'
import { faulty, periodQuery, readPeriod, timezoneQuery } from './period-query.ts'
import { ADMINS, EVERYBODY } from './roles.ts'
import { route } from './route.ts'
import { SESSION_STATUS } from './session-query.ts'
import { countQuery, label, nextCursor, pageQuery } from './validate.ts'

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

/** Whom Archon knew alone has no token that could be refused. */
const stranger = (): Response =>
  problem({ code: 'not_found', detail: 'Nobody with this id has ever signed in here.' })

export const users = [
  route({
    method: 'GET',
    path: '/users',
    roles: EVERYBODY,
    summary: 'Who the users are, and what they did in a period; of all time when nothing is said',
    query: UsersQuery,
    answers: { 200: UserList },
    csv: true,
    handle: (c, { query: { from, to, timezone, limit, cursor, format, ...filter } }, { sql }) =>
      asCaller(c, sql, async (db, caller) => {
        const read = await readPeriod(db, { from, to, timezone }, EARLIEST)
        if ('fault' in read) return faulty(read.fault)
        if (format === 'csv') {
          return csvResponse(
            'users.csv',
            userLines((report) => asCaller(c, sql, report), filter, read.period),
          )
        }
        const page = { limit, after: cursor ?? null }
        const { next, ...report } = await listUsers(db, caller, filter, read.period, page)
        return c.json({ ...report, ...nextCursor(next) })
      }),
  }),
  route({
    method: 'GET',
    path: '/users/:id',
    roles: EVERYBODY,
    summary: 'One user, and what they did in a period',
    query: UserQuery,
    answers: { 200: UserWithMemberships },
    handle: (c, { id, query }, { sql }) =>
      asCaller(c, sql, async (db, caller) => {
        const read = await readPeriod(db, query, EARLIEST)
        if ('fault' in read) return faulty(read.fault)
        const user = await userById(db, caller, id, read.period)
        return user === null ? problem({ code: 'not_found' }) : c.json(user)
      }),
  }),
  route({
    method: 'GET',
    path: '/users/:id/sessions',
    roles: EVERYBODY,
    summary: 'All sessions of a user, latest activity first',
    query: SessionsQuery,
    answers: { 200: SessionsOfUser },
    handle: (c, { id: userId, query: { status_filter: status, limit, cursor } }, { sql }) =>
      asCaller(c, sql, async (db, caller) => {
        if ((await findUser(db, caller, userId)) === null) return problem({ code: 'not_found' })
        const page = { limit, after: cursor ?? null }
        const { sessions, total, next } = await listSessions(db, caller, { status, userId }, page)
        return c.json({ sessions, total, ...nextCursor(next) })
      }),
  }),
  route({
    method: 'GET',
    path: '/users/:id/activity',
    roles: EVERYBODY,
    summary: 'What a user did in the last days, and on which',
    query: ActivityQuery,
    answers: { 200: Activity },
    handle: (c, { id, query: { days, timezone } }, { sql }) =>
      asCaller(c, sql, async (db, caller) => {
        const read = await readPeriod(db, { timezone }, EARLIEST)
        if ('fault' in read) return faulty(read.fault)
        const { end } = read.period
        const period = { start: new Date(end.getTime() - days * DAY_MS), end, timezone }
        const activity = await userActivity(db, caller, id, period)
        return activity === null ? problem({ code: 'not_found' }) : c.json({ days, ...activity })
      }),
  }),
  route({
    method: 'PATCH',
    path: '/users/:id',
    roles: ADMINS,
    summary:
      'Sets department and role of a user from now on, which win over the token until cleared with null; blocks them',
    body: Change,
    answers: { 200: UserWithMemberships },
    async handle(c, { id, body }, { sql }) {
      if (!(await changeUser(resolveSql(sql, c), id, body, actorOf(c)))) return stranger()
      const user = await asCaller(c, sql, async (db, caller) => {
        const period = await periodOf(db, { from: EARLIEST, to: null, timezone: 'UTC' })
        return await userById(db, caller, id, period)
      })
      // Erased by somebody else in between.
      return user === null ? problem({ code: 'not_found' }) : c.json(user)
    },
  }),
  route({
    method: 'POST',
    path: '/users/:id/revoke',
    roles: ADMINS,
    summary: 'Refuses every token of a user that was issued so far, and ends their sessions',
    answers: { 200: Revoked },
    async handle(c, { id }, { sql }) {
      const revokedAt = await revokeUser(resolveSql(sql, c), id, actorOf(c))
      return revokedAt === null ? stranger() : c.json({ revoked_at: revokedAt.toISOString() })
    },
  }),
]
