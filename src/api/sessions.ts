import * as z from 'zod'
import { asCaller, callerOf } from '../as-caller.ts'
import { resolveSql } from '../db/client.ts'
import { problem } from '../errors.ts'
import { listSessionCalls, sessionSummary } from '../reports/calls.ts'
import { countLiveClients } from '../reports/clients.ts'
import { listDisconnected } from '../reports/disconnected.ts'
import { sessionById } from '../reports/session.ts'
import { sessionLines } from '../reports/session-csv.ts'
import { sessionHealth } from '../reports/session-health.ts'
import { listSessions } from '../reports/sessions.ts'
import { readsCallsOf } from '../reports/visible-to.ts'
import { DEFAULT_TIMEOUT_SECONDS, reasonToEnd } from '../sessions/life-cycle.ts'
import { createSessionManager } from '../sessions/session-manager.ts'
import { DisconnectedList, Health, OneSession, SessionList } from './answers/sessions.ts'
import { csvResponse } from './csv.ts'
import { SessionFileQuery } from './session-query.ts'
import { EVERYBODY, OWNERS } from './roles.ts'
import { route } from './route.ts'
import { countQuery, nextCursor, pageQuery } from './validate.ts'

const CallsQuery = z.object(pageQuery(100, 100))
const DisconnectedQuery = z.object({ days: countQuery(30, 7), ...pageQuery(200, 50) })

export const sessions = [
  route({
    method: 'GET',
    path: '/sessions',
    roles: EVERYBODY,
    summary:
      'Sessions, latest activity first, beside how many live, the timeout and the uptime of the server',
    query: SessionFileQuery,
    answers: { 200: SessionList },
    csv: true,
    async handle(c, { query: { filter, page, format } }, { sql, session, uptimeSeconds }) {
      if (format === 'csv') {
        return csvResponse(
          'sessions.csv',
          sessionLines((report) => asCaller(c, sql, report), filter),
        )
      }
      const [live, { sessions, total, next }] = await asCaller(c, sql, (db, caller) =>
        Promise.all([countLiveClients(db, caller), listSessions(db, caller, filter, page)]),
      )
      const uptime = uptimeSeconds()
      return c.json({
        // Archon's word for those that live, idle ones among them.
        active_sessions: live.active + live.idle,
        session_timeout: session.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS,
        ...(uptime === null ? {} : { server_uptime_seconds: uptime }),
        sessions,
        total,
        ...nextCursor(next),
      })
    },
  }),
  route({
    method: 'GET',
    path: '/sessions/disconnected',
    roles: EVERYBODY,
    summary: 'What ended in the last days, and how',
    query: DisconnectedQuery,
    answers: { 200: DisconnectedList },
    handle: (c, { query: { days, limit, cursor } }, { sql }) =>
      asCaller(c, sql, async (db, caller) => {
        const { next, ...report } = await listDisconnected(db, caller, days, { limit, after: cursor ?? null })
        return c.json({ ...report, ...nextCursor(next) })
      }),
  }),
  route({
    method: 'GET',
    path: '/sessions/health',
    roles: EVERYBODY,
    summary: 'How many sessions are active, idle and gone, for how long without a call, and the latest ten',
    answers: { 200: Health },
    handle: (c, _asked, { sql }) =>
      asCaller(c, sql, async (db, caller) => c.json(await sessionHealth(db, caller))),
  }),
  route({
    method: 'GET',
    path: '/sessions/:id',
    roles: EVERYBODY,
    summary: 'One session with its calls and their totals',
    notes: 'Finance reads the totals, and the calls of its own sessions.',
    query: CallsQuery,
    answers: { 200: OneSession },
    unknown: 'session_not_found',
    handle: (c, { id, query: { limit, cursor } }, { sql }) =>
      asCaller(c, sql, async (db, caller) => {
        const session = await sessionById(db, caller, id)
        if (session === null) return problem({ code: 'session_not_found' })
        const summary = await sessionSummary(db, caller, session.session_id)
        // Left out where the caller may not read them: an empty list would say that there are none.
        if (!readsCallsOf(caller, session.user_id)) return c.json({ session, summary })
        const page = { limit, after: cursor ?? null }
        const { calls, next } = await listSessionCalls(db, caller, session.session_id, page)
        return c.json({ session, requests: calls, ...nextCursor(next), summary })
      }),
  }),
  route({
    method: 'DELETE',
    path: '/sessions/:id',
    roles: OWNERS,
    summary: 'Ends a session',
    notes: 'It is no credential: its user can open another. Who may only look at it is answered 403.',
    answers: { 204: null },
    unknown: 'session_not_found',
    async handle(c, { id }, { sql }) {
      const session = await asCaller(c, sql, (db, caller) => sessionById(db, caller, id))
      if (session === null) return problem({ code: 'session_not_found' })
      const reason = reasonToEnd(callerOf(c), session.user_id)
      if (reason === null) return problem({ code: 'forbidden' })
      // One that ran out keeps that end, though the sweep may have yet to write it.
      if (session.status !== 'disconnected') {
        await createSessionManager(resolveSql(sql, c)).endSession(session.session_id, reason)
      }
      return c.body(null, 204)
    },
  }),
]
