import { fit } from '../db/text.ts'
import type { DerivedClient, SessionDemand } from '../ledger/types.ts'
import { clientTypeOf } from '../mcp/client-type.ts'
import { type ClientInfo, clientInfoOf, type McpMessage } from '../mcp/message.ts'

/** How long sessions live without a call, and how many a user may have. */
export interface SessionRules {
  /** Seconds for a session with an id on the wire (2025-11-25). @default 86400 */
  timeoutSeconds?: number
  /** Seconds for a session derived from user, client name and version (2026-07-28). @default 3600 */
  derivedTimeoutSeconds?: number
  /** Seconds after which a session is shown as idle. @default 300 */
  idleAfterSeconds?: number
  /**
   * Live sessions of one user at most; a further one ends that without a call for longest, with reason `replaced`.
   * @default no limit
   */
  maxPerUser?: number
}

export const DEFAULT_TIMEOUT_SECONDS = 24 * 60 * 60
export const DEFAULT_DERIVED_TIMEOUT_SECONDS = 60 * 60

/** Why a session may end. */
export const DISCONNECT_REASONS = [
  'client_disconnect',
  'timeout',
  'server_shutdown',
  'error',
  'replaced',
  'admin',
  'revoked',
  'erased',
] as const

/** Why a session ended. */
export type DisconnectReason = (typeof DISCONNECT_REASONS)[number]

/** What a request wants of its session. */
export type SessionPlan =
  /** No session: a request that opens one, or that has none in its era. */
  | { kind: 'none' }
  /** `initialize`: the session opens when the handler has answered. */
  | { kind: 'open' }
  /** The session that the request names, which must live and be the caller's own. */
  | { kind: 'named'; wireId: string }
  /** The session that follows from what the client says of itself. */
  | { kind: 'derived'; demand: SessionDemand }
  | { kind: 'missing' }

/** What is kept of a client, cut to the columns. */
export const clientRow = (client: ClientInfo): DerivedClient => ({
  client_type: clientTypeOf(client.name),
  client_name: fit(client.name, 255) ?? '',
  client_version: fit(client.version, 50),
  protocol_version: fit(client.protocolVersion, 20),
  capabilities: client.capabilities,
  metadata: client.raw,
})

/**
 * Which session a request belongs to (spec 2025-11-25 basic/transports#session-management; 2026-07-28 has none on
 * the wire and ignores the header, SEP-2567).
 * @param message null for GET and DELETE. Without an id those are the handler's to answer, usually with 405.
 * @param wireId the `Mcp-Session-Id` header.
 */
export function planSession(
  message: McpMessage | null,
  wireId: string | null,
  {
    derivedTimeoutSeconds = DEFAULT_DERIVED_TIMEOUT_SECONDS,
    maxPerUser,
    idleAfterSeconds,
  }: SessionRules = {},
): SessionPlan {
  if (message?.era === '2026-07-28') {
    const client = clientRow(message.client ?? clientInfoOf(null))
    // With its length in front, no name can end where another's version begins.
    const name = client.client_name
    const key = `${name.length} ${name} ${client.client_version ?? ''}`
    const rest = {
      ...(maxPerUser === undefined ? {} : { maxPerUser }),
      ...(idleAfterSeconds === undefined ? {} : { idleAfterSeconds }),
    }
    return { kind: 'derived', demand: { key, client, timeoutSeconds: derivedTimeoutSeconds, ...rest } }
  }
  // Some clients send a stale id along; a handshake is new whatever it carries.
  if (message?.initialize === true) return { kind: 'open' }
  if (wireId !== null) return { kind: 'named', wireId }
  return message === null ? { kind: 'none' } : { kind: 'missing' }
}

/** Why a caller may end a session; null when they may only look at it. */
export function reasonToEnd(
  { role, userId }: { role: string; userId: string | null },
  owner: string | undefined,
): DisconnectReason | null {
  if (userId !== null && owner === userId) return 'client_disconnect'
  return role === 'admin' || role === 'service' ? 'admin' : null
}
