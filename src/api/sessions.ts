import { Hono } from 'hono'
import * as z from 'zod'
import { resolveSql, type Sql, type SqlSource } from '../db/client.ts'
import { problem } from '../errors.ts'
import { listSessionCalls, sessionSummary } from '../reports/calls.ts'
import { type McpSession, sessionById } from '../reports/session.ts'
import { type ReportCaller, readsCallsOf } from '../reports/visible-to.ts'
import type { DisconnectReason } from '../sessions/life-cycle.ts'
import { createSessionManager } from '../sessions/session-manager.ts'
import { isUuid } from '../uuid.ts'
import { type ApiEnv, callerOf } from './env.ts'
import { nextCursor, pageQuery, validate } from './validate.ts'

const Query = z.object(pageQuery(100, 100))

/** An id that cannot be is unknown, like one that is not there or that somebody else's session has. */
const find = async (sql: Sql, caller: ReportCaller, id: string): Promise<McpSession | null> =>
  isUuid(id) ? await sessionById(sql, caller, id) : null

/** Why a caller may end a session; null when they may only look at it. */
function reasonToEnd({ role, userId }: ReportCaller, session: McpSession): DisconnectReason | null {
  if (userId !== null && session.user_id === userId) return 'client_disconnect'
  return role === 'admin' || role === 'service' ? 'admin' : null
}

/** `/sessions`: one session with its calls and totals; and its end. */
export const sessions = (sql: SqlSource) =>
  new Hono<ApiEnv>()
    .get('/:id', validate('query', Query), async (c) => {
      const client = resolveSql(sql, c)
      const caller = callerOf(c)
      const { limit, cursor } = c.req.valid('query')
      const session = await find(client, caller, c.req.param('id'))
      if (session === null) return problem({ code: 'session_not_found' })
      const summary = await sessionSummary(client, caller, session.session_id)
      // Left out where the caller may not read them: an empty list would say that there are none.
      if (!readsCallsOf(caller, session.user_id)) return c.json({ session, summary })
      const page = { limit, after: cursor ?? null }
      const { calls, next } = await listSessionCalls(client, caller, session.session_id, page)
      return c.json({ session, requests: calls, ...nextCursor(next), summary })
    })
    .delete('/:id', async (c) => {
      const client = resolveSql(sql, c)
      const caller = callerOf(c)
      const session = await find(client, caller, c.req.param('id'))
      if (session === null) return problem({ code: 'session_not_found' })
      const reason = reasonToEnd(caller, session)
      if (reason === null) return problem({ code: 'forbidden' })
      // One that ran out keeps that end, though the sweep may have yet to write it.
      if (session.status !== 'disconnected') {
        await createSessionManager(client).endSession(session.session_id, reason)
      }
      return c.body(null, 204)
    })
