import type { Sql } from '../../src/db/client.ts'

/** How much history, and of how many users. */
export interface History {
  users: number
  sessions: number
  calls: number
}

/** Indexes of a table that are no constraint's, to be made again when it is full: row by row they cost an hour. */
async function withoutIndexes(owner: Sql, tables: string[], fill: () => Promise<void>): Promise<void> {
  const indexes = await owner<{ name: string; definition: string }[]>`
    select index.indexrelid::regclass::text as name, pg_get_indexdef(index.indexrelid) as definition
    from pg_index as index
    where index.indrelid = any (${`{${tables.join(',')}}`}::regclass[])
      and not exists (select from pg_constraint as rule where rule.conindid = index.indexrelid)`
  for (const { name } of indexes) await owner.unsafe(`drop index ${name}`)
  await fill()
  for (const { definition } of indexes) await owner.unsafe(definition)
}

/** Says how long a step took, so that whoever waits knows for what. */
async function step(name: string, write: () => Promise<unknown>): Promise<void> {
  const start = performance.now()
  await write()
  console.log(`  ${name}: ${Math.round((performance.now() - start) / 1000)} s`)
}

/**
 * Writes 90 days of calls of users of twelve departments, most of them by a few: models, tools, durations and errors
 * as they come, in the order of their time. Straight into the tables, and the roll-ups from them afterwards.
 * @param owner one connection of a superuser: settings are made on it
 */
export async function fillHistory(owner: Sql, { users, sessions, calls }: History): Promise<void> {
  // Triggers and foreign keys would take every row for news.
  await owner`set session_replication_role = replica`
  await owner`set synchronous_commit = off`
  await owner`set maintenance_work_mem = '1GB'`
  await owner`set work_mem = '1GB'`
  await owner`alter system set max_wal_size = '8GB'`
  await owner`select pg_reload_conf()`
  await step('users', async () => {
    await owner`
      insert into archon_mcp_users (user_id, issuer, subject, email, name, claimed_department, claims_at, created_at)
      select md5('user ' || n)::uuid, 'https://id.example.com', 'user-' || n, 'user-' || n || '@example.com', 'User ' || n,
             'Department ' || n % 12, now() - interval '91 days', now() - interval '91 days'
      from generate_series(0, ${users - 1}::integer) as n`
    await owner`
      insert into archon_mcp_memberships (user_id, department, starts_at)
      select known.user_id, known.claimed_department, known.created_at from archon_mcp_users as known
      on conflict do nothing`
  })
  await withoutIndexes(
    owner,
    ['archon_mcp_sessions', 'archon_mcp_requests', 'archon_mcp_usage'],
    async () => {
      await step('sessions', async () => {
        await owner`
        insert into archon_mcp_sessions
          (session_id, user_id, user_email, user_name, department, client_type, client_version, connected_at, last_activity,
           disconnected_at, status, disconnect_reason, total_duration, era)
        select ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid, known.user_id, known.email, known.name,
               known.claimed_department, (array['Claude', 'Cursor', 'Windsurf', 'Cline'])[1 + n % 4], '1.0', moment.at,
               moment.at + interval '40 minutes', moment.at + interval '40 minutes', 'disconnected', 'timeout', 2400,
               '2025-11-25'
        from generate_series(0, ${sessions - 1}::integer) as n
        -- A tenth of the users makes half of the calls.
        cross join lateral (
          select case when n % 2 = 0 then n / 2 % (${users}::integer / 10) else n / 2 % ${users}::integer end as place
        ) as who
        join archon_mcp_users as known on known.user_id = md5('user ' || who.place)::uuid
        cross join lateral (
          select now() - interval '90 days' + n * (interval '90 days' / ${sessions}::integer) as at
        ) as moment`
      })
      await step('calls', async () => {
        await owner`
        insert into archon_mcp_requests
          (request_id, session_id, user_id, department, client_type, kind, method, tool_name, status, timestamp,
           duration_ms, prompt_tokens, completion_tokens, cost, estimated_cost, counted)
        select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, session.session_id, session.user_id,
               session.department, session.client_type, 'mcp', 'tools/call', 'tool-' || n * 7 % 20,
               case when n % 29 = 0 then 'error' else 'success' end,
               least(session.connected_at + n % (${calls}::bigint / ${sessions}::bigint) * interval '3 minutes', now()),
               20 + (n * 7919 % 4000)::integer, (n % 900)::integer, (n % 300)::integer,
               (n % 900) * 0.0000025 + (n % 300) * 0.00001, round((n % 900) * 0.0000025 + (n % 300) * 0.00001, 6), true
        from generate_series(0, ${calls - 1}::bigint) as n
        join archon_mcp_sessions as session on session.session_id = (
          '00000000-0000-7000-9000-' || lpad(to_hex(n / (${calls}::bigint / ${sessions}::bigint)), 12, '0')
        )::uuid`
      })
      await step('models', async () => {
        await owner`
        insert into archon_mcp_usage (request_id, model, prompt_tokens, completion_tokens, cost)
        select call.request_id, case when call.prompt_tokens % 3 = 0 then 'gpt-4o' else 'gpt-4o-mini' end,
               call.prompt_tokens, call.completion_tokens, call.cost
        from archon_mcp_requests as call
        where call.kind = 'mcp'`
      })
    },
  )
  await step('roll-ups', () => owner`select archon_mcp_fill_rollups('-infinity')`)
  await step('vacuum', () => owner`vacuum analyze`)
  await owner`reset all`
  await owner`alter system reset max_wal_size`
  await owner`select pg_reload_conf()`
}
