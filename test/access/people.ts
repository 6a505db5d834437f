import { eraseUser } from '../../src/personal-data/erase.ts'
import { CLI_ACTOR } from '../../src/audit.ts'
import { createAccessToken } from '../../src/auth/access-tokens.ts'
import { changeUser, revokeUser } from '../../src/auth/users.ts'
import { createLedger } from '../../src/ledger/ledger.ts'
import { inTransaction } from '../../src/db/transaction.ts'
import type { Transaction } from '../../src/db/client.ts'
import { callerNamed, callOf, derived, ISSUER, requestBy, success } from '../support/ledger.ts'
import type { TestDatabase } from '../support/database.ts'

/** Somebody of every role, as their first token has them. Eve went from Sales to Research, Erna was forgotten, Bea is blocked and Rex cut off. */
const STAFF = {
  Alice: { department: 'Sales' },
  Bob: { department: 'Sales' },
  Carl: { department: 'Research' },
  Eve: { department: 'Sales' },
  Mona: { department: 'Sales', role: 'manager' },
  Max: { role: 'manager' },
  Fin: { department: 'Finance', role: 'finance' },
  Ada: { role: 'admin' },
  Bea: { department: 'Sales', role: 'admin' },
  Rex: { department: 'Sales', role: 'admin' },
  Erna: { department: 'Sales' },
} as const
export { STAFF }
export type Name = keyof typeof STAFF
export const NAMES = Object.keys(STAFF) as Name[]

/** Everybody who may ask; `nobody` brings a token of somebody who has never been here. */
export const CALLERS = [...NAMES, 'nobody'] as const
export type Asker = (typeof CALLERS)[number]

export interface People {
  id: (name: Name) => string
  /** Runs statements as PostgREST does for somebody's token. */
  as: <T>(who: Asker, run: (tx: Transaction) => Promise<T>) => Promise<T>
}

/**
 * Fills a database through the ledger and the functions that administrators use: everybody has a session with a call
 * that used a model, a budget and a refusal of their own, and so have Sales; somebody anonymous has been here too.
 */
export async function populate({ sql, owner }: TestDatabase): Promise<People> {
  const ledger = createLedger(sql)
  const ids = new Map<Name, string>()
  const work = async (name: Name | null, department?: string) => {
    const staff: { department?: string; role?: string } = name === null ? {} : STAFF[name]
    const who =
      name === null
        ? null
        : await callerNamed(name.toLowerCase(), {
            department: department ?? staff.department ?? null,
            role: staff.role ?? 'member',
            issuedAt: new Date(department === undefined ? '2026-01-01' : '2026-01-02'),
          })
    const call = callOf(name === null ? { kind: 'api', tool: null } : {})
    const client = `client ${department ?? ''}`
    await ledger.admit(requestBy(who, { ...(who && { session: derived(client) }), calls: [call] }))
    const usage = [{ model: 'mystery', promptTokens: 3, completionTokens: 4 }]
    await ledger.close(success(call.id, { usage }))
    if (name !== null && who !== null) {
      const [row] = await sql<{ user_id: string }[]>`
        select user_id from archon_mcp_users where subject = ${who.subject}`
      ids.set(name, row!.user_id)
    }
  }
  for (const name of NAMES) await work(name)
  await work('Eve', 'Research')
  await work(null)
  await owner`insert into archon_mcp_sessions (client_type) values ('of nobody')`
  await owner`
    insert into archon_mcp_quotas (scope, subject, holder, metric, amount, window_unit)
    select 'user', known.user_id::text, 'user ' || known.user_id, 'requests', 100, 'total'
    from archon_mcp_users as known
    union all values
      ('department', 'Sales', 'department Sales', 'requests', 100, 'total'),
      ('department', 'Research', 'department Research', 'requests', 100, 'total'),
      ('everyone', null, 'everyone', 'requests', 100, 'total')`
  await owner`
    select archon_mcp_make_budgets(array_agg(quota_id), array_agg(holder), null) from archon_mcp_quotas`
  await owner`
    insert into archon_mcp_refusals (quarter, user_id, code, enforced, calls)
    select now(), known.user_id, 'rate_limited', true, 1 from archon_mcp_users as known
    union all select now(), null, 'rate_limited', true, 1`
  await owner`
    insert into archon_mcp_repairs (quota_id, holder, starts_at, used_before, held_before, used_after, held_after)
    select quota_id, holder, now(), 1, 1, 1, 1 from archon_mcp_quotas limit 1`
  await owner`insert into archon_mcp_rerates (from_at, to_at) values (now() - interval '1 day', now())`
  await owner`insert into archon_mcp_rebuilds values (now(), now(), 'user_days', 1, 1, 1)`
  await owner`insert into archon_mcp_tool_prices (tool_name, price) values ('echo', 0.5)`
  await owner`insert into archon_mcp_rate_cells (key, empty_at) values ('somebody', now())`
  for (const name of NAMES) {
    const token = { owner: { userId: ids.get(name)! }, name: 'laptop', scopes: [], lifeDays: 1 }
    await createAccessToken(sql, token, { by: CLI_ACTOR })
  }
  await changeUser(sql, ids.get('Bea')!, { blocked: true }, CLI_ACTOR)
  await revokeUser(sql, ids.get('Rex')!, CLI_ACTOR)
  await eraseUser(sql, ids.get('Erna')!, false, CLI_ACTOR)
  return {
    id: (name) => ids.get(name)!,
    as: (who, run) =>
      inTransaction(sql, run, {
        role: 'authenticated',
        claims: { role: 'authenticated', iss: ISSUER, sub: who.toLowerCase(), iat: 1_767_225_600 },
      }),
  }
}
