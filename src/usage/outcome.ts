import type { UsageLine } from '../ledger/types.ts'
import type { RequestId } from '../mcp/json-rpc.ts'
import { GATEWAY_TIMEOUT } from '../mcp/upstream-fault.ts'
import { usageOfResult } from './reported.ts'

/** How a call ended, as its JSON-RPC response says it. */
export interface Outcome {
  status: 'success' | 'error' | 'timeout'
  error: string | null
  /** What the result says that the call used. */
  usage?: UsageLine[]
  /** The result itself, to be counted when nothing says what was used. */
  result?: unknown
  /** The tool asked for input (2026-07-28), or for a scope: the client comes again with the same request. */
  round?: boolean
}

type Fields = Record<string, unknown>
const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const MAX_ERROR_CHARS = 500

export const failure = (error: string): Outcome => ({
  status: 'error',
  error: error.slice(0, MAX_ERROR_CHARS),
})

const STEP_UP = 'insufficient_scope'

/**
 * How a call ended that no response tells of. One that wants a scope which the token lacks (RFC 6750 section 3.1) costs
 * no request: the client asks its user, and comes again with the same call.
 */
export function withoutResult({ ok, status, headers }: Response): Outcome {
  if (status === 403 && headers.get('www-authenticate')?.includes(`error="${STEP_UP}"`) === true) {
    return { ...failure(STEP_UP), round: true }
  }
  return failure(ok ? 'no result' : `HTTP ${status}`)
}

/** The text with which a tool explains its failure (spec 2026-07-28 server/tools, "Error Handling"). */
function toolError(result: Fields): string {
  const content: unknown[] = Array.isArray(result['content']) ? result['content'] : []
  const text = content.find((part): part is Fields => isObject(part) && typeof part['text'] === 'string')
  return text === undefined ? 'tool error' : String(text['text'])
}

/**
 * The outcome that one JSON-RPC message reports, or null when it is no response.
 * HTTP says 200 for a JSON-RPC error and for a tool's `isError`: both are errors.
 */
export function outcomeOf(message: unknown): { id: RequestId; outcome: Outcome } | null {
  if (!isObject(message) || 'method' in message) return null
  const id = message['id']
  if (typeof id !== 'string' && typeof id !== 'number') return null
  const { error, result } = message
  if (isObject(error)) {
    const text = typeof error['message'] === 'string' ? error['message'] : 'error'
    const outcome = failure(`${String(error['code'])}: ${text}`)
    return { id, outcome: error['code'] === GATEWAY_TIMEOUT ? { ...outcome, status: 'timeout' } : outcome }
  }
  if (!isObject(result)) return { id, outcome: { status: 'success', error: null } }
  const usage = usageOfResult(result)
  const told = {
    ...(usage.length > 0 ? { usage } : { result }),
    ...(result['resultType'] === 'input_required' ? { round: true } : {}),
  }
  if (result['isError'] === true) return { id, outcome: { ...failure(toolError(result)), ...told } }
  return { id, outcome: { status: 'success', error: null, ...told } }
}

/** The outcomes in a whole JSON body: one response, or the responses of a batch. */
export function outcomesOfBody(text: string): Map<RequestId, Outcome> {
  const outcomes = new Map<RequestId, Outcome>()
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return outcomes
  }
  for (const message of Array.isArray(body) ? (body as unknown[]) : [body]) {
    const found = outcomeOf(message)
    if (found !== null) outcomes.set(found.id, found.outcome)
  }
  return outcomes
}
