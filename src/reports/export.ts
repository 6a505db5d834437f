import type { Queryable } from '../db/client.ts'

/** Rows that are read at a time. */
const BATCH = 200

type Rows = AsyncIterable<{ row: unknown }[]>

/**
 * Everything that is kept about a user, by name. Of access tokens all but the secret's hash; of the audit what was
 * done to the user, where whoever asks may read it.
 */
const partsOf = (sql: Queryable, userId: string): Record<string, () => Rows> => ({
  users: () =>
    sql<{ row: unknown }[]>`
    select to_jsonb(known) as row from archon_mcp_users as known where known.user_id = ${userId}`.cursor(
      BATCH,
    ),
  memberships: () =>
    sql<{ row: unknown }[]>`
    select to_jsonb(membership) as row from archon_mcp_memberships as membership
    where membership.user_id = ${userId} order by membership.starts_at`.cursor(BATCH),
  sessions: () =>
    sql<{ row: unknown }[]>`
    select to_jsonb(session) - 'derived_key' as row from archon_mcp_sessions as session
    where session.user_id = ${userId} order by session.connected_at`.cursor(BATCH),
  calls: () =>
    sql<{ row: unknown }[]>`
    select to_jsonb(call) || jsonb_build_object('usage', (
             select coalesce(jsonb_agg(to_jsonb(line) - 'request_id' order by line.model), '[]')
             from archon_mcp_usage as line where line.request_id = call.request_id
           )) as row
    from archon_mcp_requests as call
    where call.user_id = ${userId} order by call.timestamp`.cursor(BATCH),
  access_tokens: () =>
    sql<{ row: unknown }[]>`
    select to_jsonb(told) as row
    from (
      select token.token_id, token.name, token.scopes, token.created_at, token.created_by, token.expires_at,
             token.last_used_at, token.revoked_at
      from archon_mcp_access_tokens as token
      where token.user_id = ${userId}
    ) as told
    order by told.created_at`.cursor(BATCH),
  sums_by_day: () =>
    sql<{ row: unknown }[]>`
    select to_jsonb(sums) - 'user_id' as row from archon_mcp_user_days as sums
    where sums.user_id = ${userId} order by sums.day`.cursor(BATCH),
  quotas: () =>
    sql<{ row: unknown }[]>`
    select to_jsonb(quota) as row from archon_mcp_quotas as quota
    where quota.holder = ${`user ${userId}`} order by quota.created_at`.cursor(BATCH),
  refusals: () =>
    sql<{ row: unknown }[]>`
    select to_jsonb(refusal) - 'user_id' as row from archon_mcp_refusals as refusal
    where refusal.user_id = ${userId} order by refusal.quarter`.cursor(BATCH),
  audit: () =>
    sql<{ row: unknown }[]>`
    select to_jsonb(line) - 'actor_id' as row from archon_mcp_audit as line
    where line.target_kind = 'user' and line.target_id = ${userId} order by line.at`.cursor(BATCH),
})

/**
 * Everything that is kept about a user, as the text of one JSON document, in pieces: however much it is, a few rows
 * of it are in memory at a time. Each table's rows are as the table has them, oldest first.
 */
export async function* exportOfUser(sql: Queryable, userId: string): AsyncGenerator<string> {
  yield `{\n"user_id": ${JSON.stringify(userId)},\n"exported_at": ${JSON.stringify(new Date().toISOString())}`
  for (const [name, rows] of Object.entries(partsOf(sql, userId))) {
    yield `,\n${JSON.stringify(name)}: [`
    let separator = '\n'
    for await (const batch of rows()) {
      for (const { row } of batch) {
        yield `${separator}  ${JSON.stringify(row)}`
        separator = ',\n'
      }
    }
    yield separator === '\n' ? ']' : '\n]'
  }
  yield '\n}\n'
}
