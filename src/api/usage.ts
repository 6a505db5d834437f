import * as z from 'zod'
import { asCaller } from '../as-caller.ts'
import { usageSummary } from '../reports/usage.ts'
import { Usage } from './answers/costs.ts'
import { faulty, periodQuery, readPeriod } from './period-query.ts'
import { EVERYBODY } from './roles.ts'
import { route } from './route.ts'
import { countQuery } from './validate.ts'

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

export const usage = [
  route({
    method: 'GET',
    path: '/usage/summary',
    roles: EVERYBODY,
    summary: 'What successful calls used, in all and by tool',
    query: UsageQuery,
    answers: { 200: Usage },
    handle: (c, { query: { start_date: from, end_date: to, timezone, days } }, { sql }) =>
      asCaller(c, sql, async (db, caller) => {
        if (from === undefined) return c.json(await usageSummary(db, caller, { days }))
        const read = await readPeriod(db, { from, to, timezone })
        if ('period' in read) return c.json(await usageSummary(db, caller, read.period))
        const { path, message } = read.fault
        return faulty({ path: path === 'timezone' ? path : 'end_date', message })
      }),
  }),
]
