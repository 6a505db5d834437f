import * as z from 'zod'
import type { UserActivity } from '../../reports/user-activity.ts'
import type { UserReport, UserStatistics } from '../../reports/users.ts'
import { Quota } from './quotas.ts'
import { clientType, count, day, id, maybe, measure, moment, page, period, usd } from './parts.ts'

const role = z.enum(['member', 'manager', 'finance', 'admin'])

const totals = {
  total_sessions: count,
  active_sessions: count,
  total_requests: count,
  total_tokens: count,
  total_cost: usd,
}

export const User = z
  .strictObject({
    user_id: id,
    email: maybe(z.string()),
    name: maybe(z.string()),
    department: maybe(z.string()),
    role: maybe(role),
    blocked: z.boolean(),
    assigned_department: maybe(z.string()).describe('Set by an admin'),
    assigned_role: maybe(role).describe('Set by an admin'),
    revoked_at: maybe(moment).describe('Tokens issued before are refused'),
    last_activity_at: maybe(moment),
    first_seen_at: maybe(moment),
    ...totals,
  })
  .meta({ id: 'UserStatistics' }) satisfies z.ZodType<UserStatistics>

/** A user by themselves. */
export const UserWithMemberships = User.extend({
  memberships: z
    .array(
      z.strictObject({ department: z.string().nullable(), starts_at: moment, ends_at: moment.nullable() }),
    )
    .describe('Where they worked, and when; the earliest first'),
}).meta({ id: 'User' }) satisfies z.ZodType<UserReport>

export const UserList = z.strictObject({
  period,
  users: z.array(User),
  totals: z.strictObject(totals),
  ...page,
})

export const Activity = z.strictObject({
  days: count,
  period,
  user_id: id,
  user_email: z.string().nullable(),
  user_name: z.string().nullable(),
  ...totals,
  avg_session_duration: measure.nullable().describe('Seconds, of sessions that have ended'),
  most_used_client: clientType.nullable(),
  first_seen: moment.nullable(),
  last_seen: moment.nullable(),
  trend: z.array(z.strictObject({ date: day, calls: count, tokens: count, cost: usd })),
}) satisfies z.ZodType<UserActivity>

export const Revoked = z.strictObject({ revoked_at: moment })

export const Me = z.strictObject({
  user: z.strictObject({
    id,
    email: z.string().nullable(),
    name: z.string().nullable(),
    department: z.string().nullable(),
    role,
    scopes: z.array(z.string()),
    issuer: z.string(),
    subject: z.string(),
  }),
  sessions: z.strictObject({ active: count, idle: count }).describe('Clients that live'),
  limits: z.array(Quota).describe('What holds the caller, and what is left of it'),
})

export const Opened = z.strictObject({ session_id: id })
