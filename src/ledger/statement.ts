import { pgArray, type Sql } from '../db/client.ts'
import { fit, jsonText } from '../db/text.ts'
import {
  type AdmissionRequest,
  type CallToClose,
  type CallToOpen,
  DEFAULT_IDLE_AFTER_SECONDS,
  type DerivedClient,
  type LedgerCaller,
  type RefusalCount,
  type Verdict,
} from './types.ts'
import { type VerdictRow, verdictOf } from './verdict-row.ts'

/** What goes to the database in one statement. */
export interface Group {
  requests: AdmissionRequest[]
  closes: CallToClose[]
  /** Refusals that were given without asking. */
  refusals: RefusalCount[]
}

/** What a client says of itself, or only its name and version where the rest is too long to keep. */
const clientJson = (client: DerivedClient): string =>
  jsonText(client) ?? jsonText({ ...client, capabilities: null, metadata: {} }) ?? '{}'

/** A caller, and whether their token says who they are now: an access token of ours does not. */
type SeenCaller = LedgerCaller & { told: boolean }

const isNewer = (one: SeenCaller, other: SeenCaller): boolean =>
  one.told === other.told ? (one.issuedAt?.getTime() ?? 0) > (other.issuedAt?.getTime() ?? 0) : one.told

/** Each user once, with what their newest token says. */
function distinctCallers(requests: AdmissionRequest[]): { callers: SeenCaller[]; places: (number | null)[] } {
  const callers: SeenCaller[] = []
  const byUser = new Map<string, number>()
  const places = requests.map(({ caller, accessToken }) => {
    if (caller === null) return null
    const seen = { ...caller, told: !accessToken }
    const key = `${caller.issuer}\n${caller.subject}`
    const known = byUser.get(key)
    if (known === undefined) {
      byUser.set(key, callers.length)
      return callers.push(seen) // the new length: SQL counts from 1
    }
    if (isNewer(seen, callers[known]!)) callers[known] = seen
    return known + 1
  })
  return { callers, places }
}

/**
 * Runs the ledger's statement (migrations/0005_ledger.sql) for a group.
 * @param options.again the group was sent before and its answer was lost.
 * @param options.now the moment to work at; null for the database's clock.
 * @returns a verdict for each request, in their order.
 */
export async function runLedger(
  sql: Sql,
  { requests, closes: ended, refusals }: Group,
  { again, now }: { again: boolean; now: Date | null },
): Promise<Verdict[]> {
  const { callers, places } = distinctCallers(requests)
  // Rows are locked in this order.
  const closes = ended.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const lines = closes.flatMap(({ usage = [] }, index) => usage.map((line) => ({ ...line, call: index + 1 })))
  const opens = requests.flatMap(({ calls }, index) => calls.map((call) => ({ ...call, request: index + 1 })))
  const derived = requests.map(({ session }) => (session !== null && 'key' in session ? session : null))
  const rows = await sql<VerdictRow[]>`
    select * from archon_mcp_ledger(
      ${again}, ${now},
      ${pgArray(closes.map((call) => call.id))}::uuid[],
      ${pgArray(closes.map((call) => call.status))}::text[],
      ${pgArray(closes.map((call) => Math.round(call.durationMs)))}::integer[],
      ${pgArray(closes.map((call) => fit(call.error, 500)))}::text[],
      ${pgArray(closes.map((call) => call.sessionId ?? null))}::uuid[],
      ${pgArray(closes.map((call) => call.round === true))}::boolean[],
      ${pgArray(closes.map((call) => call.bytes ?? null))}::integer[],
      ${pgArray(closes.map((call) => call.counted?.promptTokens ?? null))}::integer[],
      ${pgArray(closes.map((call) => call.counted?.completionTokens ?? null))}::integer[],
      ${pgArray(lines.map((line) => line.call))}::integer[],
      ${pgArray(lines.map((line) => fit(line.model, 100)))}::text[],
      ${pgArray(lines.map((line) => line.promptTokens))}::integer[],
      ${pgArray(lines.map((line) => line.completionTokens))}::integer[],
      ${pgArray(lines.map((line) => line.cachedTokens ?? 0))}::integer[],
      ${pgArray(lines.map((line) => line.reasoningTokens ?? 0))}::integer[],
      ${pgArray(lines.map((line) => line.cost ?? null))}::numeric[],
      ${pgArray(refusals.map(({ at }) => at))}::timestamptz[],
      ${pgArray(refusals.map(({ userId }) => userId))}::uuid[],
      ${pgArray(refusals.map(({ code }) => code))}::text[],
      ${pgArray(refusals.map(({ quotaId }) => quotaId))}::uuid[],
      ${pgArray(refusals.map(({ calls }) => calls))}::bigint[],
      ${pgArray(callers.map((caller) => fit(caller.issuer, 2000)))}::text[],
      ${pgArray(callers.map((caller) => fit(caller.subject, 255)))}::text[],
      ${pgArray(callers.map((caller) => caller.firstId))}::uuid[],
      ${pgArray(callers.map((caller) => caller.fallbackId))}::uuid[],
      ${pgArray(callers.map((caller) => fit(caller.email, 255)))}::text[],
      ${pgArray(callers.map((caller) => fit(caller.name, 255)))}::text[],
      ${pgArray(callers.map((caller) => fit(caller.department, 255)))}::text[],
      ${pgArray(callers.map((caller) => (caller.told ? caller.role : null)))}::text[],
      ${pgArray(callers.map((caller) => caller.issuedAt))}::timestamptz[],
      ${pgArray(places)}::integer[],
      ${pgArray(requests.map(({ caller }) => caller?.issuedAt ?? null))}::timestamptz[],
      ${pgArray(requests.map(({ accessToken }) => accessToken ?? null))}::uuid[],
      ${pgArray(requests.map(({ session }) => (session !== null && 'id' in session ? session.id : null)))}::uuid[],
      ${pgArray(derived.map((session) => fit(session?.key ?? null, 400)))}::text[],
      ${pgArray(derived.map((session) => (session === null ? null : clientJson(session.client))))}::text[],
      ${pgArray(requests.map(({ recordedSession }) => recordedSession ?? null))}::uuid[],
      ${pgArray(derived.map((session) => session?.timeoutSeconds ?? null))}::integer[],
      ${pgArray(derived.map((session) => (session === null ? null : (session.idleAfterSeconds ?? DEFAULT_IDLE_AFTER_SECONDS))))}::integer[],
      ${pgArray(derived.map((session) => session?.maxPerUser ?? null))}::integer[],
      ${pgArray(requests.map(({ maxCallsInFlight }) => maxCallsInFlight ?? null))}::integer[],
      ${pgArray(requests.map(({ rate }) => rate?.limit ?? null))}::integer[],
      ${pgArray(requests.map(({ rate }) => rate?.windowSeconds ?? null))}::integer[],
      ${pgArray(requests.map(({ rate }) => rate?.burst ?? null))}::integer[],
      ${pgArray(requests.map(({ rate }) => rate?.per ?? null))}::text[],
      ${pgArray(requests.map(({ rate }) => fit(rate?.key ?? null, 500)))}::text[],
      ${pgArray(requests.map(({ rate }) => rate?.calls ?? null))}::integer[],
      ${pgArray(requests.map(({ quotas }) => quotas?.rates === true))}::boolean[],
      ${pgArray(requests.map(({ quotas }) => quotas?.budgets === true))}::boolean[],
      ${pgArray(opens.map((call) => call.request))}::integer[],
      ${pgArray(opens.map((call) => call.id))}::uuid[],
      ${pgArray(opens.map((call) => fit(call.method, 100)))}::text[],
      ${pgArray(opens.map((call) => fit(call.tool, 100)))}::text[],
      ${pgArray(opens.map((call) => call.kind))}::text[],
      ${pgArray(opens.map((call) => call.holdSeconds))}::integer[],
      ${pgArray(opens.map((call) => call.bytes ?? null))}::integer[],
      ${pgArray(opens.map((call) => call.estimate?.tokens ?? 0))}::bigint[],
      ${pgArray(opens.map((call) => call.estimate?.cost ?? 0))}::numeric[]
    )`
  // A connection that broke off between rows leaves postgres.js (3.4.9) counting from there: the next result begins
  // with holes. The rows of this answer are the last ones.
  return rows.slice(rows.length - requests.length).map(verdictOf)
}

/** Moves the end of the holds of calls that are still open. */
export async function renewHolds(
  sql: Sql,
  calls: Pick<CallToOpen, 'id' | 'holdSeconds'>[],
  now: Date | null,
): Promise<void> {
  await sql`
    update archon_mcp_requests as call
    set hold_expires_at = greatest(
      call.hold_expires_at,
      coalesce(${now}::timestamptz, clock_timestamp()) + make_interval(secs => renewed.hold_seconds)
    )
    from unnest(
      ${pgArray(calls.map(({ id }) => id))}::uuid[],
      ${pgArray(calls.map(({ holdSeconds }) => holdSeconds))}::integer[]
    ) as renewed (id, hold_seconds)
    where call.request_id = renewed.id
      and call.status = 'open'`
}
