import { Hono, type MiddlewareHandler } from 'hono'
import * as z from 'zod'
import { callerOf } from '../as-caller.ts'
import { resolveSql, type SqlSource } from '../db/client.ts'
import { problem } from '../errors.ts'
import { putQuota, QuotaError, quotaErrorOf, removeQuota } from '../limits/quotas.ts'
import { previewQuota } from '../reports/quota-preview.ts'
import { listQuotas, quotaById } from '../reports/quotas.ts'
import { isUuid } from '../uuid.ts'
import type { ApiEnv } from './env.ts'
import { PreviewBody, QUOTA_SCOPES, QuotaBody } from './quota-schema.ts'
import { label, nextCursor, pageQuery, uuid, validate } from './validate.ts'

const QuotaQuery = z.object({
  kind: z.enum(['budget', 'rate']).optional(),
  scope: z.enum(QUOTA_SCOPES).optional(),
  user_id: uuid.toLowerCase().optional(),
  department: label.optional(),
  ...pageQuery(200, 100),
})

/** Before the body is read: nobody else is told what is wrong with it. */
const adminsOnly: MiddlewareHandler<ApiEnv> = async function adminsOnly(c, next) {
  const { role } = callerOf(c)
  if (role === 'admin' || role === 'service') return await next()
  return problem({ code: 'forbidden', detail: 'Admins and services set quotas.' })
}

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

/** `/quotas`: what administrators allow, where it stands, and what a quota would have refused. */
export const quotas = (sql: SqlSource) =>
  new Hono<ApiEnv>()
    .get('/', validate('query', QuotaQuery), async (c) => {
      const { limit, cursor, user_id: userId, ...filter } = c.req.valid('query')
      const page = { limit, after: cursor ?? null }
      const { quotas, total, next } = await listQuotas(
        resolveSql(sql, c),
        callerOf(c),
        { ...filter, userId },
        page,
      )
      return c.json({ quotas, total, ...nextCursor(next) })
    })
    .put('/', adminsOnly, validate('json', QuotaBody), (c) =>
      withFaults(async () => {
        const client = resolveSql(sql, c)
        const { quotaId, created } = await putQuota(client, c.req.valid('json'))
        const quota = await quotaById(client, callerOf(c), quotaId)
        // Removed by somebody else in between.
        if (quota === null) return problem({ code: 'not_found' })
        return c.json(quota, created ? 201 : 200)
      }),
    )
    .post('/preview', adminsOnly, validate('json', PreviewBody), (c) =>
      withFaults(async () => {
        const { quota, days } = c.req.valid('json')
        return c.json(await previewQuota(resolveSql(sql, c), quota, days))
      }),
    )
    .get('/:quota_id', async (c) => {
      const id = c.req.param('quota_id')
      const quota = isUuid(id) ? await quotaById(resolveSql(sql, c), callerOf(c), id) : null
      return quota === null ? problem({ code: 'not_found' }) : c.json(quota)
    })
    .delete('/:quota_id', adminsOnly, async (c) => {
      const id = c.req.param('quota_id')
      const removed = isUuid(id) && (await removeQuota(resolveSql(sql, c), id))
      return removed ? c.body(null, 204) : problem({ code: 'not_found' })
    })
