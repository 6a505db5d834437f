import type { Queryable } from '../db/client.ts'
import { plain } from './plain.ts'
import { comesAfter, cutPage, type PageRequest, type Position, positionColumns } from './position.ts'
import type { ReportCaller } from './visible-to.ts'

/** An access token, but for its text, which nobody has any more. */
export interface McpAccessToken {
  token_id: string
  name: string
  /** Whose it is: a user's id, or the name of a service. */
  user_id?: string
  service?: string
  scopes: string[]
  /** `revoked` also where its user was cut off or blocked. */
  status: 'live' | 'expired' | 'revoked'
  created_at: string
  created_by?: string
  expires_at: string
  /** Exact to five minutes. */
  last_used_at?: string
  revoked_at?: string
}

/** Which tokens to list. */
export interface AccessTokenFilter {
  tokenId?: string | undefined
  userId?: string | undefined
  service?: string | undefined
  status?: 'live' | 'all' | undefined
}

/** Users see their own, those who administer everybody's. */
const seenBy = (sql: Queryable, { role, userId }: ReportCaller) =>
  role === 'admin' || role === 'service' ? sql`true` : sql`token.user_id = ${userId}`

const STATUS = (sql: Queryable) => sql`
  case
    when token.revoked_at is not null or known.blocked_at is not null or token.created_at <= known.revoked_at
      then 'revoked'
    when token.expires_at <= clock_timestamp() then 'expired'
    else 'live'
  end`

function wantedBy(sql: Queryable, caller: ReportCaller, filter: AccessTokenFilter) {
  const { tokenId, userId, service, status = 'all' } = filter
  return sql`
    ${seenBy(sql, caller)}
    ${tokenId === undefined ? sql`` : sql`and token.token_id = ${tokenId}`}
    ${userId === undefined ? sql`` : sql`and token.user_id = ${userId}`}
    ${service === undefined ? sql`` : sql`and token.service = ${service}`}
    ${status === 'all' ? sql`` : sql`and ${STATUS(sql)} = 'live'`}`
}

type TokenRow = Position & { total: number }

/** Which access tokens are there? Newest first. */
export async function listAccessTokens(
  sql: Queryable,
  caller: ReportCaller,
  filter: AccessTokenFilter,
  { limit, after }: PageRequest,
): Promise<{ tokens: McpAccessToken[]; total: number; next: Position | null }> {
  const from = sql`
    archon_mcp_access_tokens as token
    left join archon_mcp_users as known on known.user_id = token.user_id`
  const wanted = wantedBy(sql, caller, filter)
  const [count] = await sql<[{ total: number }]>`
    select count(*)::float8 as total from ${from} where ${wanted}`
  const found = await sql<TokenRow[]>`
    select token.token_id, token.name, token.user_id, token.service, to_json(token.scopes) as scopes,
           ${STATUS(sql)} as status, token.created_at, token.created_by, token.expires_at, token.last_used_at,
           token.revoked_at, ${positionColumns(sql, 'token.created_at', 'token.token_id')}
    from ${from}
    where ${wanted}
      and ${comesAfter(sql, after, 'token.created_at', 'token.token_id')}
    order by token.created_at desc, token.token_id desc
    limit ${limit + 1}`
  const { rows, next } = cutPage(found, limit)
  return { tokens: rows.map((row) => plain(row, 'micros', 'id') as McpAccessToken), total: count.total, next }
}

/** One of them; null for one that the caller may not see. */
export async function accessTokenById(
  sql: Queryable,
  caller: ReportCaller,
  tokenId: string,
): Promise<McpAccessToken | null> {
  const { tokens } = await listAccessTokens(sql, caller, { tokenId }, { limit: 1, after: null })
  return tokens[0] ?? null
}
