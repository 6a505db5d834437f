import type { Queryable } from '../db/client.ts'
import { type CallSums, callSums, type SummedBy, sumsOf, type SumsRow } from './call-sums.ts'
import { clientTypeColumn } from './client-types.ts'
import { partsByColumn, partsByModel, partsByTime } from './cost-parts.ts'
import { type Period, type ToldPeriod, toldPeriod } from './period.ts'
import { plain } from './plain.ts'
import { departmentOf, emailOf, nameOf } from './user-names.ts'
import type { ReportCaller } from './visible-to.ts'

export const COST_GROUPS = ['user', 'department', 'client', 'tool', 'model', 'day', 'hour'] as const
export type CostGroup = (typeof COST_GROUPS)[number]

/** Whose calls to count. */
export interface CostFilter {
  userId?: string | undefined
  /** That of the call at its time. */
  department?: string | undefined
}

/** What one group cost. */
export interface CostRow extends CallSums {
  /**
   * A user's id, a department, a type of client, a tool (or the method of what is no tool), a model, a day
   * (`2026-10-01`), or the moment at which an hour begins; null for what belongs to none.
   */
  key: string | null
  /** Where people read something else than the key. */
  label?: string
  /** Of a user: as they are now. */
  email?: string
  name?: string
  department?: string
}

/** What calls of a period cost, by group. */
export interface CostReport {
  period: ToldPeriod
  group_by: CostGroup
  /** A call may stand in several rows: their calls add up to more than the total. */
  calls_overlap?: true
  rows: CostRow[]
  total: CallSums
}

/** What stands in a row without a key. */
const NOBODYS: Partial<Record<CostGroup, string>> = {
  user: 'Unknown user',
  department: 'No department',
  model: "tools' own prices and unreported",
}

function partsBy(sql: Queryable, caller: ReportCaller, group: CostGroup, period: Period, filter: CostFilter) {
  const calls = (...by: SummedBy[]) => callSums(sql, caller, by, { period, ...filter, costsOnly: true })
  switch (group) {
    case 'user':
      return partsByColumn(sql, sql`call.user_id::text`, calls('user_id'))
    case 'department':
      return partsByColumn(sql, sql`call.department`, calls('department'))
    case 'client':
      return partsByColumn(sql, clientTypeColumn(sql, 'call.client_type'), calls('client_type'))
    case 'tool':
      return partsByColumn(sql, sql`call.tool`, calls('tool'))
    case 'model':
      return partsByModel(sql, { byModel: calls('model'), all: calls() })
    case 'day':
    case 'hour':
      return partsByTime(sql, group, period, calls('quarter'))
  }
}

const whoIs = (sql: Queryable) => sql`
  select ${emailOf(sql, 'who.user_id')} as email, ${nameOf(sql, 'who.user_id')} as name,
         ${departmentOf(sql)} as department
  from (select part.key::uuid as user_id) as who
  left join archon_mcp_users as known on known.user_id = who.user_id`

const nobody = (sql: Queryable) =>
  sql`select null::text as email, null::text as name, null::text as department`

/** A group, or the total of all, as SQL tells it. */
export type CostsRow = SumsRow & Omit<CostRow, keyof CallSums> & { is_total: boolean }

/** A row as answers tell it. */
export function costRowOf(
  { key, label, email, name, department, ...sums }: CostsRow,
  group: CostGroup,
): CostRow {
  const shown = label ?? (key === null ? NOBODYS[group] : group === 'user' ? (name ?? email) : null)
  return { key, ...(plain({ label: shown ?? null, email, name, department }) as object), ...sumsOf(sums) }
}

/** The total, and then the groups in their order: the rows of the report, to run or to select from. */
export function costsQuery(
  sql: Queryable,
  caller: ReportCaller,
  group: CostGroup,
  period: Period,
  filter: CostFilter,
) {
  const inOrder = group === 'day' || group === 'hour'
  return sql<CostsRow[]>`
    select part.*, named.*
    from (${partsBy(sql, caller, group, period, filter)}) as part
    left join lateral (${group === 'user' ? whoIs(sql) : nobody(sql)}) as named on true
    order by part.is_total desc, ${inOrder ? sql`part.key` : sql`part.cost desc, part.calls desc, part.key`}`
}

/**
 * What did calls cost, by user, department, client, tool, model, day or hour? The dearest group first; days and hours
 * in their order, with those that had no call. One statement, so that the rows add up to the total.
 */
export async function costsBy(
  sql: Queryable,
  caller: ReportCaller,
  group: CostGroup,
  period: Period,
  filter: CostFilter = {},
): Promise<CostReport> {
  const parts = await costsQuery(sql, caller, group, period, filter)
  // Without a call there is a total all the same.
  const [total, ...rows] = [...parts] as [CostsRow, ...CostsRow[]]
  return {
    period: toldPeriod(period),
    group_by: group,
    ...(group === 'model' ? { calls_overlap: true } : {}),
    rows: rows.map((row) => costRowOf(row, group)),
    total: sumsOf(total),
  }
}
