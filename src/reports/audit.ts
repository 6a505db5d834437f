import type { Queryable } from '../db/client.ts'
import { periodLine } from './cost-csv.ts'
import { csvRow } from './csv.ts'
import { linesInPages } from './lines-in-pages.ts'
import { type Period, toldPeriod } from './period.ts'
import { plain } from './plain.ts'
import { comesAfter, cutPage, type PageRequest, type Position, positionColumns } from './position.ts'
import type { ReportReader } from './visible-to.ts'

/** An act of an administrator. It holds ids and numbers: who they are is told by the users. */
export interface AuditLine {
  audit_id: string
  /** ISO 8601, UTC. */
  at: string
  actor: 'user' | 'service' | 'cli'
  /** A user's id; of a service the access token that it came with, if it had one of ours. */
  actor_id?: string
  action: string
  target_kind?: string
  target_id?: string
  details: Record<string, unknown>
}

/** Which acts to list. */
export interface AuditFilter {
  /** Whose: what kind of actor, or its id. */
  actor?: string | undefined
  action?: string | undefined
  /** The id of what they were done to. */
  target?: string | undefined
  period?: Pick<Period, 'start' | 'end'> | undefined
}

const wantedBy = (sql: Queryable, { actor, action, target, period }: AuditFilter) => sql`
  true
  ${actor === undefined ? sql`` : sql`and ${actor} in (entry.actor_kind, entry.actor_id::text)`}
  ${action === undefined ? sql`` : sql`and entry.action = ${action}`}
  ${target === undefined ? sql`` : sql`and entry.target_id = ${target}`}
  ${period === undefined ? sql`` : sql`and entry.at >= ${period.start} and entry.at < ${period.end}`}`

type AuditRow = Position & { at: Date }

const pageOfAudit = (sql: Queryable, filter: AuditFilter, { limit, after }: PageRequest) => sql<AuditRow[]>`
  select entry.audit_id, entry.at, entry.actor_kind as actor, entry.actor_id, entry.action, entry.target_kind,
         entry.target_id, entry.details, ${positionColumns(sql, 'entry.at', 'entry.audit_id')}
  from archon_mcp_audit as entry
  where ${wantedBy(sql, filter)}
    and ${comesAfter(sql, after, 'entry.at', 'entry.audit_id')}
  order by entry.at desc, entry.audit_id desc
  limit ${limit + 1}`

const lineOf = (row: AuditRow): AuditLine =>
  plain({ ...row, at: row.at.toISOString() }, 'micros', 'id') as AuditLine

/**
 * Who changed what? Newest first. For those who administer: nobody else is to be handed it.
 * @returns a page, and how many match in all.
 */
export async function listAudit(
  sql: Queryable,
  filter: AuditFilter,
  page: PageRequest,
): Promise<{ audit: AuditLine[]; total: number; next: Position | null }> {
  const [count] = await sql<[{ total: number }]>`
    select count(*)::float8 as total from archon_mcp_audit as entry where ${wantedBy(sql, filter)}`
  const { rows, next } = cutPage(await pageOfAudit(sql, filter, page), page.limit)
  return { audit: rows.map(lineOf), total: count.total, next }
}

const CSV_COLUMNS = [
  'audit_id',
  'at',
  'actor',
  'actor_id',
  'action',
  'target_kind',
  'target_id',
  'details',
] as const

/** The same as CSV: a line for each act, then how many, then the period. */
export async function* auditLines(
  read: ReportReader,
  filter: AuditFilter,
  period: Period,
): AsyncGenerator<string> {
  yield csvRow(CSV_COLUMNS)
  const acts = yield* linesInPages(
    read,
    (sql, _, page) => pageOfAudit(sql, { ...filter, period }, page),
    (row) => {
      const { details, ...line } = lineOf(row)
      return csvRow([
        ...CSV_COLUMNS.slice(0, -1).map((column) => line[column as keyof typeof line] ?? null),
        JSON.stringify(details),
      ])
    },
  )
  yield csvRow(['Total', acts, ...Array<null>(CSV_COLUMNS.length - 2).fill(null)])
  yield periodLine(toldPeriod(period), CSV_COLUMNS.length)
}
