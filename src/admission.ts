import type { Context } from 'hono'
import { resolveSql, type SqlSource } from './db/client.ts'
import { DatabaseUnavailableError } from './db/outage.ts'
import { databaseUnavailable, type Refusal } from './errors.ts'
import { ledgerOf } from './ledger/ledger.ts'
import type { CallToOpen, RateDemand, RefusedVerdict, SessionDemand } from './ledger/types.ts'
import { limitRefusal } from './limit-refusal.ts'
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
  /** Which quotas in the database are judged. */
  quotas?: { rates: boolean; budgets: boolean }
}

/** Where a key names whom a rate holds, nobody needs to be known. */
const STRANGER: Caller = { kind: 'anonymous', identity: null, invalidTokenChallenge: '' }

/**
 * Asks the ledger for this request, and tells `c.var` what it knows: the user's row, which wins over the token, and
 * the session.
 * @returns why the request is refused, or null when it may go on.
 */
export async function ask(c: Context, source: SqlSource, demand: Demand): Promise<Refusal | null> {
  const caller =
    demand.rate?.key && c.get('caller') === undefined ? STRANGER : requireVar(c, 'caller', 'userContext()')
  try {
    const verdict = await ledgerOf(resolveSql(source, c), source).admit({
      caller: caller.identity,
      accessToken: caller.accessToken ?? null,
      ...demand,
    })
    if (demand.quotas?.rates === true) c.set('ratesJudged', true)
    c.set('rate', verdict.rate ?? null)
    if (demand.quotas?.budgets === true) c.set('budgetsJudged', true)
    c.set('budget', verdict.budget ?? null)
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

function refusalOf(verdict: RefusedVerdict, caller: Caller, { maxCallsInFlight = null }: Demand): Refusal {
  const refusal = limitRefusal(verdict, maxCallsInFlight)
  if (refusal !== null) return refusal
  const { code } = verdict
  return code === 'invalid_token'
    ? { code, headers: { 'www-authenticate': caller.invalidTokenChallenge } }
    : { code }
}

type Row = { id: string; email: string | null; name: string | null; department: string | null; role: string }

/** Puts the user's row, and the session, where handlers and tools look. */
function tellTools(c: Context, row: Row | null, sessionId: string | null): void {
  const auth = c.get('auth') as UserVariables['auth']
  const user = c.get('user') as UserVariables['user']
  // Where names are not stored, the token's are told.
  const named = { email: row?.email ?? user?.email ?? null, name: row?.name ?? user?.name ?? null }
  const known = user === null || row === null ? user : { ...user, ...row, ...named, role: row.role as Role }
  c.set('user', known)
  if (auth === undefined) return
  const extra = { ...auth.extra, user: known, ...(sessionId === null ? {} : { sessionId }) }
  c.set('auth', { ...auth, extra: known === null ? extra : { ...extra, role: known.role } })
}
