import type { Context } from 'hono'
import type { Sql } from './db/client.ts'
import { DatabaseUnavailableError } from './db/outage.ts'
import { databaseUnavailable, rateRefusal, type Refusal } from './errors.ts'
import { ledgerOf } from './ledger/ledger.ts'
import type { CallToOpen, LedgerRefusal, RateDemand, SessionDemand } from './ledger/types.ts'
import { type Caller, requireVar, type Role, type UserVariables } from './variables.ts'

/** What the middlewares of one request want of the ledger. */
export interface Demand {
  session: SessionDemand | null
  /** The session that another middleware asked for already. */
  recordedSession?: string | null
  calls: CallToOpen[]
  /** Calls of the user in flight at most. */
  maxCallsInFlight?: number | null
  rate?: RateDemand | null
}

/**
 * Asks the ledger for this request, and tells `c.var` what it knows: the user's row, which wins over the token, and
 * the session.
 * @returns why the request is refused, or null when it may go on.
 */
export async function ask(c: Context, sql: Sql, demand: Demand): Promise<Refusal | null> {
  const caller = requireVar(c, 'caller', 'userContext()')
  try {
    const verdict = await ledgerOf(sql).admit({ caller: caller.identity, ...demand })
    c.set('rate', verdict.rate ?? null)
    if (!verdict.admitted) return refusalOf(verdict, caller, demand)
    if (demand.session !== null)
      c.set('session', verdict.sessionId === null ? null : { id: verdict.sessionId })
    tellTools(c, verdict.user, verdict.sessionId)
    return null
  } catch (error) {
    if (!(error instanceof DatabaseUnavailableError)) throw error
    return databaseUnavailable(error)
  }
}

/** How soon a call may have ended, and with it made room for another. */
const IN_FLIGHT_RETRY_SECONDS = 1

function refusalOf(
  { code, retryAfterMs = 0 }: { code: LedgerRefusal; retryAfterMs?: number },
  caller: Caller,
  { maxCallsInFlight, rate }: Demand,
): Refusal {
  switch (code) {
    case 'rate_limited':
      return rateRefusal(rate!, retryAfterMs)
    case 'invalid_token':
      return { code, headers: { 'www-authenticate': caller.invalidTokenChallenge } }
    case 'too_many_calls':
      return {
        code,
        detail: `At most ${maxCallsInFlight} calls of a user run at once; try again when one of them has ended.`,
        retryAfterSeconds: IN_FLIGHT_RETRY_SECONDS,
        data: { kind: 'in_flight', limit: maxCallsInFlight, remaining: 0 },
      }
    case 'blocked':
    case 'session_not_found':
      return { code }
  }
}

type Row = { id: string; email: string | null; name: string | null; department: string | null; role: string }

/** Puts the user's row, and the session, where handlers and tools look. */
function tellTools(c: Context, row: Row | null, sessionId: string | null): void {
  const { auth, user } = c.var as UserVariables
  const known = user === null || row === null ? user : { ...user, ...row, role: row.role as Role }
  c.set('user', known)
  if (auth === undefined) return
  const extra = { ...auth.extra, user: known, ...(sessionId === null ? {} : { sessionId }) }
  c.set('auth', { ...auth, extra: known === null ? extra : { ...extra, role: known.role } })
}
