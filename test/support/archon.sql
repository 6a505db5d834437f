-- A database as Archon's migrations 001, 013 and 014 leave it, with a history. Written from the contract of that
-- system in our own words; what it got wrong is wrong here too. archon.ts applies the parts one by one. Policies are
-- those of Supabase where its functions are, else those for the role itself.

-- part: 001
do $$
declare
  wanted text;
begin
  foreach wanted in array array['anon', 'authenticated', 'service_role'] loop
    continue when exists (select from pg_roles where rolname = wanted);
    begin
      execute format('create role %I nologin', wanted);
    exception
      when duplicate_object or unique_violation then null;
    end;
  end loop;
end
$$;

create table archon_migrations (
  id serial primary key,
  version varchar(20) not null,
  migration_name varchar(255) not null,
  applied_at timestamptz default now(),
  unique (version, migration_name)
);
insert into archon_migrations (version, migration_name, applied_at)
values ('0.3.0', '001_mcp_sessions', '2025-12-25 10:00:00+00');

create table archon_mcp_sessions (
  session_id uuid primary key default gen_random_uuid(),
  client_type varchar(50) not null default 'Unknown',
  client_version varchar(50),
  client_capabilities jsonb,
  connected_at timestamptz not null default now(),
  disconnected_at timestamptz,
  last_activity timestamptz not null default now(),
  status varchar(20) not null default 'active',
  metadata jsonb default '{}',
  constraint valid_status check (status in ('active', 'idle', 'disconnected'))
);
comment on table archon_mcp_sessions is 'clients of the MCP server';
comment on column archon_mcp_sessions.status is 'active, idle (>5min), disconnected';
create index idx_archon_mcp_sessions_status on archon_mcp_sessions (status);
create index idx_archon_mcp_sessions_client_type on archon_mcp_sessions (client_type);
create index idx_archon_mcp_sessions_connected_at on archon_mcp_sessions (connected_at desc);
create index idx_archon_mcp_sessions_last_activity on archon_mcp_sessions (last_activity desc);
create index idx_archon_mcp_sessions_status_activity on archon_mcp_sessions (status, last_activity desc);

create table archon_mcp_requests (
  request_id uuid primary key default gen_random_uuid(),
  session_id uuid not null references archon_mcp_sessions (session_id) on delete cascade,
  method varchar(100) not null,
  tool_name varchar(100),
  prompt_tokens integer default 0,
  completion_tokens integer default 0,
  total_tokens integer generated always as (prompt_tokens + completion_tokens) stored,
  estimated_cost decimal(10, 6) default 0,
  timestamp timestamptz not null default now(),
  duration_ms integer,
  status varchar(20) not null default 'success',
  error_message text,
  constraint valid_request_status check (status in ('success', 'error', 'timeout'))
);
comment on constraint valid_request_status on archon_mcp_requests is 'how a request ended';
create index idx_archon_mcp_requests_session on archon_mcp_requests (session_id);
create index idx_archon_mcp_requests_timestamp on archon_mcp_requests (timestamp desc);
create index idx_archon_mcp_requests_method on archon_mcp_requests (method);
create index idx_archon_mcp_requests_tool on archon_mcp_requests (tool_name);
create index idx_archon_mcp_requests_session_timestamp on archon_mcp_requests (session_id, timestamp desc);
create index idx_archon_mcp_requests_method_timestamp on archon_mcp_requests (method, timestamp desc);

create table archon_llm_pricing (
  id serial primary key,
  model_name varchar(100) not null,
  provider varchar(50) not null,
  input_price_per_1k decimal(10, 6) not null,
  output_price_per_1k decimal(10, 6) not null,
  effective_date date not null default current_date,
  notes text,
  unique (model_name, provider, effective_date)
);
create index idx_archon_llm_pricing_lookup on archon_llm_pricing (model_name, provider, effective_date desc);

insert into archon_llm_pricing (provider, model_name, input_price_per_1k, output_price_per_1k, effective_date)
values
  ('OpenAI', 'gpt-4', 0.030, 0.060, '2024-01-01'),
  ('OpenAI', 'gpt-4-turbo', 0.010, 0.030, '2024-01-01'),
  ('OpenAI', 'gpt-4o', 0.0025, 0.010, '2024-05-13'),
  ('OpenAI', 'gpt-4o-mini', 0.00015, 0.0006, '2024-07-18'),
  ('OpenAI', 'gpt-3.5-turbo', 0.0005, 0.0015, '2023-11-06'),
  ('Anthropic', 'claude-3-5-sonnet-20241022', 0.003, 0.015, '2024-10-22'),
  ('Anthropic', 'claude-3-5-sonnet-20240620', 0.003, 0.015, '2024-06-20'),
  ('Anthropic', 'claude-3-5-haiku-20241022', 0.001, 0.005, '2024-11-04'),
  ('Anthropic', 'claude-3-opus-20240229', 0.015, 0.075, '2024-02-29'),
  ('Anthropic', 'claude-3-sonnet-20240229', 0.003, 0.015, '2024-02-29'),
  ('Anthropic', 'claude-3-haiku-20240307', 0.00025, 0.00125, '2024-03-07');

create function get_active_mcp_clients() returns table (
  session_id uuid, client_type varchar, client_version varchar, connected_at timestamptz, last_activity timestamptz,
  status varchar
)
language sql
stable
as $$
  select live.session_id, live.client_type, live.client_version, live.connected_at, live.last_activity, live.status
  from archon_mcp_sessions as live
  where live.status in ('active', 'idle')
  order by live.last_activity desc
$$;

-- Wrong: total_tokens may be the column or the result.
create function get_mcp_usage_summary(start_date timestamptz, end_date timestamptz) returns table (
  total_requests bigint, total_prompt_tokens bigint, total_completion_tokens bigint, total_tokens bigint,
  total_cost decimal, unique_sessions bigint
)
language plpgsql
as $$
begin
  return query
  select count(*), sum(prompt_tokens), sum(completion_tokens), sum(total_tokens), sum(estimated_cost),
         count(distinct session_id)
  from archon_mcp_requests
  where timestamp >= start_date and timestamp <= end_date and status = 'success';
end
$$;

create function get_mcp_usage_by_tool(start_date timestamptz, end_date timestamptz) returns table (
  tool_name varchar, request_count bigint, total_tokens bigint, total_cost decimal, avg_duration_ms decimal
)
language plpgsql
as $$
begin
  return query
  select made.tool_name, count(*), sum(made.total_tokens), sum(made.estimated_cost), avg(made.duration_ms)
  from archon_mcp_requests as made
  where made.timestamp between start_date and end_date
    and made.status = 'success'
    and made.tool_name is not null
  group by made.tool_name
  order by count(*) desc;
end
$$;

create function calculate_request_cost(
  p_model varchar, p_provider varchar, p_prompt_tokens integer, p_completion_tokens integer
) returns decimal
language plpgsql
as $$
declare
  price record;
begin
  select known.input_price_per_1k as input, known.output_price_per_1k as output into price
  from archon_llm_pricing as known
  where known.model_name = p_model and known.provider = p_provider
  order by known.effective_date desc
  limit 1;
  if not found then
    return 0;
  end if;
  return round(p_prompt_tokens / 1000.0 * price.input + p_completion_tokens / 1000.0 * price.output, 6);
end
$$;

-- Wrong: it revives a session that has ended.
create function update_session_status() returns trigger
language plpgsql
as $$
begin
  update archon_mcp_sessions
  set last_activity = new.timestamp,
      status = case when now() - new.timestamp < interval '5 minutes' then 'active' else 'idle' end
  where session_id = new.session_id;
  return new;
end
$$;
comment on function update_session_status() is 'a request keeps its session alive';
create trigger trigger_update_session_status
  after insert on archon_mcp_requests
  for each row execute function update_session_status();

alter table archon_mcp_sessions enable row level security;
alter table archon_mcp_requests enable row level security;
alter table archon_llm_pricing enable row level security;
do $$
declare
  place text;
  on_supabase constant boolean := to_regprocedure('auth.role()') is not null;
begin
  foreach place in array array['archon_mcp_sessions', 'archon_mcp_requests', 'archon_llm_pricing'] loop
    execute format(
      'create policy "Service role can do everything" on %I for all %s', place,
      case when on_supabase then 'using (auth.role() = ''service_role'')' else 'to service_role using (true)' end
    );
    execute format('create policy "Authenticated can read" on %I for select to authenticated using (true)', place);
    if not on_supabase then
      execute format('grant all on %I to service_role', place);
      execute format('grant select on %I to authenticated', place);
    end if;
  end loop;
  if not on_supabase then
    grant usage, select on sequence archon_llm_pricing_id_seq to service_role;
  end if;
end
$$;

-- part: history of 001
-- Sessions open, their requests come, and some end: the trigger runs as it did in life.
insert into archon_mcp_sessions
  (session_id, client_type, client_version, client_capabilities, connected_at, last_activity, metadata)
values
  ('5e550000-0000-4000-8000-000000000001', 'Claude Code', '1.0', '{"sampling": {}}', now() - interval '20 days',
   now() - interval '20 days', '{"name": "Claude Code", "version": "1.0"}'),
  ('5e550000-0000-4000-8000-000000000002', 'Cursor', '2.1', null, now() - interval '10 days',
   now() - interval '10 days', '{"name": "cursor-vscode", "version": "2.1"}'),
  ('5e550000-0000-4000-8000-000000000003', 'Claude Code', '1.1', null, now() - interval '45 days',
   now() - interval '45 days', '{"name": "claude-code", "version": "1.1"}'),
  ('5e550000-0000-4000-8000-000000000004', 'an agent of my own with a name of fifty characters', null, null,
   now() - interval '1 hour', now() - interval '1 hour', '{"name": "an agent of my own with a name of fifty characters"}'),
  ('5e550000-0000-4000-8000-000000000005', 'Windsurf', '1.0', null, now() - interval '5 days',
   now() - interval '5 days', '{"name": "Windsurf", "version": "1.0"}'),
  ('5e550000-0000-4000-8000-000000000006', 'Unknown', null, null, now() - interval '3 days',
   now() - interval '3 days', null),
  ('5e550000-0000-4000-8000-000000000007', 'Claude Code', '1.0', null, now() - interval '2 days',
   now() - interval '2 days', '{"name": "Claude Code", "version": "1.0"}'),
  ('5e550000-0000-4000-8000-000000000008', 'Gemini', '0.9', null, now() - interval '60 days',
   now() - interval '60 days', '{"name": "gemini-cli", "version": "0.9"}');

insert into archon_mcp_requests
  (request_id, session_id, timestamp, method, tool_name, prompt_tokens, completion_tokens, estimated_cost, duration_ms,
   status, error_message)
values
  ('4e900000-0000-4000-8000-000000000001', '5e550000-0000-4000-8000-000000000001',
   now() - interval '20 days' + interval '10 minutes', 'tools/call', 'search', 100, 50, 1, 120, 'success', null),
  ('4e900000-0000-4000-8000-000000000002', '5e550000-0000-4000-8000-000000000001',
   now() - interval '20 days' + interval '20 minutes', 'tools/call', 'search', 100, 50, 1, 80, 'success', null),
  ('4e900000-0000-4000-8000-000000000003', '5e550000-0000-4000-8000-000000000002',
   now() - interval '10 days' + interval '5 minutes', 'tools/call', 'write_file', 200, 100, 1.5, 300, 'success', null),
  ('4e900000-0000-4000-8000-000000000004', '5e550000-0000-4000-8000-000000000002',
   now() - interval '10 days' + interval '6 minutes', 'tools/call', 'write_file', null, 40, 0.5, 30, 'error', 'disk full'),
  ('4e900000-0000-4000-8000-000000000005', '5e550000-0000-4000-8000-000000000003',
   now() - interval '40 days', 'tools/call', 'search', 300, 200, 1, 100, 'success', null),
  ('4e900000-0000-4000-8000-000000000006', '5e550000-0000-4000-8000-000000000003',
   now() - interval '1 day', 'tools/call', 'search', 200, 100, 1, 100, 'success', null),
  ('4e900000-0000-4000-8000-000000000007', '5e550000-0000-4000-8000-000000000004',
   now() - interval '50 minutes', 'tools/call', 'search', 10, 5, 0.25, 40, 'success', null),
  ('4e900000-0000-4000-8000-000000000008', '5e550000-0000-4000-8000-000000000004',
   now() - interval '30 minutes', 'tools/call', 'slow_tool', null, null, null, 30000, 'timeout', 'timed out'),
  ('4e900000-0000-4000-8000-000000000010', '5e550000-0000-4000-8000-000000000006',
   now() - interval '3 days' + interval '10 seconds', 'tools/list', null, 0, 0, 0, 2, 'success', null),
  ('4e900000-0000-4000-8000-000000000011', '5e550000-0000-4000-8000-000000000007',
   now() - interval '2 days' + interval '1 minute', 'tools/call', 'ping', 0, 0, 0, 5, 'success', null),
  ('4e900000-0000-4000-8000-000000000012', '5e550000-0000-4000-8000-000000000007',
   now() - interval '2 days' + interval '2 minutes', 'tools/call', 'ping', 0, 0, 0, 7, 'success', null),
  ('4e900000-0000-4000-8000-000000000013', '5e550000-0000-4000-8000-000000000008',
   now() - interval '60 days' + interval '5 minutes', 'tools/call', 'search', 1000, 500, 3, 500, 'success', null);

update archon_mcp_sessions as ended
set status = 'disconnected', disconnected_at = ended.connected_at + life.span
from (values
  ('5e550000-0000-4000-8000-000000000001'::uuid, interval '1 hour'),
  ('5e550000-0000-4000-8000-000000000002', interval '2 hours'),
  ('5e550000-0000-4000-8000-000000000005', interval '10 minutes'),
  ('5e550000-0000-4000-8000-000000000006', interval '30 seconds'),
  ('5e550000-0000-4000-8000-000000000008', interval '1 hour')
) as life (session_id, span)
where ended.session_id = life.session_id;
update archon_mcp_sessions
set status = 'active', last_activity = now() - interval '1 minute'
where session_id = '5e550000-0000-4000-8000-000000000003';

-- A late request of a session that has ended: the trigger says that it is active again.
insert into archon_mcp_requests (request_id, session_id, timestamp, method, duration_ms)
values ('4e900000-0000-4000-8000-000000000009', '5e550000-0000-4000-8000-000000000005', now() - interval '1 minute',
        'resources/read', 4);

-- part: 013
insert into archon_migrations (version, migration_name, applied_at)
values ('0.3.0', '013_disconnect_fields', '2026-01-09 10:00:00+00');

alter table archon_mcp_sessions
  add column if not exists total_duration integer,
  add column if not exists disconnect_reason varchar(100);
comment on column archon_mcp_sessions.total_duration is 'seconds';
create index idx_archon_mcp_sessions_disconnect_reason on archon_mcp_sessions (disconnect_reason);

create view archon_mcp_session_stats as
select client_type,
       count(*) as total_sessions,
       count(*) filter (where status = 'active') as active_sessions,
       count(*) filter (where status = 'disconnected') as disconnected_sessions,
       avg(total_duration) as avg_duration_seconds,
       max(total_duration) as max_duration_seconds,
       count(*) filter (where disconnect_reason = 'timeout') as timeout_disconnects,
       count(*) filter (where disconnect_reason = 'client_disconnect') as client_disconnects,
       count(*) filter (where disconnect_reason = 'server_shutdown') as server_shutdown_disconnects,
       count(*) filter (where disconnect_reason like 'error:%') as error_disconnects
from archon_mcp_sessions
group by client_type;
comment on view archon_mcp_session_stats is 'sessions by client';

drop function get_active_mcp_clients();
create function get_active_mcp_clients() returns table (
  session_id uuid, client_type varchar, client_version varchar, connected_at timestamptz, last_activity timestamptz,
  total_duration integer, status varchar, disconnect_reason varchar
)
language sql
stable
as $$
  select live.session_id, live.client_type, live.client_version, live.connected_at, live.last_activity,
         live.total_duration, live.status, live.disconnect_reason
  from archon_mcp_sessions as live
  where live.status in ('active', 'idle') and live.disconnected_at is null
  order by live.last_activity desc
$$;

create function get_disconnected_sessions(
  start_date timestamptz default now() - interval '7 days', end_date timestamptz default now()
) returns table (
  session_id uuid, client_type varchar, client_version varchar, connected_at timestamptz,
  disconnected_at timestamptz, total_duration integer, disconnect_reason varchar, total_requests bigint
)
language sql
stable
as $$
  select past.session_id, past.client_type, past.client_version, past.connected_at, past.disconnected_at,
         past.total_duration, past.disconnect_reason, count(made.request_id)
  from archon_mcp_sessions as past
  left join archon_mcp_requests as made using (session_id)
  where past.status = 'disconnected' and past.disconnected_at between start_date and end_date
  group by past.session_id
  order by past.disconnected_at desc
$$;
comment on function get_disconnected_sessions(timestamptz, timestamptz) is 'what ended lately';

-- part: history of 013
-- Only a session that was closed as it should be has a duration.
update archon_mcp_sessions as ended
set disconnect_reason = life.reason, total_duration = life.seconds
from (values
  ('5e550000-0000-4000-8000-000000000001'::uuid, 'client_disconnect', 3600),
  ('5e550000-0000-4000-8000-000000000002', 'timeout', null),
  ('5e550000-0000-4000-8000-000000000005', 'server_shutdown', 600),
  ('5e550000-0000-4000-8000-000000000006', 'error: ConnectionError', 30),
  ('5e550000-0000-4000-8000-000000000008', 'timeout_no_activity', null)
) as life (session_id, reason, seconds)
where ended.session_id = life.session_id;

-- part: 014
insert into archon_migrations (version, migration_name, applied_at)
values ('0.3.0', '014_user_context', '2026-01-09 11:00:00+00');

alter table archon_mcp_sessions add column if not exists user_id uuid;
alter table archon_mcp_sessions add column if not exists user_email varchar(255);
alter table archon_mcp_sessions add column if not exists user_name varchar(255);
comment on column archon_mcp_sessions.user_id is 'who uses the client';
create index idx_archon_mcp_sessions_user_id on archon_mcp_sessions (user_id);
create index idx_archon_mcp_sessions_user_email on archon_mcp_sessions (user_email);
create index idx_archon_mcp_sessions_user_activity
  on archon_mcp_sessions (user_id, last_activity desc) where user_id is not null;

-- Wrong: a user whose e-mail or name changed has several rows, each with the whole total.
create view archon_mcp_user_stats as
select who.user_id,
       who.user_email,
       who.user_name,
       count(*) as total_sessions,
       count(*) filter (where who.status = 'active') as active_sessions,
       count(*) filter (where who.status = 'disconnected') as disconnected_sessions,
       avg(who.total_duration) as avg_session_duration_seconds,
       max(who.total_duration) as max_session_duration_seconds,
       min(who.connected_at) as first_session_at,
       max(who.last_activity) as last_activity_at,
       (select count(*) from archon_mcp_requests as made join archon_mcp_sessions as own using (session_id)
        where own.user_id = who.user_id) as total_requests,
       (select coalesce(sum(made.total_tokens), 0) from archon_mcp_requests as made
        join archon_mcp_sessions as own using (session_id) where own.user_id = who.user_id) as total_tokens,
       (select coalesce(sum(made.estimated_cost), 0) from archon_mcp_requests as made
        join archon_mcp_sessions as own using (session_id) where own.user_id = who.user_id) as total_cost
from archon_mcp_sessions as who
where who.user_id is not null
group by who.user_id, who.user_email, who.user_name;
comment on view archon_mcp_user_stats is 'usage by user';

create function get_user_sessions(
  p_user_id uuid,
  start_date timestamptz default now() - interval '30 days',
  end_date timestamptz default now()
) returns table (
  session_id uuid, client_type varchar, client_version varchar, connected_at timestamptz,
  disconnected_at timestamptz, total_duration integer, status varchar, disconnect_reason varchar,
  total_requests bigint
)
language plpgsql
as $$
begin
  return query
  select own.session_id, own.client_type, own.client_version, own.connected_at, own.disconnected_at,
         own.total_duration, own.status, own.disconnect_reason,
         (select count(*) from archon_mcp_requests as made where made.session_id = own.session_id)
  from archon_mcp_sessions as own
  where own.user_id = p_user_id and own.connected_at between start_date and end_date
  order by own.connected_at desc;
end
$$;

-- Wrong: user_id may be the column or the result.
create function get_user_activity_summary(p_user_id uuid, days integer default 30) returns table (
  user_id uuid, user_email varchar, user_name varchar, total_sessions bigint, active_sessions bigint,
  total_requests bigint, total_tokens bigint, total_cost decimal, avg_session_duration integer,
  most_used_client varchar, first_seen timestamptz, last_seen timestamptz
)
language plpgsql
as $$
begin
  return query
  select own.user_id, own.user_email, own.user_name, count(distinct own.session_id),
         count(distinct own.session_id) filter (where own.status = 'active'),
         count(made.request_id), sum(made.total_tokens), sum(made.estimated_cost),
         avg(own.total_duration)::integer,
         (select client_type from archon_mcp_sessions where user_id = p_user_id
          group by client_type order by count(*) desc limit 1),
         min(own.connected_at), max(own.last_activity)
  from archon_mcp_sessions as own
  left join archon_mcp_requests as made using (session_id)
  where own.user_id = p_user_id and own.connected_at > now() - make_interval(days => days)
  group by own.user_id, own.user_email, own.user_name;
end
$$;

do $$
begin
  if to_regprocedure('auth.uid()') is not null then
    create policy "Users can read their own sessions" on archon_mcp_sessions for select to authenticated
      using (user_id = auth.uid() or user_id is null);
  else
    create policy "Users can read their own sessions" on archon_mcp_sessions for select to authenticated
      using (user_id = nullif(current_setting('request.jwt.claim.sub', true), '')::uuid or user_id is null);
    grant select on archon_mcp_user_stats to authenticated;
  end if;
end
$$;

-- part: history of 014
update archon_mcp_sessions as session
set user_id = who.user_id, user_email = who.email, user_name = who.name
from (values
  ('5e550000-0000-4000-8000-000000000001'::uuid, 'a11ce000-0000-4000-8000-000000000001'::uuid, 'alice@old.example', 'Alice Old'),
  ('5e550000-0000-4000-8000-000000000002', 'a11ce000-0000-4000-8000-000000000001', null, 'Alice'),
  ('5e550000-0000-4000-8000-000000000003', 'a11ce000-0000-4000-8000-000000000001', 'alice@example.com', 'Alice New'),
  ('5e550000-0000-4000-8000-000000000004', 'b0b00000-0000-4000-8000-000000000002', 'bob@example.com', 'Bob'),
  ('5e550000-0000-4000-8000-000000000005', 'b0b00000-0000-4000-8000-000000000002', 'bob@example.com', null),
  ('5e550000-0000-4000-8000-000000000008', 'ca401000-0000-4000-8000-000000000003', 'carol@example.com', 'Carol')
) as who (session_id, user_id, email, name)
where session.session_id = who.session_id;
