import { Hono } from 'hono'
import * as z from 'zod'
import { resolveSql, type SqlSource } from '../db/client.ts'
import { problem } from '../errors.ts'
import type { SessionRules } from '../sessions/life-cycle.ts'
import { createSessionManager, type SessionOwner } from '../sessions/session-manager.ts'
import type { ApiEnv } from './env.ts'
import { invalid, label, uuid, validate } from './validate.ts'

const Body = z.object({
  client_info: z.record(z.string(), z.unknown()).nullish(),
  // Read below, for services alone: to everybody else it is forbidden whatever it says.
  user_context: z.unknown().optional(),
})

const UserContextBody = z.object({
  user_id: uuid,
  user_email: label.nullish().transform((email) => email ?? null),
  user_name: label.nullish().transform((name) => name ?? null),
})

/** `/initialize`: opens a session for the caller; a program may open one for a user, or for nobody. */
export const initialize = (
  sql: SqlSource,
  { timeoutSeconds, idleAfterSeconds, maxPerUser }: SessionRules = {},
) =>
  new Hono<ApiEnv>().post('/', validate('json', Body), async (c) => {
    const { client_info, user_context = null } = c.req.valid('json')
    const { caller, user } = c.var
    let owner: SessionOwner | null =
      user === null ? null : { user_id: user.id, user_email: user.email, user_name: user.name }
    if (user_context !== null) {
      if (caller.kind !== 'service') {
        return problem({
          code: 'forbidden',
          detail: 'The user comes from the token; user_context is for services.',
        })
      }
      const named = UserContextBody.safeParse(user_context)
      if (!named.success) return invalid(named.error, ['user_context'])
      owner = named.data
    }
    const sessionId = await createSessionManager(resolveSql(sql, c)).createSession({
      clientInfo: client_info ?? {},
      ...(owner === null ? {} : { userContext: owner }),
      ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
      idleAfterSeconds,
      maxPerUser,
    })
    return c.json({ session_id: sessionId }, 201)
  })
