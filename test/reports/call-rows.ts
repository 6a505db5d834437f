import { beforeAll } from 'vitest'
import type { Sql } from '../../src/db/client.ts'
import { serviceToken, userId, userToken } from '../api/support.ts'
import type { Hono } from 'hono'

export const PEOPLE = ['Alice', 'Bob', 'Carl', 'Mia', 'Max', 'Fin', 'Ada', 'service'] as const
export type Person = (typeof PEOPLE)[number]

const CLAIMS: Record<Exclude<Person, 'service'>, Parameters<typeof userToken>[1]> = {
  Alice: { department: 'sales' },
  Bob: { department: 'sales' },
  Carl: { department: 'research' },
  Mia: { department: 'sales', role: 'manager' },
  Max: { role: 'manager' },
  Fin: { department: 'finance', role: 'finance' },
  Ada: { role: 'admin' },
}

/** Somebody of every role, known before the tests; Mia manages Alice and Bob, Max nobody. Read it inside a test. */
export function usePeople(api: { readonly app: Hono }) {
  const tokens = new Map<Person, string>()
  const ids = new Map<Person, string>()
  beforeAll(async () => {
    for (const name of PEOPLE) {
      const token = name === 'service' ? await serviceToken() : await userToken(name, CLAIMS[name])
      tokens.set(name, token)
      if (name !== 'service') ids.set(name, await userId(api.app, token))
    }
  })
  return {
    token: (name: Person): string => tokens.get(name) ?? '',
    id: (name: Person): string => ids.get(name) ?? '',
  }
}

/**
 * Writes calls as the ledger does, with the department in which their user is; what a row does not say is that of a
 * tool's call that has just succeeded.
 */
export async function writeCalls(sql: Sql, ...rows: Record<string, unknown>[]): Promise<string[]> {
  const ids: string[] = []
  for (const row of rows) {
    const request_id = crypto.randomUUID()
    const user = typeof row['user_id'] === 'string' ? row['user_id'] : null
    const [known] = await sql<{ department: string | null }[]>`
      select coalesce(assigned_department, claimed_department) as department
      from archon_mcp_users where user_id = ${user}`
    const call = {
      request_id,
      method: 'tools/call',
      kind: 'mcp',
      department: known?.department ?? null,
      ...row,
    }
    await sql`insert into archon_mcp_requests ${sql(call)}`
    ids.push(request_id)
  }
  return ids
}
