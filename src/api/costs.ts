import * as z from 'zod'
import { asCaller } from '../as-caller.ts'
import { costLinesOf } from '../reports/cost-csv.ts'
import { COST_GROUPS, type CostGroup, costsBy } from '../reports/costs.ts'
import { dayOf, type Period } from '../reports/period.ts'
import { Costs } from './answers/costs.ts'
import { csvResponse, formatQuery } from './csv.ts'
import { faulty, periodQuery, type QueryFault, readPeriod } from './period-query.ts'
import { EVERYBODY } from './roles.ts'
import { route } from './route.ts'
import { label, uuid } from './validate.ts'

const CostsQuery = z.object({
  group_by: z.enum(COST_GROUPS),
  ...periodQuery,
  user_id: uuid.toLowerCase().optional(),
  department: label.optional(),
  format: formatQuery,
})

const MOST_ROWS = 10_000
const HOURS: Partial<Record<CostGroup, number>> = { day: 24, hour: 1 }

/** Days and hours have a row each, whether there was a call or not. */
function lengthFault(group: CostGroup, { start, end }: Period): QueryFault | null {
  const hours = HOURS[group]
  if (hours === undefined || end.getTime() - start.getTime() <= hours * 3_600_000 * MOST_ROWS) return null
  return { path: 'from', message: `the period has more than ${MOST_ROWS} ${group}s` }
}

export const costs = [
  route({
    method: 'GET',
    path: '/costs',
    roles: EVERYBODY,
    summary: 'What calls of a period cost, by whichever group; this month when nothing is said',
    query: CostsQuery,
    answers: { 200: Costs },
    csv: true,
    handle: (c, { query }, { sql }) =>
      asCaller(c, sql, async (db, caller) => {
        const { group_by: group, timezone, user_id: userId, department, format } = query
        const read = await readPeriod(db, query)
        if ('fault' in read) return faulty(read.fault)
        const fault = lengthFault(group, read.period)
        if (fault !== null) return faulty(fault)
        const filter = { userId, department }
        if (format === 'json') return c.json(await costsBy(db, caller, group, read.period, filter))
        const { start, end } = read.period
        const days = [start, new Date(end.getTime() - 1)].map((moment) => dayOf(moment, timezone))
        return csvResponse(
          `costs-by-${group}-${days.join('-to-')}.csv`,
          costLinesOf((report) => asCaller(c, sql, report), group, read.period, filter),
        )
      }),
  }),
]
