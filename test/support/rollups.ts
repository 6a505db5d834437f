import type { Sql } from '../../src/db/client.ts'

/** Rows of roll-ups that differ from the calls: there must be none. */
export const beyondCalls = async (sql: Sql): Promise<unknown[]> => [
  ...(await sql`select * from archon_mcp_check_rollups() order by rollup, key::text`),
]

/**
 * Writes calls of some days of March 2026 by hand, with all that may be missing in one: no user, no department, no
 * session, no tool, no tokens; open ones and those of another writer; and up to three models each.
 */
export async function writeAnyCalls(owner: Sql, count: number, seed: number): Promise<void> {
  await owner.begin(async (tx) => {
    await tx`select setseed(${seed})`
    await tx`
      insert into archon_mcp_sessions (session_id, user_id, client_type, connected_at, last_activity)
      select md5('session ' || n)::uuid, md5('user ' || n % 5)::uuid, 'Cursor', '2026-03-01Z', '2026-03-05Z'
      from generate_series(1, 12) as n
      on conflict do nothing`
    await tx`
      insert into archon_mcp_requests
        (session_id, user_id, department, client_type, kind, method, tool_name, status, timestamp, duration_ms,
         prompt_tokens, completion_tokens, cost, estimated_cost, tool_cost, estimated, unpriced, counted)
      select case when random() < 0.8 then md5('session ' || 1 + floor(random() * 12))::uuid end,
             case when random() < 0.9 then md5('user ' || floor(random() * 5))::uuid end,
             (array['Sales', 'Research', null])[1 + floor(random() * 3)],
             (array['Cursor', 'Claude', null])[1 + floor(random() * 3)],
             case when random() < 0.8 then 'mcp' end, 'tools/call',
             (array['search', 'report', '', null])[1 + floor(random() * 4)],
             (array['success', 'success', 'success', 'error', 'timeout', 'open'])[1 + floor(random() * 6)],
             timestamptz '2026-03-01Z' + random() * interval '4 days',
             case when random() < 0.9 then floor(exp(random() * 12))::integer end,
             case when random() < 0.9 then floor(random() * 1000)::integer end,
             case when random() < 0.9 then floor(random() * 1000)::integer end,
             round(random()::numeric, 10), case when random() < 0.9 then round(random()::numeric, 6) end,
             case when random() < 0.3 then round(random()::numeric, 10) else 0 end, random() < 0.2, random() < 0.2, true
      from generate_series(1, ${count}::integer)`
    await tx`
      insert into archon_mcp_usage
        (request_id, model, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, cost, unpriced)
      select call.request_id, model.name, random() * 100, random() * 100, random() * 50, random() * 50,
             round(random()::numeric, 10), random() < 0.2
      from archon_mcp_requests as call
      cross join (values ('gpt-4o'), ('claude-3-opus-20240229'), ('gpt-4')) as model (name)
      where call.kind is not null and call.status <> 'open' and random() < 0.4
      on conflict do nothing`
  })
}
