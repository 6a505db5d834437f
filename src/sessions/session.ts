import type { Context, MiddlewareHandler } from 'hono'
import { ask } from '../admission.ts'
import { resolveSql, type Sql, type SqlSource } from '../db/client.ts'
import { DatabaseUnavailableError } from '../db/outage.ts'
import {
  countFaults,
  databaseUnavailable,
  mcpRefusal,
  type Refusal,
  refuseFaults,
  replaceResponse,
  sqlFaults,
} from '../errors.ts'
import type { SessionDemand } from '../ledger/types.ts'
import { isModern, type McpMessage } from '../mcp/message.ts'
import { readMessage } from '../mcp/read-message.ts'
import { requestOf } from '../mcp/read-request.ts'
import { requestIds } from '../mcp/json-rpc.ts'
import { type Caller, requireVar, type SessionVariables, type UserVariables } from '../variables.ts'
import { DEFAULT_TIMEOUT_SECONDS, planSession, type SessionRules } from './life-cycle.ts'
import { endSession, openSession } from './session-row.ts'
import { sessionIdOfWire } from './wire-id.ts'

/** Where sessions are kept, and how long they live. */
export interface SessionOptions extends SessionRules {
  /** The pool (Node, Bun), or the client of a request (Workers). */
  sql: SqlSource
}

/** What a request asks of the ledger, and what is to do when the handler has answered. */
export interface SessionStep {
  demand: SessionDemand | null
  /** Runs the handler, and opens or ends the session around it. */
  run(sql: Sql, next: () => Promise<void>): Promise<void>
}

/**
 * Finds out which session a request belongs to.
 * @param server of several behind one kit, whose ids may be the same.
 * @returns the step to take, or why there is none: 400 without an id, 404 with one that cannot be.
 */
export async function sessionStep(
  c: Context,
  message: McpMessage | null,
  rules: SessionRules,
  server?: string,
): Promise<SessionStep | Refusal> {
  const { headers } = requestOf(c)
  const wireId = headers.get('mcp-session-id')
  const modern = message === null && isModern(headers.get('mcp-protocol-version'))
  const plan = planSession(message, modern ? null : wireId, rules)
  if (plan.kind !== 'named' && wireId !== null) hideWireId(c)
  switch (plan.kind) {
    case 'missing':
      return { code: 'session_required' }
    case 'none':
      return { demand: null, run: (_sql, next) => next() }
    case 'open':
      return {
        demand: null,
        run: (sql, next) => {
          const opened = next().then(() => begin(c, sql, message!, rules, server))
          c.set('sessionOpened', opened)
          return opened
        },
      }
    case 'derived':
      return { demand: ofKind(c, plan.demand), run: (_sql, next) => next() }
    case 'named': {
      const id = await sessionIdOfWire(plan.wireId, kindOf(c), server)
      if (id === null) return { code: 'session_not_found' }
      return {
        demand: { id },
        run: c.req.method === 'DELETE' ? (sql, next) => end(c, sql, id, next) : (_sql, next) => next(),
      }
    }
  }
}

const kindOf = (c: Context): Caller['kind'] => requireVar(c, 'caller', 'userContext()').kind

/** Programs and anonymous callers have no user who would keep their sessions apart. */
const ofKind = (c: Context, demand: SessionDemand): SessionDemand =>
  'key' in demand && kindOf(c) === 'service' ? { ...demand, key: `program ${demand.key}` } : demand

/** An id that nobody has judged must not reach a handler with sessions of its own: it may be somebody else's. */
function hideWireId(c: Context): void {
  const headers = new Headers(c.req.raw.headers)
  headers.delete('mcp-session-id')
  c.req.raw = new Request(c.req.raw, { headers })
}

const isJson = ({ headers }: Response): boolean =>
  /^application\/json\b/i.test(headers.get('content-type') ?? '')

/** HTTP says 200 for a JSON-RPC error too. Of a stream nobody knows how it will end. */
async function isError(response: Response): Promise<boolean> {
  if (!isJson(response)) return false
  const body: unknown = await response
    .clone()
    .json()
    .catch(() => null)
  return typeof body === 'object' && body !== null && 'error' in body
}

/**
 * Awaits something while nobody reads the body. Node cancels that of a fetched response when the response is collected
 * before anybody reads it, though a gateway may have made another one of it; it spares a body with a reader. That of
 * JSON has been cloned, which spares it too; Bun would take it for used.
 */
async function holdingBody<T>(response: Response, work: () => Promise<T>): Promise<T> {
  const reader = isJson(response) ? undefined : response.body?.getReader()
  try {
    return await work()
  } finally {
    reader?.releaseLock()
  }
}

/** Mints the session of an `initialize` that was answered, or adopts the id that the handler gave it. */
async function begin(
  c: Context,
  sql: Sql,
  message: McpMessage,
  rules: SessionRules,
  server: string | undefined,
): Promise<void> {
  const { client } = message
  if (!c.res.ok || c.error !== undefined || client === null || (await isError(c.res))) return
  const wireId = c.res.headers.get('mcp-session-id') ?? crypto.randomUUID()
  const { user } = c.var as UserVariables
  const owner = user === null ? null : { user_id: user.id, user_email: user.email, user_name: user.name }
  const { timeoutSeconds = DEFAULT_TIMEOUT_SECONDS, idleAfterSeconds, maxPerUser } = rules
  const opening = { client, owner, timeoutSeconds, idleAfterSeconds, maxPerUser }
  try {
    const id = await holdingBody(c.res, async () => {
      const id = await sessionIdOfWire(wireId, kindOf(c), server)
      if (id === null) return null
      return (await openSession(sql, id, opening)) ? id : null
    })
    if (id === null) {
      // Its headers would be merged into the answer to the error, and they carry the id.
      c.res = undefined
      throw new Error(
        'session(): the handler answered initialize with a session id that is not its own to give',
      )
    }
    c.set('session', { id })
    c.header('mcp-session-id', wireId)
  } catch (error) {
    refuseOutage(c, error, message)
  }
}

/** Answers 503 when the database is out of reach; throws any other error again. */
function refuseOutage(c: Context, error: unknown, message: McpMessage | null): void {
  if (!(error instanceof DatabaseUnavailableError)) throw error
  replaceResponse(c, mcpRefusal(databaseUnavailable(error), requestIds(message)))
}

/** Ends the session here, whatever the handler knows of it: one without sessions of its own says 405. */
async function end(c: Context, sql: Sql, id: string, next: () => Promise<void>): Promise<void> {
  try {
    await endSession(sql, id, 'client_disconnect')
  } catch (error) {
    return refuseOutage(c, error, null)
  }
  await next()
  if (c.res.ok) return
  replaceResponse(c, new Response(null, { status: 200 }))
}

/**
 * Gives each client of each user a session, in both protocol eras, and refuses one that is unknown, has ended or is
 * somebody else's, all with the same 404. Mount it after `userContext()`.
 * @returns middleware that sets `c.var.session`, `c.var.message` and `c.var.parsedBody`; 503 when the database is out.
 * @throws TypeError at creation, naming every fault of the options.
 * @example app.all('/mcp', userContext(options), session({ sql }), serveMcp(handler))
 */
export const session = ({
  sql,
  ...rules
}: SessionOptions): MiddlewareHandler<{ Variables: SessionVariables }> => {
  refuseFaults('session', [...sqlFaults(sql), ...countFaults({ ...rules })])
  return async function session(c, next) {
    const message = await readMessage(c)
    if (message !== null && 'code' in message) return mcpRefusal(message, message.id)
    const step = await sessionStep(c, message, rules)
    if ('code' in step) return mcpRefusal(step, requestIds(message))
    const client = resolveSql(sql, c)
    c.set('session', null)
    const refusal = await ask(c, sql, { session: step.demand, calls: [] })
    if (refusal !== null) return mcpRefusal(refusal, requestIds(message))
    return await step.run(client, next)
  }
}
