import { connect, type Sql } from '../../src/db/client.ts'
import { runLedger } from '../../src/ledger/statement.ts'
import type { AdmissionRequest, CallToClose, LedgerCaller } from '../../src/ledger/types.ts'
import { rateDemand } from '../../src/limits/rate-rule.ts'
import { callerNamed, callOf, derived, requestBy, success } from '../support/ledger.ts'
import { DEPARTMENT, QUOTA, RATE } from './limits-of-comparison.ts'

export interface GroupOptions {
  size: number
  callers: LedgerCaller[]
  rate: boolean
  /** Ends go in a statement of their own, as on Workers, and not with the calls of the next group. */
  endsAlone?: boolean
}

export const groupCaller = (place: number): Promise<LedgerCaller> =>
  callerNamed(`user${place}`, { department: DEPARTMENT })

/** Fills the table with calls of the last thirty days by the users who go on calling, and what each used. */
export async function fillHistory(ownerUrl: string, calls: number, users: number): Promise<void> {
  const sql = connect(ownerUrl, { max: 1 })
  const ids = await Promise.all(
    Array.from({ length: users }, async (_, place) => (await groupCaller(place)).firstId),
  )
  await sql.begin(async (tx) => {
    // What other writers' triggers would do call by call is done once, after.
    await tx`select set_config('archon_mcp.rollups', 'moved', true)`
    await tx`
    insert into archon_mcp_requests
      (request_id, user_id, department, client_type, kind, method, tool_name, status, timestamp, counted, duration_ms,
       prompt_tokens, completion_tokens, cost)
    select gen_random_uuid(), (${`{${ids.join(',')}}`}::uuid[])[1 + n % ${users}::integer], ${DEPARTMENT}, 'Cursor', 'mcp',
           'tools/call', 'echo', 'success', now() - n * interval '30 days' / ${calls}::integer, true, 5, 120, 30, 0.000036
    from generate_series(1, ${calls}::integer) as n`
    await tx`
    insert into archon_mcp_usage (request_id, model, prompt_tokens, completion_tokens, cost)
    select request_id, 'gpt-4o-mini', 120, 30, 0.000036 from archon_mcp_requests where tool_name = 'echo'`
  })
  await sql`select archon_mcp_rebuild_rollups()`
  await sql`vacuum analyze`
  await sql.end()
}

const requestOf = (caller: LedgerCaller, rate: boolean): AdmissionRequest =>
  requestBy(caller, {
    session: derived('Cursor', '2.0'),
    calls: [callOf({ estimate: { tokens: 0, cost: '0', ...QUOTA.estimate } })],
    rate: rate ? rateDemand(RATE) : null,
    quotas: { rates: true, budgets: true },
  })

/**
 * Groups of calls by random users, each sent with the ends of the group before, unless those go alone.
 * @returns how many calls were admitted. @throws Error when one was not.
 */
export async function ledgerLoop(sql: Sql, options: GroupOptions, untilMs: number): Promise<number> {
  const { size, callers, rate, endsAlone = false } = options
  let closes: CallToClose[] = []
  let calls = 0
  const send = async (requests: AdmissionRequest[]): Promise<void> => {
    const verdicts = await runLedger(sql, { requests, closes, refusals: [] }, { again: false, now: null })
    const refused = verdicts.find(({ admitted }) => !admitted)
    if (refused !== undefined) throw new Error(`refused: ${JSON.stringify(refused)}`)
    const usage = [{ model: 'gpt-4o-mini', promptTokens: 120, completionTokens: 30, cost: '0.000036' }]
    closes = requests.flatMap((request) => request.calls.map(({ id }) => success(id, { usage })))
    calls += requests.length
  }
  while (performance.now() < untilMs) {
    await send(
      Array.from({ length: size }, () =>
        requestOf(callers[Math.floor(Math.random() * callers.length)]!, rate),
      ),
    )
    if (endsAlone) await send([])
  }
  await send([])
  return calls
}
