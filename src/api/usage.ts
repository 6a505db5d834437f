import { Hono } from 'hono'
import * as z from 'zod'
import { callerOf } from '../as-caller.ts'
import { resolveSql, type SqlSource } from '../db/client.ts'
import { usageSummary } from '../reports/usage.ts'
import type { ApiEnv } from './env.ts'
import { faulty, periodQuery, readPeriod } from './period-query.ts'
import { countQuery, validate } from './validate.ts'

const UsageQuery = z
  .object({
    start_date: periodQuery.from,
    end_date: periodQuery.to,
    timezone: periodQuery.timezone,
    days: countQuery(366, 30),
  })
  .superRefine(({ start_date, end_date }, context) => {
    if ((start_date === undefined) === (end_date === undefined)) return
    const path = [start_date === undefined ? 'start_date' : 'end_date']
    context.addIssue({ code: 'custom', path, message: 'must be given when the other is' })
  })

/** `/usage`: what the calls used that the caller may see the sums of. */
export const usage = (sql: SqlSource) =>
  new Hono<ApiEnv>().get('/summary', validate('query', UsageQuery), async (c) => {
    const { start_date: from, end_date: to, timezone, days } = c.req.valid('query')
    const client = resolveSql(sql, c)
    if (from === undefined) return c.json(await usageSummary(client, callerOf(c), { days }))
    const read = await readPeriod(client, { from, to, timezone })
    if ('period' in read) return c.json(await usageSummary(client, callerOf(c), read.period))
    const { path, message } = read.fault
    return faulty({ path: path === 'timezone' ? path : 'end_date', message })
  })
