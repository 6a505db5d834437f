import type { Queryable } from '../db/client.ts'

/** The seed's union: every other client is `Unknown`, its own name stays in the session. */
export type ReportedClientType =
  | 'Claude'
  | 'Cursor'
  | 'Windsurf'
  | 'Cline'
  | 'KiRo'
  | 'Augment'
  | 'Gemini'
  | 'Unknown'

/** The clients that are known by name. */
export const PRODUCTS: readonly ReportedClientType[] = [
  'Claude',
  'Cursor',
  'Windsurf',
  'Cline',
  'KiRo',
  'Augment',
  'Gemini',
]

/** A client type as answers say it. Archon wrote `Claude Code`, and the raw name of a client it did not know. */
export const reportedClientType = (written: string): ReportedClientType =>
  written === 'Claude Code' ? 'Claude' : (PRODUCTS.find((product) => product === written) ?? 'Unknown')

/** The same of a column, as a part of a query, so that what reads the same is one group. */
export const clientTypeColumn = (sql: Queryable, column: string) => sql`
  case
    when ${sql(column)} = 'Claude Code' then 'Claude'
    when ${sql(column)} = any (${`{${PRODUCTS.join(',')}}`}::text[]) then ${sql(column)}
    else 'Unknown'
  end`
