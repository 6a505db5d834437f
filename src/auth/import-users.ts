import { type Actor, recordAudit } from '../audit.ts'
import type { Sql, Transaction } from '../db/client.ts'
import { inTransaction } from '../db/transaction.ts'

/** How a row of an import names a user: by what of `archon_mcp_users`. */
export type UserKey = 'user_id' | 'email' | 'issuer and subject'

/** What an import sets for a user. */
export interface ImportedUser {
  /** Where it stands, for whoever has to mend it. */
  line: number
  /** The id, the e-mail in any case, or issuer and subject. */
  key: readonly string[]
  department: string
  /** Null: stays as it is. */
  role: string | null
}

/** A user whom an import changes. */
export interface ImportedChange {
  user_id: string
  name: string | null
  email: string | null
  department_before: string | null
  department: string
  role_before: string
  role: string
}

/** Rows that name nobody, several, or one whom another row names. Nothing was changed. */
export class ImportError extends Error {
  override name = 'ImportError'
  readonly faults: readonly { line: number; fault: string }[]

  constructor(faults: readonly { line: number; fault: string }[]) {
    super(faults.map(({ line, fault }) => `line ${line}: ${fault}`).join('\n'))
    this.faults = faults
  }
}

interface Found extends ImportedChange {
  line: number
  key: string
  /** How many the row names. */
  users: number
  given_role: string | null
  assigned_department: string | null
  assigned_role: string | null
}

/** The rows with the users whom they name, locked in the order in which everybody locks them. */
async function find(tx: Transaction, by: UserKey, rows: readonly ImportedUser[]): Promise<Found[]> {
  const named = {
    user_id: tx`known.user_id::text = lower(wanted.key ->> 0)`,
    email: tx`lower(known.email) = lower(wanted.key ->> 0)`,
    'issuer and subject': tx`(known.issuer, known.subject) = (wanted.key ->> 0, wanted.key ->> 1)`,
  }[by]
  const wanted = tx`
    jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb)
      as wanted (line integer, key jsonb, department text, role text)`
  await tx`
    select known.user_id from archon_mcp_users as known
    where exists (select from ${wanted} where ${named})
    order by known.user_id
    for no key update`
  return await tx<Found[]>`
    select wanted.line, array_to_string(array(select jsonb_array_elements_text(wanted.key)), ' ') as key,
           known.user_id, known.name, known.email,
           coalesce(known.assigned_department, known.claimed_department) as department_before, wanted.department,
           coalesce(known.assigned_role, known.claimed_role) as role_before,
           coalesce(wanted.role, known.assigned_role, known.claimed_role) as role, wanted.role as given_role,
           count(known.user_id) over (partition by wanted.line)::integer as users,
           known.assigned_department, known.assigned_role
    from ${wanted}
    left join archon_mcp_users as known on ${named}
    order by wanted.line, known.user_id`
}

function faultOf({ users, key }: Found, by: UserKey, sameAs: number | undefined): string | null {
  if (users === 0) return `nobody with the ${by} "${key}" has signed in here`
  if (users > 1) return `${users} users have the ${by} "${key}": name them by user_id`
  return sameAs === undefined ? null : `the same user as in line ${sameAs}`
}

/** One for each row that cannot be meant. */
function faultsOf(found: readonly Found[], by: UserKey): { line: number; fault: string }[] {
  const faults = new Map<number, string>()
  const lineOf = new Map<string, number>()
  for (const row of found) {
    const fault = faultOf(row, by, lineOf.get(row.user_id))
    if (fault !== null) faults.set(row.line, fault)
    else lineOf.set(row.user_id, row.line)
  }
  return [...faults].map(([line, fault]) => ({ line, fault }))
}

const moves = (row: Found): boolean => row.department !== row.assigned_department
const getsRole = (row: Found): boolean => row.given_role !== null && row.given_role !== row.assigned_role

/** Sets what the rows say, and keeps it on record. */
async function apply(tx: Transaction, changes: readonly Found[], by: Actor): Promise<void> {
  await tx`
    update archon_mcp_users as known
    set assigned_department = changed.department,
        assigned_role = coalesce(changed.given_role, known.assigned_role)
    from jsonb_to_recordset(${JSON.stringify(changes)}::text::jsonb)
      as changed (user_id uuid, department text, given_role text)
    where known.user_id = changed.user_id`
  for (const row of changes) {
    const target = { kind: 'user', id: row.user_id } as const
    if (moves(row)) {
      const details = { from: row.assigned_department, to: row.department }
      await recordAudit(tx, by, { action: 'user.department_set', target, details })
    }
    if (getsRole(row)) {
      const details = { from: row.assigned_role, to: row.given_role }
      await recordAudit(tx, by, { action: 'user.role_set', target, details })
    }
  }
}

interface ImportOptions {
  /** Of rows that could not be read; told with those that are found here. */
  faults?: readonly { line: number; fault: string }[]
  /** Changes nothing. */
  dry?: boolean
}

/**
 * Sets departments and roles of many users, all or nothing, as an administrator would one by one: they hold for calls
 * from now on, and win over what tokens say.
 * @returns the users who change.
 * @throws ImportError with every fault of every row.
 */
export async function importUsers(
  sql: Sql,
  by: UserKey,
  rows: readonly ImportedUser[],
  actor: Actor,
  { faults = [], dry = false }: ImportOptions = {},
): Promise<ImportedChange[]> {
  return await inTransaction(
    sql,
    async (tx) => {
      const found = await find(tx, by, rows)
      const all = [...faults, ...faultsOf(found, by)].toSorted((a, b) => a.line - b.line)
      if (all.length > 0) throw new ImportError(all)
      const changes = found.filter((row) => moves(row) || getsRole(row))
      if (!dry) await apply(tx, changes, actor)
      return changes
    },
    { statementTimeoutMs: 60_000 },
  )
}
