import { type Actor, recordAudit } from '../audit.ts'
import { pgArray, type Queryable, type Sql, type Transaction } from '../db/client.ts'
import { inTransaction } from '../db/transaction.ts'
import { accessTokenHash, accessTokenText } from './access-token-text.ts'

export const DEFAULT_LIFE_DAYS = 90
export const MAX_LIFE_DAYS = 366
/** Of one user, or of one service, that can be used at the same time. */
export const MAX_LIVE_TOKENS = 20

/** Whose an access token is. */
export type AccessTokenOwner = { userId: string } | { service: string }

/** What an access token is to be. */
export interface AccessTokenRequest {
  owner: AccessTokenOwner
  /** For people, to know it by. */
  name: string
  scopes: readonly string[]
  lifeDays: number
}

/** Who makes one. */
export interface AccessTokenMaker {
  by: Actor
  /** When the token was issued with which a user asks: who was cut off since then makes none. */
  issuedAt?: Date | null
}

/** A new token; its text is told this once. */
export interface NewAccessToken {
  id: string
  token: string
}

/** `no_user`: nobody with that id; `cut_off`: who asks may not any more; `too_many`: as many as may be live at once. */
export type AccessTokenFault = 'no_user' | 'cut_off' | 'too_many'

async function faultOf(
  tx: Transaction,
  owner: AccessTokenOwner,
  { by, issuedAt = null }: AccessTokenMaker,
): Promise<AccessTokenFault | null> {
  if (by.kind === 'user') {
    const [asking] = await tx<{ good: boolean }[]>`
      select known.blocked_at is null
             and coalesce(${issuedAt}::timestamptz > known.revoked_at, known.revoked_at is null) as good
      from archon_mcp_users as known
      where known.user_id = ${by.id}
      for no key update`
    if (asking?.good !== true) return 'cut_off'
  }
  if ('userId' in owner) {
    // Counting is exact only when nobody else makes one meanwhile.
    const [user] = await tx`
      select from archon_mcp_users as known where known.user_id = ${owner.userId} for no key update`
    if (user === undefined) return 'no_user'
  } else {
    await tx`select pg_advisory_xact_lock(hashtextextended(${`archon_mcp_access_tokens ${owner.service}`}, 0))`
  }
  const [live] = await tx<[{ count: number }]>`
    select count(*)::integer as count
    from archon_mcp_access_tokens as token
    where ${'userId' in owner ? tx`token.user_id = ${owner.userId}` : tx`token.service = ${owner.service}`}
      and token.revoked_at is null
      and token.expires_at > clock_timestamp()`
  return live.count < MAX_LIVE_TOKENS ? null : 'too_many'
}

/**
 * Makes an access token. Its text is in the answer and nowhere else: what is kept is its SHA-256.
 * @example const made = await createAccessToken(sql, { owner: { userId }, name: 'laptop', scopes: [], lifeDays: 90 }, { by })
 */
export async function createAccessToken(
  sql: Sql,
  { owner, name, scopes, lifeDays }: AccessTokenRequest,
  maker: AccessTokenMaker,
): Promise<NewAccessToken | { fault: AccessTokenFault }> {
  const token = accessTokenText(crypto.getRandomValues(new Uint8Array(32)))
  const hash = await accessTokenHash(token)
  const { by } = maker
  return await inTransaction(sql, async (tx) => {
    const fault = await faultOf(tx, owner, maker)
    if (fault !== null) return { fault }
    const [row] = await tx<[{ id: string; expires_at: Date }]>`
      insert into archon_mcp_access_tokens
        (token_hash, user_id, service, name, scopes, created_at, created_by, expires_at)
      select decode(${hash}, 'hex'), ${'userId' in owner ? owner.userId : null}::uuid,
             ${'service' in owner ? owner.service : null}::text, ${name}, ${pgArray(scopes)}::text[], clock.now,
             ${by.kind === 'user' ? by.id : null}::uuid, clock.now + make_interval(days => ${lifeDays}::integer)
      from (select clock_timestamp() as now) as clock
      returning token_id as id, expires_at`
    const details = {
      ...('userId' in owner ? { user_id: owner.userId } : {}),
      expires_at: row.expires_at.toISOString(),
      scopes: [...scopes],
    }
    await recordAudit(tx, by, { action: 'token.created', target: { kind: 'token', id: row.id }, details })
    return { id: row.id, token }
  })
}

/**
 * Ends an access token: it is refused at the next call, on every instance.
 * @param userId whose it must be; null for anybody's.
 * @returns false where there is none that could be ended.
 */
export async function revokeAccessToken(
  sql: Sql,
  tokenId: string,
  userId: string | null,
  by: Actor,
): Promise<boolean> {
  return await inTransaction(sql, async (tx) => {
    const [row] = await tx`
      update archon_mcp_access_tokens as token
      set revoked_at = clock_timestamp()
      where token.token_id = ${tokenId}
        and token.revoked_at is null
        and ${userId === null ? tx`true` : tx`token.user_id = ${userId}`}
      returning token.token_id`
    if (row === undefined) return false
    await recordAudit(tx, by, { action: 'token.revoked', target: { kind: 'token', id: tokenId } })
    return true
  })
}

/** Ends all of a user, as part of cutting them off. */
export const revokeAccessTokensOf = async (tx: Transaction, userId: string): Promise<void> => {
  await tx`
    update archon_mcp_access_tokens as token
    set revoked_at = clock_timestamp()
    where token.user_id = ${userId} and token.revoked_at is null`
}

/** A token that is good, and whose it is, as their row has them. */
export interface FoundAccessToken {
  id: string
  scopes: string[]
  createdAt: Date
  expiresAt: Date
  /** Null for a service. */
  user: {
    id: string
    issuer: string
    subject: string
    email: string | null
    name: string | null
    department: string | null
    role: 'member' | 'manager' | 'finance' | 'admin'
    /** Blocked, or cut off since the token was made. */
    refused: 'blocked' | 'invalid_token' | null
  } | null
}

interface FoundRow {
  token_id: string
  scopes: string[]
  created_at: Date
  expires_at: Date
  user_id: string | null
  issuer: string
  subject: string
  email: string | null
  name: string | null
  department: string | null
  role: 'member' | 'manager' | 'finance' | 'admin'
  refused: 'blocked' | 'invalid_token' | null
}

/**
 * Finds a token by its hash: an index look-up whose time tells nothing of 32 random bytes. That it was used is
 * written once in five minutes.
 * @returns null for one that is unknown, revoked or expired.
 */
export async function findAccessToken(sql: Queryable, token: string): Promise<FoundAccessToken | null> {
  const [row] = await sql<FoundRow[]>`
    with found as (
      select token.*
      from archon_mcp_access_tokens as token
      where token.token_hash = decode(${await accessTokenHash(token)}, 'hex')
        and token.revoked_at is null
        and token.expires_at > clock_timestamp()
    ), used as (
      update archon_mcp_access_tokens as token
      set last_used_at = clock_timestamp()
      from found
      where token.token_id = found.token_id
        and coalesce(found.last_used_at, '-infinity') < clock_timestamp() - interval '5 minutes'
    )
    select found.token_id, to_json(found.scopes) as scopes, found.created_at, found.expires_at, found.user_id,
           known.issuer, known.subject, known.email, known.name,
           coalesce(known.assigned_department, known.claimed_department) as department,
           coalesce(known.assigned_role, known.claimed_role) as role,
           case
             when known.blocked_at is not null then 'blocked'
             when found.created_at <= known.revoked_at then 'invalid_token'
           end as refused
    from found
    left join archon_mcp_users as known on known.user_id = found.user_id`
  if (row === undefined) return null
  const { token_id: id, scopes, created_at: createdAt, expires_at: expiresAt, user_id, ...rest } = row
  return { id, scopes, createdAt, expiresAt, user: user_id === null ? null : { id: user_id, ...rest } }
}
