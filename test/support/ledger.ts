import { identityIds } from '../../src/auth/user-id.ts'
import type { Sql } from '../../src/db/client.ts'
import { newCallId } from '../../src/ledger/call-id.ts'
import type { AdmissionRequest, CallToClose, CallToOpen, LedgerCaller } from '../../src/ledger/types.ts'
import { clientRow, planSession } from '../../src/sessions/life-cycle.ts'
import { clientInfoOf } from '../../src/mcp/message.ts'

export const ISSUER = 'https://id.example.com'

/** What a token says of a user. */
export async function callerNamed(subject: string, more: Partial<LedgerCaller> = {}): Promise<LedgerCaller> {
  const issuer = more.issuer ?? ISSUER
  return {
    issuer,
    subject,
    ...(await identityIds(issuer, subject)),
    email: `${subject}@example.com`,
    name: subject,
    department: null,
    role: 'member',
    issuedAt: new Date('2026-01-01T12:00:00Z'),
    ...more,
  }
}

export const callOf = (more: Partial<CallToOpen> = {}): CallToOpen => ({
  id: newCallId(),
  method: 'tools/call',
  tool: 'echo',
  kind: 'mcp',
  holdSeconds: 300,
  ...more,
})

export const success = (id: string, more: Partial<CallToClose> = {}): CallToClose => ({
  id,
  status: 'success',
  durationMs: 5,
  error: null,
  ...more,
})

/** Everything that administrators set is judged, as for a call through the kit. */
export const JUDGED = { rates: true, budgets: true }

/** One request with one call, in no session unless told otherwise. */
export const requestBy = (
  caller: LedgerCaller | null,
  more: Partial<AdmissionRequest> = {},
): AdmissionRequest => ({ caller, session: null, calls: [callOf()], ...more })

/** The derived session of a client that says this of itself. */
export function derived(name: string, version: string | null = '1.0', timeoutSeconds = 3600) {
  const client = clientInfoOf({ name, version })
  const plan = planSession({ era: '2026-07-28', requests: [], batch: false, initialize: false, client }, null)
  if (plan.kind !== 'derived' || !('key' in plan.demand)) throw new Error('not derived')
  return { key: plan.demand.key, client: clientRow(client), timeoutSeconds }
}

/** The same client, and how many statements went through it. */
export function counting(sql: Sql): { sql: Sql; statements: () => number } {
  let count = 0
  const counted = new Proxy(sql, {
    apply(target, self, args: unknown[]) {
      if (Array.isArray(args[0]) && 'raw' in args[0]) count += 1
      return Reflect.apply(target as (...args: unknown[]) => unknown, self, args)
    },
  })
  return { sql: counted, statements: () => count }
}

/** A client whose every statement fails as if nothing listened. */
export const unreachable = (): Sql =>
  Object.assign(
    () => Promise.reject(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })),
    { options: {} },
  ) as unknown as Sql
