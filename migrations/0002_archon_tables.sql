-- Sessions, requests and prices in the shape of Archon's migrations 001, 013 and 014. Where Archon's own tables
-- are here already they are adopted: what was there before us is recorded, and the way down gives it back as it
-- was and drops only the rest. What the old shape cannot hold is set aside on the way down, and taken back by the
-- next way up.

-- migrate:up
create table archon_mcp_adopted (
  kind text not null,
  name text not null,
  -- SQL that makes it again, where a step replaces it.
  definition text,
  -- Who held which rights, and what was said about it.
  acl aclitem[],
  comment text,
  primary key (kind, name)
);
comment on table archon_mcp_adopted is 'what was here before mcp-user-context; read by migrate down';
revoke all on archon_mcp_adopted from public, anon, authenticated, service_role;
alter table archon_mcp_adopted enable row level security;

insert into archon_mcp_adopted (kind, name, acl)
select 'table', class.relname, coalesce(class.relacl, acldefault('r', class.relowner))
from pg_class as class
where class.relnamespace = current_schema()::regnamespace
  and class.relkind = 'r'
  and class.relname in ('archon_mcp_sessions', 'archon_mcp_requests', 'archon_llm_pricing');

insert into archon_mcp_adopted (kind, name)
select 'column', adopted.name || '.' || attribute.attname
from archon_mcp_adopted as adopted
join pg_attribute as attribute on attribute.attrelid = to_regclass(adopted.name)
where adopted.kind = 'table' and attribute.attnum > 0 and not attribute.attisdropped;

insert into archon_mcp_adopted (kind, name, acl)
select 'sequence', class.relname, coalesce(class.relacl, acldefault('s', class.relowner))
from pg_class as class
where class.oid = to_regclass('archon_llm_pricing_id_seq');

-- Puts the rights on an adopted object back as they were.
create function archon_mcp_restore_acl(p_kind text, p_name text) returns void
language plpgsql
as $$
declare
  v_is text := case p_kind when 'view' then 'table' else p_kind end;
  v_grant record;
begin
  for v_grant in
    select distinct grantee, 'revoke' as verb, 'all' as privilege, false as grantable
    from aclexplode(
      case p_kind
        when 'function' then (select proacl from pg_proc where oid = to_regprocedure(p_name))
        else (select relacl from pg_class where oid = to_regclass(p_name))
      end
    )
    union all
    select acl.grantee, 'grant', acl.privilege_type, acl.is_grantable
    from archon_mcp_adopted as adopted
    cross join aclexplode(adopted.acl) as acl
    where adopted.kind = p_kind and adopted.name = p_name
    order by verb desc
  loop
    execute format(
      '%s %s on %s %s %s %s%s',
      v_grant.verb, v_grant.privilege, v_is, p_name,
      case v_grant.verb when 'grant' then 'to' else 'from' end,
      case v_grant.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(v_grant.grantee)) end,
      case when v_grant.grantable then ' with grant option' end
    );
  end loop;
end
$$;

-- Keeps rows that the shape before this step cannot hold, and says how many and where.
create function archon_mcp_set_aside_rows(p_step integer, p_table text, p_condition text default 'true') returns void
language plpgsql
as $$
declare
  v_rows bigint;
begin
  if to_regclass('archon_mcp_set_aside') is null then
    create table archon_mcp_set_aside (step integer not null, table_name text not null, content jsonb not null);
    revoke all on archon_mcp_set_aside from public, anon, authenticated, service_role;
    alter table archon_mcp_set_aside enable row level security;
  end if;
  execute format(
    'insert into archon_mcp_set_aside select %s, %L, to_jsonb(kept) from %I as kept where %s',
    p_step, p_table, p_table, p_condition
  );
  get diagnostics v_rows = row_count;
  if v_rows > 0 then
    raise notice '% rows of % are kept in archon_mcp_set_aside; migrate up takes them back', v_rows, p_table;
  end if;
  if not exists (select from archon_mcp_set_aside) then
    drop table archon_mcp_set_aside;
  end if;
end
$$;

-- The rows that a way down set aside before this step, if there are any; they are taken.
create function archon_mcp_take_back(p_step integer, p_table text) returns setof jsonb
language plpgsql
as $$
begin
  if to_regclass('archon_mcp_set_aside') is null then
    return;
  end if;
  return query execute
    'with taken as (
       delete from archon_mcp_set_aside where step = $1 and table_name = $2 returning content
     )
     select content from taken' using p_step, p_table;
  if not exists (select from archon_mcp_set_aside) then
    drop table archon_mcp_set_aside;
  end if;
end
$$;

do $$
declare
  routine regprocedure;
begin
  for routine in
    select oid::regprocedure from pg_proc
    where pronamespace = current_schema()::regnamespace
      and proname in ('archon_mcp_restore_acl', 'archon_mcp_set_aside_rows', 'archon_mcp_take_back')
  loop
    execute format('revoke all on function %s from public, anon, authenticated, service_role', routine);
  end loop;
end
$$;

create table if not exists archon_mcp_sessions (
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
alter table archon_mcp_sessions
  add column if not exists total_duration integer,
  add column if not exists disconnect_reason varchar(100),
  add column if not exists user_id uuid,
  add column if not exists user_email varchar(255),
  add column if not exists user_name varchar(255);

create table if not exists archon_mcp_requests (
  request_id uuid primary key default gen_random_uuid(),
  session_id uuid not null references archon_mcp_sessions (session_id) on delete cascade,
  method varchar(100) not null,
  tool_name varchar(100),
  prompt_tokens integer default 0,
  completion_tokens integer default 0,
  total_tokens integer generated always as (prompt_tokens + completion_tokens) stored,
  estimated_cost numeric(10, 6) default 0,
  timestamp timestamptz not null default now(),
  duration_ms integer,
  status varchar(20) not null default 'success',
  error_message text,
  constraint valid_status check (status in ('success', 'error', 'timeout'))
);

create table if not exists archon_llm_pricing (
  id serial primary key,
  model_name varchar(100) not null,
  provider varchar(50) not null,
  input_price_per_1k numeric(10, 6) not null,
  output_price_per_1k numeric(10, 6) not null,
  effective_date date not null default current_date,
  notes text,
  constraint archon_llm_pricing_once unique (model_name, provider, effective_date)
);

-- Archon's tables and columns bring indexes of their own; these go with what is ours.
do $$
begin
  if not exists (select from archon_mcp_adopted where kind = 'table' and name = 'archon_mcp_sessions') then
    comment on column archon_mcp_sessions.status is 'active, idle (no call for 5 minutes), disconnected';
    create index idx_archon_mcp_sessions_last_activity on archon_mcp_sessions (last_activity desc, session_id desc);
  end if;
  if not exists (select from archon_mcp_adopted where kind = 'column' and name = 'archon_mcp_sessions.user_id') then
    create index idx_archon_mcp_sessions_user_email on archon_mcp_sessions (user_email);
    create index idx_archon_mcp_sessions_user_activity
      on archon_mcp_sessions (user_id, last_activity desc) where user_id is not null;
  end if;
  if not exists (select from archon_mcp_adopted where kind = 'table' and name = 'archon_mcp_requests') then
    create index idx_archon_mcp_requests_timestamp on archon_mcp_requests (timestamp desc);
    create index idx_archon_mcp_requests_session_timestamp on archon_mcp_requests (session_id, timestamp desc);
  end if;
end
$$;
-- Live sessions are few beside the history: listings and the sweep read only this part.
create index archon_mcp_sessions_live on archon_mcp_sessions (last_activity) where disconnected_at is null;

revoke all on archon_mcp_sessions, archon_mcp_requests, archon_llm_pricing from public, anon, authenticated;
revoke all on sequence archon_llm_pricing_id_seq from public, anon, authenticated;
grant select, insert, update, delete
  on archon_mcp_sessions, archon_mcp_requests, archon_llm_pricing to service_role;
grant usage on sequence archon_llm_pricing_id_seq to service_role;
-- Archon's own policies ask for a claim that a database login does not carry.
create policy archon_mcp_sessions_service on archon_mcp_sessions to service_role using (true) with check (true);
create policy archon_mcp_requests_service on archon_mcp_requests to service_role using (true) with check (true);
create policy archon_llm_pricing_service on archon_llm_pricing to service_role using (true) with check (true);

-- Rows of an earlier life of these tables: whole ones where the tables were ours, else the columns that were.
insert into archon_mcp_sessions
select (jsonb_populate_record(null::archon_mcp_sessions, content)).*
from archon_mcp_take_back(2, 'archon_mcp_sessions') as content
on conflict (session_id) do update
set total_duration = excluded.total_duration,
    disconnect_reason = excluded.disconnect_reason,
    user_id = excluded.user_id,
    user_email = excluded.user_email,
    user_name = excluded.user_name;
insert into archon_mcp_requests
  (request_id, session_id, method, tool_name, prompt_tokens, completion_tokens, estimated_cost, timestamp,
   duration_ms, status, error_message)
select kept.request_id, kept.session_id, kept.method, kept.tool_name, kept.prompt_tokens, kept.completion_tokens,
       kept.estimated_cost, kept.timestamp, kept.duration_ms, kept.status, kept.error_message
from archon_mcp_take_back(2, 'archon_mcp_requests') as content
cross join jsonb_populate_record(null::archon_mcp_requests, content) as kept
on conflict (request_id) do nothing;
insert into archon_llm_pricing
select (jsonb_populate_record(null::archon_llm_pricing, content)).*
from archon_mcp_take_back(2, 'archon_llm_pricing') as content
on conflict do nothing;
select setval('archon_llm_pricing_id_seq', greatest((select max(id) from archon_llm_pricing), 1),
              exists (select from archon_llm_pricing))
where not exists (select from archon_mcp_adopted where kind = 'table' and name = 'archon_llm_pricing');

-- migrate:down
drop policy archon_llm_pricing_service on archon_llm_pricing;
drop policy archon_mcp_requests_service on archon_mcp_requests;
drop policy archon_mcp_sessions_service on archon_mcp_sessions;
drop index archon_mcp_sessions_live;
do $$
declare
  v_table text;
  v_drops text;
  v_filled text;
begin
  -- In the order in which they lean on one another.
  foreach v_table in array array['archon_llm_pricing', 'archon_mcp_requests', 'archon_mcp_sessions'] loop
    if not exists (select from archon_mcp_adopted where kind = 'table' and name = v_table) then
      perform archon_mcp_set_aside_rows(2, v_table);
      execute format('drop table %I', v_table);
      continue;
    end if;
    -- An Archon before 013 or 014 had no place for these.
    select string_agg(format('drop column %I', attribute.attname), ', '),
           string_agg(format('kept.%I is not null', attribute.attname), ' or ')
    into v_drops, v_filled
    from pg_attribute as attribute
    where attribute.attrelid = to_regclass(v_table)
      and attribute.attnum > 0
      and not attribute.attisdropped
      and not exists (
        select from archon_mcp_adopted as adopted
        where adopted.kind = 'column' and adopted.name = v_table || '.' || attribute.attname
      );
    if v_drops is not null then
      perform archon_mcp_set_aside_rows(2, v_table, v_filled);
      execute format('alter table %I %s', v_table, v_drops);
    end if;
    perform archon_mcp_restore_acl('table', v_table);
  end loop;
  perform archon_mcp_restore_acl('sequence', name) from archon_mcp_adopted where kind = 'sequence';
end
$$;
drop function archon_mcp_take_back;
drop function archon_mcp_set_aside_rows;
drop function archon_mcp_restore_acl;
drop table archon_mcp_adopted;
