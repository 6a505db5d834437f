import type { Sql } from '../../src/db/client.ts'

/** Sessions of each user, with one call each. */
export const SESSIONS_OF_A_USER = 10

/** A month with so many sessions and calls, those of a user spread over all of it. As the superuser, for speed. */
export async function fillMonth(owner: Sql, rows: number): Promise<void> {
  const users = Math.ceil(rows / SESSIONS_OF_A_USER)
  await owner.begin(async (tx) => {
    // Without triggers and keys: what they keep is made anew below.
    await tx`set local session_replication_role = replica`
    await tx`
      insert into archon_mcp_users
        (user_id, issuer, subject, email, name, claimed_department, claims_at, created_at)
      select md5('user ' || place)::uuid, 'urn:bench', 'user ' || place, 'user-' || place || '@example.com',
             'User, number ' || place, 'Department ' || place % 40, now(), now() - interval '31 days'
      from generate_series(1, ${users}::integer) as place`
    const work = tx`
      (
        select place, 1 + place % ${users}::integer as member,
               now() - interval '30 days' * (place / ${rows}::float8) as at
        from generate_series(1, ${rows}::integer) as place
      ) as work`
    await tx`
      insert into archon_mcp_sessions
        (session_id, user_id, user_email, user_name, client_type, client_name, client_version, era, connected_at,
         last_activity, status, disconnected_at, disconnect_reason, total_duration)
      select md5('session ' || place)::uuid, md5('user ' || member)::uuid, 'user-' || member || '@example.com',
             'User, number ' || member, 'Claude', 'claude-code', '2.0', '2025-11-25', at - interval '1 hour', at,
             'disconnected', at, 'timeout', 3600
      from ${work}`
    await tx`
      insert into archon_mcp_requests
        (request_id, session_id, user_id, department, client_type, kind, method, tool_name, status, timestamp,
         duration_ms, counted, prompt_tokens, completion_tokens, cost, estimated_cost)
      select md5('call ' || place)::uuid, md5('session ' || place)::uuid, md5('user ' || member)::uuid,
             'Department ' || member % 40, 'Claude', 'mcp', 'tools/call', 'tool ' || place % 30, 'success', at,
             place % 900, true, place % 5000, place % 700, place * 0.0000000123, round(place * 0.0000000123, 6)
      from ${work}`
  })
  await owner`select archon_mcp_rebuild_rollups()`
  await owner`vacuum analyze`
}
