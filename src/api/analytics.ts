import * as z from 'zod'
import { asCaller } from '../as-caller.ts'
import { errorCode } from '../db/client.ts'
import { analyticsPeriod } from '../reports/analytics-period.ts'
import { responseTimes } from '../reports/analytics-times.ts'
import { callTrends } from '../reports/analytics-trends.ts'
import { toldPeriod } from '../reports/period.ts'
import { Analytics } from './answers/costs.ts'
import { faulty, timezoneQuery, UNKNOWN_ZONE } from './period-query.ts'
import { EVERYBODY } from './roles.ts'
import { route } from './route.ts'
import { countQuery } from './validate.ts'

const AnalyticsQuery = z.object({
  days: countQuery(90, 30),
  compare: z
    .enum(['true', 'false'])
    .default('true')
    .transform((word) => word === 'true'),
  timezone: timezoneQuery,
})

export const analytics = [
  route({
    method: 'GET',
    path: '/analytics',
    roles: EVERYBODY,
    summary: 'How calls went over the last days, how they ended and how long they took',
    query: AnalyticsQuery,
    answers: { 200: Analytics },
    handle: (c, { query: { days, compare, timezone } }, { sql }) =>
      asCaller(c, sql, async (db, caller) => {
        const period = await analyticsPeriod(db, days, timezone).catch((error: unknown) => {
          if (errorCode(error) !== UNKNOWN_ZONE) throw error
          return null
        })
        if (period === null)
          return faulty({ path: 'timezone', message: 'is not a time zone that Postgres knows' })
        const [{ trends, ratios, comparison }, response_times] = await Promise.all([
          callTrends(db, caller, period, compare),
          responseTimes(db, caller, period),
        ])
        return c.json({ period: { ...toldPeriod(period), days }, trends, ratios, response_times, comparison })
      }),
  }),
]
