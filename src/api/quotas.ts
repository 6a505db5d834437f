import * as z from 'zod'
import { actorOf, asCaller, asServer } from '../as-caller.ts'
import { resolveSql } from '../db/client.ts'
import { problem } from '../errors.ts'
import { putQuota, QuotaError, quotaErrorOf, removeQuota } from '../limits/quotas.ts'
import { previewQuota } from '../reports/quota-preview.ts'
import { listQuotas, quotaById } from '../reports/quotas.ts'
import { Preview, Quota, QuotaList } from './answers/quotas.ts'
import { PreviewBody, QUOTA_SCOPES, QuotaBody } from './quota-schema.ts'
import { ADMINS, EVERYBODY } from './roles.ts'
import { route } from './route.ts'
import { label, nextCursor, pageQuery, uuid } from './validate.ts'

const QuotaQuery = z.object({
  kind: z.enum(['budget', 'rate']).optional(),
  scope: z.enum(QUOTA_SCOPES).optional(),
  user_id: uuid.toLowerCase().optional(),
  department: label.optional(),
  ...pageQuery(200, 100),
})

/** Runs what the database may find a fault in that only it knows, and answers that as any fault of a body. */
async function withFaults(answer: () => Promise<Response>): Promise<Response> {
  try {
    return await answer()
  } catch (thrown) {
    const error = quotaErrorOf(thrown)
    if (!(error instanceof QuotaError)) throw error
    if (error.field === 'quota_id') return problem({ code: 'conflict', detail: `quota_id ${error.message}.` })
    return problem({ code: 'invalid_request' }, { errors: [{ path: error.field, message: error.message }] })
  }
}

export const quotas = [
  route({
    method: 'GET',
    path: '/quotas',
    roles: EVERYBODY,
    summary: 'Budgets and rates, and where each stands',
    query: QuotaQuery,
    answers: { 200: QuotaList },
    handle: (c, { query: { limit, cursor, user_id: userId, ...filter } }, { sql }) =>
      asCaller(c, sql, async (db, caller) => {
        const page = { limit, after: cursor ?? null }
        const { quotas, total, next } = await listQuotas(db, caller, { ...filter, userId }, page)
        return c.json({ quotas, total, ...nextCursor(next) })
      }),
  }),
  route({
    method: 'GET',
    path: '/quotas/:quota_id',
    roles: EVERYBODY,
    summary: 'One quota, and where it stands',
    answers: { 200: Quota },
    handle: (c, { id }, { sql }) =>
      asCaller(c, sql, async (db, caller) => {
        const quota = await quotaById(db, caller, id)
        return quota === null ? problem({ code: 'not_found' }) : c.json(quota)
      }),
  }),
  route({
    method: 'PUT',
    path: '/quotas',
    roles: ADMINS,
    summary:
      'Creates a quota, or replaces the one with that quota_id, or else the one of the same kind, scope, subject, metric, window and narrowing',
    notes: 'What was used stays used.',
    body: QuotaBody,
    answers: { 200: Quota, 201: Quota },
    refusals: ['conflict', 'not_found'],
    handle: (c, { body }, { sql }) =>
      withFaults(async () => {
        const { quotaId, created } = await putQuota(resolveSql(sql, c), body, actorOf(c))
        const quota = await asCaller(c, sql, (db, caller) => quotaById(db, caller, quotaId))
        // Removed by somebody else in between.
        if (quota === null) return problem({ code: 'not_found' })
        return c.json(quota, created ? 201 : 200)
      }),
  }),
  route({
    method: 'POST',
    path: '/quotas/preview',
    roles: ADMINS,
    summary: 'Whom a quota would have refused in the last days, and when',
    body: PreviewBody,
    answers: { 200: Preview },
    handle: (c, { body: { quota, days } }, { sql }) =>
      withFaults(async () => c.json(await asServer(c, sql, (db) => previewQuota(db, quota, days)))),
  }),
  route({
    method: 'DELETE',
    path: '/quotas/:quota_id',
    roles: ADMINS,
    summary: 'Removes a quota',
    answers: { 204: null },
    async handle(c, { id }, { sql }) {
      const removed = await removeQuota(resolveSql(sql, c), id, actorOf(c))
      return removed ? c.body(null, 204) : problem({ code: 'not_found' })
    },
  }),
]
