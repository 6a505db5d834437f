import type { Queryable } from './db/client.ts'
import { jsonText } from './db/text.ts'

/** Who changed something: a user by id, a program by the access token it came with if it had one, or the owner's shell. */
export interface Actor {
  kind: 'user' | 'service' | 'cli'
  id: string | null
}

/** Whoever works at the command line holds the owner's login, and no name that we know. */
export const CLI_ACTOR: Actor = { kind: 'cli', id: null }

/** What may be done. Each is a word of the surface, never renamed. */
export const AUDIT_ACTIONS = [
  'quota.set',
  'quota.removed',
  'user.role_set',
  'user.department_set',
  'user.blocked',
  'user.unblocked',
  'user.revoked',
  'user.exported',
  'user.erased',
  'price.set',
  'prices.synced',
  'calls.rerated',
  'token.created',
  'token.revoked',
  'retention.set',
] as const
export type AuditAction = (typeof AUDIT_ACTIONS)[number]

/** Ids, numbers and words of ours: never a name, an e-mail or a secret. */
export type AuditDetails = Readonly<
  Record<string, string | number | boolean | null | readonly (string | number)[]>
>

/** One act: what was done, to what. */
export interface AuditEntry {
  action: AuditAction
  target: { kind: 'quota' | 'user' | 'model' | 'tool' | 'token' | 'retention' | 'rerate'; id: string } | null
  details?: AuditDetails
}

/**
 * Puts an act on record, in the transaction of the act itself: one is never without the other.
 * @param tx the transaction in which the change is made.
 * @example await inTransaction(sql, async (tx) => { await change(tx); await recordAudit(tx, actor, entry) })
 */
export async function recordAudit(
  tx: Queryable,
  { kind, id }: Actor,
  { action, target, details = {} }: AuditEntry,
): Promise<void> {
  await tx`
    select archon_mcp_record_audit(
      ${kind}, ${id}, ${action}, ${target?.kind ?? null}, ${target?.id ?? null},
      ${jsonText(details) ?? '{}'}::text::jsonb
    )`
}
