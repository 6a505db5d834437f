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
  -- Who held which rights: names and not aclitem[], whose form in a table keeps pg_upgrade from running.
  rights jsonb,
  primary key (kind, name)
);
comment on table archon_mcp_adopted is 'what was here before mcp-user-context, and what it made; read by migrate down';
revoke all on archon_mcp_adopted from public, anon, authenticated, service_role;
alter table archon_mcp_adopted enable row level security;

create function archon_mcp_rights(p_acl aclitem[]) returns jsonb
language sql
stable
as $$
  select coalesce(
    jsonb_agg(jsonb_build_object(
      'grantee', coalesce(role.rolname, 'public'), 'privilege', acl.privilege_type, 'grantable', acl.is_grantable
    ) order by role.rolname, acl.privilege_type),
    '[]'
  )
  from aclexplode(p_acl) as acl
  left join pg_roles as role on role.oid = acl.grantee
  where acl.grantee = 0 or role.rolname is not null
$$;

insert into archon_mcp_adopted (kind, name, rights)
select 'table', class.relname, archon_mcp_rights(coalesce(class.relacl, acldefault('r', class.relowner)))
from pg_class as class
where class.relnamespace = current_schema()::regnamespace
  and class.relkind = 'r'
  and class.relname in ('archon_mcp_sessions', 'archon_mcp_requests', 'archon_llm_pricing');

insert into archon_mcp_adopted (kind, name, rights)
select 'column', adopted.name || '.' || attribute.attname, archon_mcp_rights(attribute.attacl)
from archon_mcp_adopted as adopted
join pg_attribute as attribute on attribute.attrelid = to_regclass(adopted.name)
where adopted.kind = 'table' and attribute.attnum > 0 and not attribute.attisdropped;

insert into archon_mcp_adopted (kind, name, rights)
select 'sequence', class.relname, archon_mcp_rights(coalesce(class.relacl, acldefault('s', class.relowner)))
from pg_class as class
where class.oid = to_regclass('archon_llm_pricing_id_seq');

-- Puts the rights on an adopted object back as they were, and with a table those on its columns.
create function archon_mcp_restore_rights(p_kind text, p_name text) returns void
language plpgsql
as $$
declare
  v_object constant text := case p_kind when 'view' then 'table' else p_kind end || ' ' || p_name;
  v_held jsonb;
  v_right record;
begin
  v_held := archon_mcp_rights(
    case p_kind
      when 'function' then (
        select coalesce(proacl, acldefault('f', proowner)) from pg_proc where oid = to_regprocedure(p_name)
      )
      -- The owner of a new table or view has all, and nobody else has anything.
      else (select relacl from pg_class where oid = to_regclass(p_name))
    end
  );
  for v_right in select distinct held ->> 'grantee' as grantee from jsonb_array_elements(v_held) as held loop
    execute format('revoke all on %s from %I cascade', v_object, v_right.grantee);
  end loop;
  for v_right in
    select given ->> 'grantee' as grantee,
           given ->> 'privilege' || case adopted.kind
             when 'column' then format(' (%I)', split_part(adopted.name, '.', 2))
             else ''
           end as what,
           case when (given ->> 'grantable')::boolean then ' with grant option' else '' end as grantable
    from archon_mcp_adopted as adopted
    cross join jsonb_array_elements(adopted.rights) as given
    where (adopted.kind = p_kind and adopted.name = p_name
           or p_kind = 'table' and adopted.kind = 'column' and split_part(adopted.name, '.', 1) = p_name)
      -- A role may have gone meanwhile.
      and (given ->> 'grantee' = 'public' or exists (select from pg_roles where rolname = given ->> 'grantee'))
  loop
    execute format('grant %s on %s to %I%s', v_right.what, v_object, v_right.grantee, v_right.grantable);
  end loop;
end
$$;

-- What goes with a table or with some of its columns without a word when they are dropped.
create function archon_mcp_parts(p_table text, p_columns text[] default null) returns setof text
language sql
stable
as $$
  select distinct part.type || ' ' || part.identity
  from pg_depend as lean
  left join pg_class as index on lean.classid = 'pg_class'::regclass and index.oid = lean.objid
  left join pg_constraint as rule on lean.classid = 'pg_constraint'::regclass and rule.oid = lean.objid
  left join pg_trigger as trigger on lean.classid = 'pg_trigger'::regclass and trigger.oid = lean.objid
  cross join pg_identify_object(lean.classid, lean.objid, lean.objsubid) as part
  where lean.refclassid = 'pg_class'::regclass
    and lean.refobjid = to_regclass(p_table)
    and lean.deptype = 'a'
    and (p_columns is null or lean.refobjsubid in (
      select attnum from pg_attribute where attrelid = to_regclass(p_table) and attname = any (p_columns)
    ))
    and (index.relkind = 'i'
      or rule.contype <> 'n'
      or not trigger.tgisinternal
      or lean.classid in ('pg_policy'::regclass, 'pg_statistic_ext'::regclass))
  union all
  select format('column %s.%s', p_table, attname)
  from pg_attribute
  where p_columns is null and attrelid = to_regclass(p_table) and attnum > 0 and not attisdropped
$$;

-- Remembers a table that is ours as this step leaves it.
create function archon_mcp_remember(p_table text) returns void
language sql
as $$
  insert into archon_mcp_adopted (kind, name) select 'made', part from archon_mcp_parts(p_table) as part
$$;

-- Before ours is dropped: an index, a policy, a column that somebody else put there must not go with it unsaid.
create function archon_mcp_refuse_additions(p_table text, p_columns text[] default null) returns void
language plpgsql
as $$
declare
  v_additions text;
begin
  select string_agg(part, ', ' order by part) into v_additions
  from archon_mcp_parts(p_table, p_columns) as part
  where p_columns is not null
     or not exists (select from archon_mcp_adopted where kind = 'made' and name = part);
  if v_additions is not null then
    raise exception '% would be lost with what goes from %', v_additions, p_table
      using hint = 'Drop it, and migrate down again';
  end if;
  delete from archon_mcp_adopted
  where p_columns is null and kind = 'made' and name in (select archon_mcp_parts(p_table));
end
$$;

-- Keeps rows that the shape before this step cannot hold, and says how many and where.
create function archon_mcp_set_aside_rows(
  p_step integer, p_table text, p_condition text default 'true',
  -- Whether the row itself goes, or a part of it alone.
  p_gone text default 'true'
) returns void
language plpgsql
as $$
declare
  v_rows bigint;
begin
  if to_regclass('archon_mcp_set_aside') is null then
    create table archon_mcp_set_aside (
      step integer not null, table_name text not null, gone boolean not null, content jsonb not null
    );
    comment on table archon_mcp_set_aside is 'what migrate down could not leave in place; migrate up takes it back';
    revoke all on archon_mcp_set_aside from public, anon, authenticated, service_role;
    alter table archon_mcp_set_aside enable row level security;
  end if;
  execute format(
    'insert into archon_mcp_set_aside select %s, %L, %s, to_jsonb(kept) from %I as kept where %s',
    p_step, p_table, p_gone, p_table, p_condition
  );
  get diagnostics v_rows = row_count;
  if v_rows > 0 then
    raise notice '% of % set aside in archon_mcp_set_aside, until migrate up',
      case v_rows when 1 then '1 row' else v_rows || ' rows' end, p_table;
  end if;
  if not exists (select from archon_mcp_set_aside) then
    drop table archon_mcp_set_aside;
  end if;
end
$$;

-- The rows that a way down set aside before this step, if there are any; they are taken.
create function archon_mcp_take_back(p_step integer, p_table text) returns table (content jsonb, gone boolean)
language plpgsql
as $$
declare
  v_rows bigint;
begin
  if to_regclass('archon_mcp_set_aside') is null then
    return;
  end if;
  return query execute
    'with taken as (
       delete from archon_mcp_set_aside where step = $1 and table_name = $2 returning content, gone
     )
     select content, gone from taken' using p_step, p_table;
  get diagnostics v_rows = row_count;
  if v_rows > 0 then
    raise notice '% of % taken back from archon_mcp_set_aside',
      case v_rows when 1 then '1 row' else v_rows || ' rows' end, p_table;
  end if;
  if not exists (select from archon_mcp_set_aside) then
    drop table archon_mcp_set_aside;
  end if;
end
$$;

-- Rows that come back were there before: no trigger of anybody shall take them for new ones.
-- Returns the SQL that lets the triggers run again.
create function archon_mcp_hush(p_table text) returns text
language plpgsql
as $$
declare
  v_trigger record;
  v_again text := 'select 1';
begin
  for v_trigger in
    select tgname as name, case tgenabled when 'R' then ' replica' when 'A' then ' always' else '' end as state
    from pg_trigger
    where tgrelid = to_regclass(p_table) and not tgisinternal and tgenabled <> 'D'
  loop
    execute format('alter table %I disable trigger %I', p_table, v_trigger.name);
    v_again := v_again || format('; alter table %I enable%s trigger %I', p_table, v_trigger.state, v_trigger.name);
  end loop;
  return v_again;
end
$$;

do $$
declare
  routine regprocedure;
begin
  for routine in
    select oid::regprocedure from pg_proc
    where pronamespace = current_schema()::regnamespace
      and proname in (
        'archon_mcp_rights', 'archon_mcp_restore_rights', 'archon_mcp_parts', 'archon_mcp_remember',
        'archon_mcp_refuse_additions', 'archon_mcp_set_aside_rows', 'archon_mcp_take_back', 'archon_mcp_hush'
      )
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
    comment on column archon_mcp_sessions.status is 'active, idle (no call for some minutes), disconnected';
    create index idx_archon_mcp_sessions_last_activity on archon_mcp_sessions (last_activity desc, session_id desc);
    create index idx_archon_mcp_sessions_connected_at on archon_mcp_sessions (connected_at desc);
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
create index archon_mcp_sessions_ended on archon_mcp_sessions (disconnected_at desc)
  where disconnected_at is not null;

revoke all on archon_mcp_sessions, archon_mcp_requests, archon_llm_pricing from public, anon, authenticated;
revoke all on sequence archon_llm_pricing_id_seq from public, anon, authenticated;
grant select, insert, update, delete
  on archon_mcp_sessions, archon_mcp_requests, archon_llm_pricing to service_role;
grant usage on sequence archon_llm_pricing_id_seq to service_role;
-- Archon's own policies ask for a claim that a database login does not carry.
create policy archon_mcp_sessions_service on archon_mcp_sessions to service_role using (true) with check (true);
create policy archon_mcp_requests_service on archon_mcp_requests to service_role using (true) with check (true);
create policy archon_llm_pricing_service on archon_llm_pricing to service_role using (true) with check (true);

-- Rows of an earlier life of these tables: whole ones where the tables were ours. Where they were Archon's, it is
-- the columns that come back, and no row that was deleted meanwhile.
create temporary table archon_mcp_taken on commit drop as
select kept.*, taken.gone
from archon_mcp_take_back(2, 'archon_mcp_sessions') as taken
cross join jsonb_populate_record(null::archon_mcp_sessions, taken.content) as kept;
update archon_mcp_sessions as session
set total_duration = taken.total_duration,
    disconnect_reason = taken.disconnect_reason,
    user_id = taken.user_id,
    user_email = taken.user_email,
    user_name = taken.user_name
from archon_mcp_taken as taken
where session.session_id = taken.session_id;
insert into archon_mcp_sessions
  (session_id, client_type, client_version, client_capabilities, connected_at, disconnected_at, last_activity, status,
   metadata, total_duration, disconnect_reason, user_id, user_email, user_name)
select taken.session_id, taken.client_type, taken.client_version, taken.client_capabilities, taken.connected_at,
       taken.disconnected_at, taken.last_activity, taken.status, taken.metadata, taken.total_duration,
       taken.disconnect_reason, taken.user_id, taken.user_email, taken.user_name
from archon_mcp_taken as taken
where taken.gone
on conflict (session_id) do nothing;
drop table archon_mcp_taken;
do $$
declare
  v_triggers constant text := archon_mcp_hush('archon_mcp_requests');
begin
  insert into archon_mcp_requests
    (request_id, session_id, method, tool_name, prompt_tokens, completion_tokens, estimated_cost, timestamp,
     duration_ms, status, error_message)
  select kept.request_id, kept.session_id, kept.method, kept.tool_name, kept.prompt_tokens, kept.completion_tokens,
         kept.estimated_cost, kept.timestamp, kept.duration_ms, kept.status, kept.error_message
  from archon_mcp_take_back(2, 'archon_mcp_requests') as taken
  cross join jsonb_populate_record(null::archon_mcp_requests, taken.content) as kept
  on conflict (request_id) do nothing;
  execute v_triggers;
end
$$;
insert into archon_llm_pricing
select (jsonb_populate_record(null::archon_llm_pricing, taken.content)).*
from archon_mcp_take_back(2, 'archon_llm_pricing') as taken
on conflict do nothing;
-- The prices that Archon comes with, USD for 1,000 tokens.
create function archon_mcp_seed_prices() returns table (
  provider text, model_name text, input_price_per_1k numeric, output_price_per_1k numeric, effective_date date
)
language sql
immutable
as $$
  values
    ('OpenAI', 'gpt-4', 0.03, 0.06, date '2024-01-01'),
    ('OpenAI', 'gpt-4-turbo', 0.01, 0.03, '2024-01-01'),
    ('OpenAI', 'gpt-4o', 0.0025, 0.01, '2024-05-13'),
    ('OpenAI', 'gpt-4o-mini', 0.00015, 0.0006, '2024-07-18'),
    ('OpenAI', 'gpt-3.5-turbo', 0.0005, 0.0015, '2023-11-06'),
    ('Anthropic', 'claude-3-5-sonnet-20241022', 0.003, 0.015, '2024-10-22'),
    ('Anthropic', 'claude-3-5-sonnet-20240620', 0.003, 0.015, '2024-06-20'),
    ('Anthropic', 'claude-3-5-haiku-20241022', 0.001, 0.005, '2024-11-04'),
    ('Anthropic', 'claude-3-opus-20240229', 0.015, 0.075, '2024-02-29'),
    ('Anthropic', 'claude-3-sonnet-20240229', 0.003, 0.015, '2024-02-29'),
    ('Anthropic', 'claude-3-haiku-20240307', 0.00025, 0.00125, '2024-03-07')
$$;
revoke all on function archon_mcp_seed_prices from public, anon, authenticated;
insert into archon_llm_pricing (provider, model_name, input_price_per_1k, output_price_per_1k, effective_date)
select seed.* from archon_mcp_seed_prices() as seed
where not exists (select from archon_mcp_adopted where kind = 'table' and name = 'archon_llm_pricing')
on conflict do nothing;
select setval('archon_llm_pricing_id_seq', greatest((select max(id) from archon_llm_pricing), 1),
              exists (select from archon_llm_pricing))
where not exists (select from archon_mcp_adopted where kind = 'table' and name = 'archon_llm_pricing');

select archon_mcp_remember(made.name)
from unnest(array['archon_mcp_sessions', 'archon_mcp_requests', 'archon_llm_pricing']) as made (name)
where not exists (select from archon_mcp_adopted as adopted where adopted.kind = 'table' and adopted.name = made.name);

-- migrate:down
-- Nobody writes between the look at the rows and their end.
lock table archon_mcp_sessions, archon_mcp_requests, archon_llm_pricing;
do $$
declare
  v_table text;
begin
  foreach v_table in array array['archon_mcp_sessions', 'archon_mcp_requests', 'archon_llm_pricing'] loop
    if not exists (select from archon_mcp_adopted where kind = 'table' and name = v_table) then
      perform archon_mcp_refuse_additions(v_table);
    end if;
  end loop;
end
$$;
drop policy archon_llm_pricing_service on archon_llm_pricing;
drop policy archon_mcp_requests_service on archon_mcp_requests;
drop policy archon_mcp_sessions_service on archon_mcp_sessions;
drop index archon_mcp_sessions_ended;
drop index archon_mcp_sessions_live;
do $$
declare
  v_table text;
  v_columns text[];
begin
  -- In the order in which they lean on one another.
  foreach v_table in array array['archon_llm_pricing', 'archon_mcp_requests', 'archon_mcp_sessions'] loop
    if not exists (select from archon_mcp_adopted where kind = 'table' and name = v_table) then
      perform archon_mcp_set_aside_rows(2, v_table, case v_table
        when 'archon_llm_pricing' then
          -- The seed comes back by itself.
          '(kept.provider, kept.model_name, kept.input_price_per_1k, kept.output_price_per_1k, kept.effective_date)
           not in (select seed.* from archon_mcp_seed_prices() as seed) or kept.notes is not null'
        else 'true'
      end);
      execute format('drop table %I', v_table);
      continue;
    end if;
    if v_table = 'archon_mcp_sessions' then
      -- An Archon before 013 or 014 had no place for these.
      select array_agg(ours) into v_columns
      from unnest(array['total_duration', 'disconnect_reason', 'user_id', 'user_email', 'user_name']) as ours
      where not exists (
        select from archon_mcp_adopted where kind = 'column' and name = 'archon_mcp_sessions.' || ours
      );
      if 'user_id' = any (v_columns) then
        drop index idx_archon_mcp_sessions_user_email, idx_archon_mcp_sessions_user_activity;
      end if;
      if v_columns is not null then
        perform archon_mcp_refuse_additions(v_table, v_columns);
        perform archon_mcp_set_aside_rows(
          2, v_table, (select string_agg(format('kept.%I is not null', ours), ' or ') from unnest(v_columns) as ours),
          'false'
        );
        execute (
          select 'alter table archon_mcp_sessions ' || string_agg(format('drop column %I', ours), ', ')
          from unnest(v_columns) as ours
        );
      end if;
    end if;
    perform archon_mcp_restore_rights('table', v_table);
  end loop;
  perform archon_mcp_restore_rights('sequence', name) from archon_mcp_adopted where kind = 'sequence';
end
$$;
drop function archon_mcp_seed_prices;
drop function archon_mcp_hush;
drop function archon_mcp_take_back;
drop function archon_mcp_set_aside_rows;
drop function archon_mcp_refuse_additions;
drop function archon_mcp_remember;
drop function archon_mcp_parts;
drop function archon_mcp_restore_rights;
drop function archon_mcp_rights;
drop table archon_mcp_adopted;
