import * as z from 'zod'
import { resolveSql } from '../db/client.ts'
import { problem } from '../errors.ts'
import { createSessionManager } from '../sessions/session-manager.ts'
import type { SessionOwner } from '../sessions/session-row.ts'
import { Opened } from './answers/users.ts'
import { OWNERS } from './roles.ts'
import { route } from './route.ts'
import { invalid, label, readBy, uuid } from './validate.ts'

const UserContextBody = z.object({
  user_id: uuid,
  user_email: label.nullish().transform((email) => email ?? null),
  user_name: label.nullish().transform((name) => name ?? null),
})

const Body = z.object({
  client_info: z.record(z.string(), z.unknown()).nullish(),
  // Read below, for services alone: to everybody else it is forbidden whatever it says.
  user_context: readBy(z.unknown(), UserContextBody.nullable()).optional(),
})

export const initialize = [
  route({
    method: 'POST',
    path: '/initialize',
    roles: { ...OWNERS, admin: 'own' },
    summary: 'Opens a session for the caller',
    notes: 'The user comes from the token. A service may name one in user_context, or nobody.',
    body: Body,
    answers: { 201: Opened },
    async handle(c, { body: { client_info, user_context = null } }, { sql, session }) {
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
      const { timeoutSeconds, idleAfterSeconds, maxPerUser } = session
      const sessionId = await createSessionManager(resolveSql(sql, c)).createSession({
        clientInfo: client_info ?? {},
        ...(owner === null ? {} : { userContext: owner }),
        ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
        idleAfterSeconds,
        maxPerUser,
      })
      return c.json({ session_id: sessionId }, 201)
    },
  }),
]
