import { inTransaction } from '../db/transaction.ts'
import type { Sql, Transaction } from '../db/client.ts'

/** Who vouches for the sample users: nobody, so no token is ever one of theirs. */
export const SAMPLE_ISSUER = 'urn:mcp-user-context:sample'

const PEOPLE: Record<string, string> = {
  Engineering:
    'Ada Berg, Ben Okafor, Chloe Martin, Daniel Weiss, Elif Kaya, Farid Rahimi, Grace Lin, Hugo Silva, Ines Costa, Jonas Vik, Kemal Aydin, Lea Moreau, Mateo Ruiz, Nora Lind',
  Sales:
    'Omar Haddad, Paula Novak, Quentin Roux, Rosa Marin, Sven Holm, Tara Singh, Umut Demir, Vera Popova, Will Grant',
  Finance: 'Xenia Petrova, Yusuf Ali, Zoe Clarke, Anton Fischer, Bianca Rossi, Carlos Mendes, Dana Cohen',
}

/** As much of a number from 0 to 1 as a name gives, the same every time. */
const CHANCE = `
  create or replace function pg_temp.chance(name text) returns numeric language sql immutable as
  $$ select (hashtextextended(name, 42) & 1048575) / 1048576.0 $$`

/** The first of each department is its manager. */
const USERS = `
  insert into archon_mcp_users (user_id, issuer, subject, email, name, claimed_department, claimed_role, claims_at, created_at)
  select md5('$issuer ' || person.name)::uuid, '$issuer', lower(person.name),
         replace(lower(person.name), ' ', '.') || '@example.com', person.name, team.department,
         case person.place when 1 then 'manager' else 'member' end, now() - interval '31 days', now() - interval '31 days'
  from jsonb_each_text($people) as team (department, names)
  cross join lateral unnest(string_to_array(team.names, ', ')) with ordinality as person (name, place)
  on conflict do nothing`

/** On a working day nearly everybody works with one client, at the weekend hardly anybody. */
const SESSIONS = `
  insert into archon_mcp_sessions
    (session_id, user_id, department, user_email, user_name, client_type, client_name, client_version, era, connected_at,
     last_activity, status, disconnected_at, disconnect_reason, total_duration, metadata)
  select md5(work.key)::uuid, work.user_id, work.claimed_department, work.email, work.name, client.type, client.name, '1.' || floor(work.habit * 9),
         '2025-11-25', work.began, work.ended, 'disconnected', work.ended,
         case when pg_temp.chance(work.key || 'end') < 0.2 then 'timeout' else 'client_disconnect' end,
         extract(epoch from work.ended - work.began)::integer, '{"sample": true}'
  from (
    select known.*, known.subject || day::date as key, pg_temp.chance(known.subject) as habit,
           day + interval '8 hours' + pg_temp.chance(known.subject || day || 'b') * interval '90 minutes' as began,
           day + interval '15 hours' + pg_temp.chance(known.subject || day || 'e') * interval '180 minutes' as ended
    from archon_mcp_users as known
    cross join generate_series(date_trunc('day', now()) - interval '31 days', date_trunc('day', now()) - interval '1 day', interval '1 day') as day
    where known.issuer = '$issuer'
      and pg_temp.chance(known.subject || day || 'w') < case when extract(isodow from day) > 5 then 0.08 else 0.87 end
  ) as work
  cross join lateral (
    select (array['Claude', 'Cursor', 'Windsurf', 'Cline'])[1 + floor(power(work.habit, 1.6) * 4)::integer] as type,
           (array['Claude Code', 'Cursor', 'Windsurf', 'Cline'])[1 + floor(power(work.habit, 1.6) * 4)::integer] as name
  ) as client
  on conflict do nothing`

/** Some call ten times as much as others; engineers the most, and reports are the dearest. */
const CALLS = `
  insert into archon_mcp_requests
    (request_id, session_id, user_id, department, client_type, kind, method, tool_name, status, timestamp, duration_ms,
     error_message, counted, prompt_tokens, completion_tokens)
  select md5(call.key)::uuid, call.session_id, call.user_id, call.department, call.client_type, 'mcp', 'tools/call', tool.name,
         case when call.luck < 0.004 then 'timeout' when call.luck < 0.03 then 'error' else 'success' end,
         call.connected_at + pg_temp.chance(call.key || 'at') * (call.disconnected_at - call.connected_at),
         (tool.ms * (0.4 + power(pg_temp.chance(call.key || 'ms'), 3) * 4))::integer,
         case when call.luck between 0.004 and 0.03 then 'the source did not answer' end,
         true,
         (tool.prompt * (0.3 + pg_temp.chance(call.key || 'in') * 1.4))::integer,
         (tool.completion * (0.3 + pg_temp.chance(call.key || 'out') * 1.4))::integer
  from (
    select session.*, session.session_id || ' ' || place as key,
           pg_temp.chance(session.session_id || ' ' || place || 'luck') as luck,
           pg_temp.chance(session.session_id || ' ' || place || 'tool') as choice
    from archon_mcp_sessions as session
    join archon_mcp_users as known on known.user_id = session.user_id and known.issuer = '$issuer'
    cross join lateral generate_series(1, 2 + floor(
      case known.claimed_department when 'Engineering' then 26 when 'Sales' then 15 else 10 end
      * power(pg_temp.chance(known.subject || 'zeal'), 2) * 2 * (0.5 + pg_temp.chance(session.session_id::text))
    )::integer) as place
  ) as call
  cross join lateral (
    select * from (
      values ('search', 0.42, 300, 700, 150), ('read_document', 0.68, 900, 3200, 60), ('summarize', 0.88, 2600, 5200, 700),
             ('translate', 0.95, 1800, 1500, 1500), ('generate_report', 1.0, 9000, 12000, 4200)
    ) as known (name, up_to, ms, prompt, completion)
    where call.choice < known.up_to
    order by known.up_to
    limit 1
  ) as tool
  on conflict do nothing`

const USAGE = `
  insert into archon_mcp_usage (request_id, model, prompt_tokens, completion_tokens, cost)
  select call.request_id, used.model, call.prompt_tokens, call.completion_tokens,
         archon_mcp_priced(used.model, call.prompt_tokens, call.completion_tokens, 0, call.timestamp::date)
  from archon_mcp_requests as call
  join archon_mcp_users as known on known.user_id = call.user_id and known.issuer = '$issuer'
  cross join lateral (
    select case call.tool_name
      when 'generate_report' then 'claude-3-5-sonnet-20241022' when 'summarize' then 'gpt-4o'
      when 'translate' then 'claude-3-5-haiku-20241022' else 'gpt-4o-mini'
    end as model
  ) as used
  on conflict do nothing`

const COSTS = `
  update archon_mcp_requests as call
  set cost = line.cost, estimated_cost = round(line.cost, 6), reserved_cost = line.cost, reserved_tokens = call.total_tokens
  from archon_mcp_usage as line, archon_mcp_users as known
  where line.request_id = call.request_id
    and known.user_id = call.user_id
    and known.issuer = '$issuer'`

/** What each may cost in a month, in USD. */
const BUDGETS = [
  ['Engineering', '30'],
  ['Sales', '25'],
] as const

/** Keeps the triggers from moving the roll-ups call by call: rollUp() comes after. */
const holdRollups = (tx: Transaction) => tx`
  select set_config('archon_mcp.rollups', 'moved', true)`

async function rollUp(tx: Transaction): Promise<void> {
  await tx`lock table archon_mcp_quotas in exclusive mode`
  await tx`lock table archon_mcp_requests in share mode`
  await tx`select archon_mcp_fill_rollups(complete_from) from archon_mcp_watermark`
}

/**
 * Fills a database with a month of three departments, so that reports have something to show. Everything belongs to
 * users of an issuer of its own; written again, it changes nothing.
 */
export async function insertSampleData(sql: Sql): Promise<void> {
  const people = `'${JSON.stringify(PEOPLE)}'::jsonb`
  const options = { statementTimeoutMs: 60_000 }
  await inTransaction(
    sql,
    async (tx) => {
      await holdRollups(tx)
      for (const statement of [CHANCE, USERS, SESSIONS, CALLS, USAGE, COSTS]) {
        await tx.unsafe(statement.replaceAll('$issuer', SAMPLE_ISSUER).replace('$people', people))
      }
      // Counted from the calls, as any budget that is made in the middle of a window.
      for (const [department, limit] of BUDGETS) {
        await tx`
          select archon_mcp_put_quota(
            null, null, 'budget', 'department', ${department}, 'cost', ${limit}, 'month', 'UTC', null, null, null, null,
            null, null, 'warn', '{0.8,0.95}'
          )`
      }
      await rollUp(tx)
    },
    options,
  )
}

/**
 * Removes every sample user with their sessions, calls and budgets, and nothing else.
 * @returns how many users there were.
 */
export async function removeSampleData(sql: Sql): Promise<number> {
  return await inTransaction(
    sql,
    async (tx) => {
      const sample = tx`select known.user_id from archon_mcp_users as known where known.issuer = ${SAMPLE_ISSUER}`
      await tx`lock table archon_mcp_quotas in exclusive mode`
      await holdRollups(tx)
      await tx`delete from archon_mcp_requests as call where call.user_id in (${sample})`
      await tx`delete from archon_mcp_sessions as session where session.user_id in (${sample})`
      const gone =
        await tx`delete from archon_mcp_users as known where known.issuer = ${SAMPLE_ISSUER} returning 1`
      for (const [department, limit] of BUDGETS) {
        // One that was changed is somebody's own.
        await tx`
          delete from archon_mcp_quotas
          where holder = ${`department ${department}`} and metric = 'cost' and amount = ${limit}::numeric and mode = 'warn'`
      }
      // What is left of the calls counts: a budget that is missing is made anew from them.
      await tx`delete from archon_mcp_budgets`
      await rollUp(tx)
      return gone.length
    },
    { statementTimeoutMs: 60_000 },
  )
}
