import { Hono } from 'hono'
import * as z from 'zod'
import { callerOf } from '../as-caller.ts'
import { errorCode, resolveSql, type SqlSource } from '../db/client.ts'
import { analyticsPeriod } from '../reports/analytics-period.ts'
import { responseTimes } from '../reports/analytics-times.ts'
import { callTrends } from '../reports/analytics-trends.ts'
import { toldPeriod } from '../reports/period.ts'
import type { ApiEnv } from './env.ts'
import { faulty, timezoneQuery } from './period-query.ts'
import { countQuery, validate } from './validate.ts'

const AnalyticsQuery = z.object({
  days: countQuery(90, 30),
  compare: z
    .enum(['true', 'false'])
    .default('true')
    .transform((word) => word === 'true'),
  timezone: timezoneQuery,
})

/** Postgres has a list of zones of its own. */
const UNKNOWN_ZONE = '22023'

/** `/analytics`: how calls went over the last days, how they ended and how long they took. */
export const analytics = (sql: SqlSource) =>
  new Hono<ApiEnv>().get('/', validate('query', AnalyticsQuery), async (c) => {
    const client = resolveSql(sql, c)
    const caller = callerOf(c)
    const { days, compare, timezone } = c.req.valid('query')
    const period = await analyticsPeriod(client, days, timezone).catch((error: unknown) => {
      if (errorCode(error) !== UNKNOWN_ZONE) throw error
      return null
    })
    if (period === null)
      return faulty({ path: 'timezone', message: 'is not a time zone that Postgres knows' })
    const [{ trends, ratios, comparison }, response_times] = await Promise.all([
      callTrends(client, caller, period, compare),
      responseTimes(client, caller, period),
    ])
    return c.json({ period: { ...toldPeriod(period), days }, trends, ratios, response_times, comparison })
  })
