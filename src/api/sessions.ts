import { Hono } from 'hono'
import * as z from 'zod'
import { callerOf } from '../as-caller.ts'
import { resolveSql, type Sql, type SqlSource } from '../db/client.ts'
import { problem } from '../errors.ts'
import { listSessionCalls, sessionSummary } from '../reports/calls.ts'
import { countLiveClients } from '../reports/clients.ts'
import { listDisconnected } from '../reports/disconnected.ts'
import { type McpSession, sessionById } from '../reports/session.ts'
import { sessionLines } from '../reports/session-csv.ts'
import { sessionHealth } from '../reports/session-health.ts'
import { listSessions } from '../reports/sessions.ts'
import { type ReportCaller, readsCallsOf } from '../reports/visible-to.ts'
import type { DisconnectReason } from '../sessions/life-cycle.ts'
import { createSessionManager } from '../sessions/session-manager.ts'
import { isUuid } from '../uuid.ts'
import { csvResponse } from './csv.ts'
import type { ApiEnv } from './env.ts'
import { SessionFileQuery } from './session-query.ts'
import { countQuery, nextCursor, pageQuery, validate } from './validate.ts'

const CallsQuery = z.object(pageQuery(100, 100))
const DisconnectedQuery = z.object({ days: countQuery(30, 7), ...pageQuery(200, 50) })

/** What the list of sessions tells of the server. */
export interface ServerFacts {
  /** Seconds without a call after which a session with an id on the wire ends. */
  sessionTimeoutSeconds: number
  /** Null where no process lives between requests. */
  uptimeSeconds: () => number | null
}

/** An id that cannot be is unknown, like one that is not there or that somebody else's session has. */
const find = async (sql: Sql, caller: ReportCaller, id: string): Promise<McpSession | null> =>
  isUuid(id) ? await sessionById(sql, caller, id) : null

/** Why a caller may end a session; null when they may only look at it. */
function reasonToEnd({ role, userId }: ReportCaller, session: McpSession): DisconnectReason | null {
  if (userId !== null && session.user_id === userId) return 'client_disconnect'
  return role === 'admin' || role === 'service' ? 'admin' : null
}

/** `/sessions`: who is there, who has gone, how they are doing; one session with its calls and totals; and its end. */
export const sessions = (sql: SqlSource, { sessionTimeoutSeconds, uptimeSeconds }: ServerFacts) =>
  new Hono<ApiEnv>()
    .get('/', validate('query', SessionFileQuery), async (c) => {
      const client = resolveSql(sql, c)
      const caller = callerOf(c)
      const { filter, page, format } = c.req.valid('query')
      if (format === 'csv') return csvResponse('sessions.csv', sessionLines(client, caller, filter))
      const [live, { sessions, total, next }] = await Promise.all([
        countLiveClients(client, caller),
        listSessions(client, caller, filter, page),
      ])
      const uptime = uptimeSeconds()
      return c.json({
        // Archon's word for those that live, idle ones among them.
        active_sessions: live.active + live.idle,
        session_timeout: sessionTimeoutSeconds,
        ...(uptime === null ? {} : { server_uptime_seconds: uptime }),
        sessions,
        total,
        ...nextCursor(next),
      })
    })
    .get('/disconnected', validate('query', DisconnectedQuery), async (c) => {
      const { days, limit, cursor } = c.req.valid('query')
      const page = { limit, after: cursor ?? null }
      const { next, ...report } = await listDisconnected(resolveSql(sql, c), callerOf(c), days, page)
      return c.json({ ...report, ...nextCursor(next) })
    })
    .get('/health', async (c) => c.json(await sessionHealth(resolveSql(sql, c), callerOf(c))))
    // After those above, whose names would be ids.
    .get('/:id', validate('query', CallsQuery), async (c) => {
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
