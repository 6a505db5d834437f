-- Who a verified token names, and what a call is beyond Archon's request: opened before the tool runs, closed
-- when its answer has ended, known by user, department, kind and client.

-- migrate:up
create table archon_mcp_users (
  user_id uuid primary key,
  issuer text not null,
  subject text not null,
  email varchar(255),
  name varchar(255),
  -- What the newest token said, and when that token was issued.
  claimed_department varchar(255),
  claimed_role varchar(20) not null default 'member',
  claims_at timestamptz,
  -- What an admin set: wins until cleared.
  assigned_department varchar(255),
  assigned_role varchar(20),
  -- Tokens issued before this moment are refused; blocked refuses every token.
  revoked_at timestamptz,
  blocked_at timestamptz,
  created_at timestamptz not null default now(),
  constraint archon_mcp_users_subject_once unique (issuer, subject),
  constraint archon_mcp_users_claimed_role check (claimed_role in ('member', 'manager', 'finance', 'admin')),
  constraint archon_mcp_users_assigned_role check (assigned_role in ('member', 'manager', 'finance', 'admin'))
);
-- Whose department is asked for at every look of a manager.
create index archon_mcp_users_department on archon_mcp_users ((coalesce(assigned_department, claimed_department)));
comment on table archon_mcp_users is 'one row for each (issuer, subject); its user_id is written once and never changes';

revoke all on archon_mcp_users from public, anon, authenticated;
alter table archon_mcp_users enable row level security;
create policy archon_mcp_users_service on archon_mcp_users to service_role using (true) with check (true);
grant select, insert, update, delete on archon_mcp_users to service_role;

alter table archon_mcp_sessions
  add column era varchar(10),
  add column protocol_version varchar(20),
  add column client_name varchar(255),
  -- Seconds without a call after which the session ends; it is written when the session opens.
  add column timeout_seconds integer not null default 86400,
  -- Seconds without a call after which it is shown as idle.
  add column idle_after_seconds integer not null default 300,
  -- A session of the 2026 era is derived: one live row for each user, client name and version, which this names.
  add column derived_key text,
  -- That of its user when it began, as a call carries that of its own time: a manager sees what was theirs.
  add column department varchar(255),
  add constraint archon_mcp_sessions_era check (era in ('2025-11-25', '2026-07-28')),
  add constraint archon_mcp_sessions_timeout check (timeout_seconds > 0 and idle_after_seconds > 0);
create unique index archon_mcp_sessions_derived
  on archon_mcp_sessions (derived_key)
  where disconnected_at is null;
create index archon_mcp_sessions_department
  on archon_mcp_sessions (department, last_activity desc)
  where department is not null;

-- The old shape knows no open calls. Its check is found by what it checks: Archon's name for it is not ours to know.
do $$
declare
  v_check record;
  v_words text;
  v_attempt text;
begin
  for v_check in
    select rule.conname as name, pg_get_constraintdef(rule.oid) as definition,
           obj_description(rule.oid, 'pg_constraint') as comment
    from pg_constraint as rule
    where rule.conrelid = 'archon_mcp_requests'::regclass
      and rule.contype = 'c'
      and rule.conkey = array[(
        select attnum from pg_attribute where attrelid = 'archon_mcp_requests'::regclass and attname = 'status'
      )]
  loop
    execute format('alter table archon_mcp_requests drop constraint %I', v_check.name);
    -- Postgres prints `in (...)` in words that, read again, print otherwise. Kept are the words that print the same.
    v_words := v_check.definition;
    v_attempt := format('check (status in (%s))', (
      select string_agg(value[1], ', ')
      from regexp_matches(v_check.definition, '(''(?:[^'']|'''')*'')', 'g') as value
    ));
    begin
      execute 'alter table archon_mcp_requests add constraint archon_mcp_attempt ' || v_attempt || ' not valid';
      if v_check.definition || ' NOT VALID' = (
        select pg_get_constraintdef(rule.oid)
        from pg_constraint as rule
        where rule.conrelid = 'archon_mcp_requests'::regclass and rule.conname = 'archon_mcp_attempt'
      ) then
        v_words := v_attempt;
      end if;
      alter table archon_mcp_requests drop constraint archon_mcp_attempt;
    exception
      when syntax_error or datatype_mismatch then null; -- a check that names no values
    end;
    insert into archon_mcp_adopted (kind, name, definition)
    values (
      'check', v_check.name,
      format('alter table archon_mcp_requests add constraint %I %s; ', v_check.name, v_words)
        || format('comment on constraint %I on archon_mcp_requests is %L', v_check.name, v_check.comment)
    );
  end loop;
end
$$;
alter table archon_mcp_requests
  alter column session_id drop not null,
  add constraint archon_mcp_requests_status check (status in ('open', 'success', 'error', 'timeout')),
  -- Rows that the ledger did not write have no kind.
  add column kind varchar(10),
  add column user_id uuid,
  add column department varchar(255),
  add column client_type varchar(50),
  add column cost numeric(20, 10) not null default 0,
  -- Whether it costs a request: what a client needs to connect does not, nor does a round that asks for input.
  add column counted boolean not null default false,
  -- The part of the cost that the tool's own price is.
  add column tool_cost numeric(20, 10) not null default 0,
  -- Tokens were counted from texts, since nobody reported them; a model had no price when it was called.
  add column estimated boolean not null default false,
  add column unpriced boolean not null default false,
  add column request_bytes integer,
  add column response_bytes integer,
  add column reserved_tokens bigint not null default 0,
  add column reserved_cost numeric(20, 10) not null default 0,
  -- An open call whose hold runs out is closed as a timeout by the sweep and flagged; a late close corrects it.
  add column hold_expires_at timestamptz,
  add column hold_expired boolean not null default false,
  add constraint archon_mcp_requests_kind check (kind in ('mcp', 'api'));
create index archon_mcp_requests_user on archon_mcp_requests (user_id, timestamp desc) where user_id is not null;
create index archon_mcp_requests_department
  on archon_mcp_requests (department, timestamp desc)
  where department is not null;
-- Who calls the API has no session by which to be found.
create index archon_mcp_requests_api on archon_mcp_requests (timestamp desc) where kind = 'api';
-- Open calls are few: the sweep reads all of them, and a limit of calls in flight those of one user.
create index archon_mcp_requests_open on archon_mcp_requests (user_id, hold_expires_at) where status = 'open';

-- What a call used, by model: one call may use several.
create table archon_mcp_usage (
  request_id uuid not null references archon_mcp_requests on delete cascade,
  model varchar(100) not null,
  prompt_tokens integer not null,
  completion_tokens integer not null,
  -- Parts of the two.
  cached_tokens integer not null default 0,
  reasoning_tokens integer not null default 0,
  cost numeric(20, 10) not null,
  -- The tool said what it cost: no price changes that.
  told boolean not null default false,
  unpriced boolean not null default false,
  primary key (request_id, model)
);
create index archon_mcp_usage_unpriced on archon_mcp_usage (model) where unpriced;

-- A token of a small model costs less than Archon's six decimals can say.
alter table archon_llm_pricing
  alter column input_price_per_1k type numeric(20, 10),
  alter column output_price_per_1k type numeric(20, 10),
  -- Of prompt tokens that were read from a cache; null for the price of any other.
  add column cached_price_per_1k numeric(20, 10);
-- What a call of a tool costs by itself, from a moment on.
create table archon_mcp_tool_prices (
  tool_name varchar(100) not null,
  effective_at timestamptz not null default now(),
  price numeric(20, 10) not null constraint archon_mcp_tool_prices_price check (price >= 0),
  remark text,
  primary key (tool_name, effective_at)
);
revoke all on archon_mcp_tool_prices from public, anon, authenticated;
alter table archon_mcp_tool_prices enable row level security;
create policy archon_mcp_tool_prices_service on archon_mcp_tool_prices to service_role using (true) with check (true);
grant select, insert, update, delete on archon_mcp_tool_prices to service_role;
revoke all on archon_mcp_usage from public, anon, authenticated;
alter table archon_mcp_usage enable row level security;
create policy archon_mcp_usage_service on archon_mcp_usage to service_role using (true) with check (true);
grant select, insert, update, delete on archon_mcp_usage to service_role;

-- Archon's rows know their user through the session.
update archon_mcp_requests as call
set user_id = session.user_id,
    client_type = session.client_type,
    cost = coalesce(call.estimated_cost, 0)
from archon_mcp_sessions as session
where session.session_id = call.session_id;

-- What an earlier way down set aside. A row that stayed with Archon and was deleted there does not come back.
insert into archon_mcp_users
select (jsonb_populate_record(null::archon_mcp_users, taken.content)).*
from archon_mcp_take_back(3, 'archon_mcp_users') as taken
on conflict do nothing;
update archon_mcp_sessions as session
set era = kept.era,
    protocol_version = kept.protocol_version,
    client_name = kept.client_name,
    timeout_seconds = kept.timeout_seconds,
    idle_after_seconds = kept.idle_after_seconds,
    derived_key = kept.derived_key,
    department = kept.department
from archon_mcp_take_back(3, 'archon_mcp_sessions') as taken
cross join jsonb_populate_record(null::archon_mcp_sessions, taken.content) as kept
where session.session_id = kept.session_id;
create temporary table archon_mcp_taken on commit drop as
select kept.*, taken.gone
from archon_mcp_take_back(3, 'archon_mcp_requests') as taken
cross join jsonb_populate_record(null::archon_mcp_requests, taken.content) as kept;
update archon_mcp_requests as call
set kind = taken.kind,
    user_id = taken.user_id,
    department = taken.department,
    client_type = taken.client_type,
    cost = taken.cost,
    counted = taken.counted,
    tool_cost = taken.tool_cost,
    estimated = taken.estimated,
    unpriced = taken.unpriced,
    request_bytes = taken.request_bytes,
    response_bytes = taken.response_bytes,
    reserved_tokens = taken.reserved_tokens,
    reserved_cost = taken.reserved_cost,
    hold_expires_at = taken.hold_expires_at,
    hold_expired = taken.hold_expired
from archon_mcp_taken as taken
where call.request_id = taken.request_id and not taken.gone;
do $$
declare
  v_triggers constant text := archon_mcp_hush('archon_mcp_requests');
begin
  insert into archon_mcp_requests
    (request_id, session_id, method, tool_name, prompt_tokens, completion_tokens, estimated_cost, timestamp,
     duration_ms, status, error_message, kind, user_id, department, client_type, cost, counted,
     tool_cost, estimated, unpriced, request_bytes, response_bytes, reserved_tokens, reserved_cost, hold_expires_at, hold_expired)
  select taken.request_id, taken.session_id, taken.method, taken.tool_name, taken.prompt_tokens,
         taken.completion_tokens, taken.estimated_cost, taken.timestamp, taken.duration_ms, taken.status,
         taken.error_message, taken.kind, taken.user_id, taken.department, taken.client_type, taken.cost, taken.counted,
         taken.tool_cost, taken.estimated, taken.unpriced, taken.request_bytes, taken.response_bytes,
         taken.reserved_tokens, taken.reserved_cost, taken.hold_expires_at, taken.hold_expired
  from archon_mcp_taken as taken
  where taken.gone
    and (taken.session_id is null
      or exists (select from archon_mcp_sessions as session where session.session_id = taken.session_id))
  on conflict (request_id) do nothing;
  execute v_triggers;
end
$$;
drop table archon_mcp_taken;
insert into archon_mcp_usage
select kept.*
from archon_mcp_take_back(3, 'archon_mcp_usage') as taken
cross join jsonb_populate_record(null::archon_mcp_usage, taken.content) as kept
where exists (select from archon_mcp_requests as call where call.request_id = kept.request_id)
on conflict do nothing;
insert into archon_mcp_tool_prices
select (jsonb_populate_record(null::archon_mcp_tool_prices, taken.content)).*
from archon_mcp_take_back(3, 'archon_mcp_tool_prices') as taken
on conflict do nothing;
update archon_llm_pricing as price
set input_price_per_1k = kept.input_price_per_1k,
    output_price_per_1k = kept.output_price_per_1k,
    cached_price_per_1k = kept.cached_price_per_1k
from archon_mcp_take_back(3, 'archon_llm_pricing') as taken
cross join jsonb_populate_record(null::archon_llm_pricing, taken.content) as kept
-- What was changed meanwhile stays changed.
where (price.model_name, price.provider, price.effective_date, price.input_price_per_1k, price.output_price_per_1k)
    = (kept.model_name, kept.provider, kept.effective_date, round(kept.input_price_per_1k, 6),
       round(kept.output_price_per_1k, 6));

select archon_mcp_remember('archon_mcp_users');
select archon_mcp_remember('archon_mcp_usage');
select archon_mcp_remember('archon_mcp_tool_prices');

-- migrate:down
-- Nobody writes between the look at the rows and their end.
lock table archon_mcp_users, archon_mcp_sessions, archon_mcp_requests, archon_mcp_usage, archon_mcp_tool_prices,
  archon_llm_pricing;
select archon_mcp_refuse_additions('archon_mcp_usage');
select archon_mcp_set_aside_rows(3, 'archon_mcp_usage');
drop table archon_mcp_usage;
select archon_mcp_refuse_additions('archon_mcp_tool_prices');
select archon_mcp_set_aside_rows(3, 'archon_mcp_tool_prices');
drop table archon_mcp_tool_prices;
select archon_mcp_set_aside_rows(
  3, 'archon_llm_pricing',
  'kept.cached_price_per_1k is not null
   or (kept.input_price_per_1k, kept.output_price_per_1k)
     <> (round(kept.input_price_per_1k, 6), round(kept.output_price_per_1k, 6))',
  'false'
);
select archon_mcp_refuse_additions('archon_llm_pricing', array['cached_price_per_1k']);
alter table archon_llm_pricing
  drop column cached_price_per_1k,
  alter column input_price_per_1k type numeric(10, 6),
  alter column output_price_per_1k type numeric(10, 6);
select archon_mcp_refuse_additions('archon_mcp_users');
select archon_mcp_set_aside_rows(3, 'archon_mcp_users');
select archon_mcp_set_aside_rows(
  3, 'archon_mcp_sessions',
  'kept.timeout_seconds <> 86400 or kept.idle_after_seconds <> 300
   or coalesce(kept.era, kept.protocol_version, kept.client_name, kept.derived_key, kept.department) is not null',
  'false'
);
-- The old shape has no open calls and no call outside a session.
select archon_mcp_set_aside_rows(
  3, 'archon_mcp_requests',
  'kept.kind is not null or kept.status = ''open'' or kept.session_id is null',
  'kept.status = ''open'' or kept.session_id is null'
);
delete from archon_mcp_requests where status = 'open' or session_id is null;
drop index archon_mcp_requests_open;
drop index archon_mcp_requests_api;
drop index archon_mcp_requests_department;
drop index archon_mcp_requests_user;
alter table archon_mcp_requests
  drop constraint archon_mcp_requests_kind,
  drop constraint archon_mcp_requests_status;
select archon_mcp_refuse_additions('archon_mcp_requests', array[
  'kind', 'user_id', 'department', 'client_type', 'cost', 'counted', 'tool_cost', 'estimated', 'unpriced',
  'request_bytes', 'response_bytes', 'reserved_tokens', 'reserved_cost',
  'hold_expires_at', 'hold_expired'
]);
alter table archon_mcp_requests
  drop column hold_expired,
  drop column hold_expires_at,
  drop column reserved_cost,
  drop column reserved_tokens,
  drop column response_bytes,
  drop column request_bytes,
  drop column unpriced,
  drop column estimated,
  drop column tool_cost,
  drop column counted,
  drop column cost,
  drop column client_type,
  drop column department,
  drop column user_id,
  drop column kind,
  alter column session_id set not null;
do $$
declare
  v_check text;
begin
  for v_check in delete from archon_mcp_adopted where kind = 'check' returning definition loop
    execute v_check;
  end loop;
end
$$;
drop index archon_mcp_sessions_department;
drop index archon_mcp_sessions_derived;
alter table archon_mcp_sessions
  drop constraint archon_mcp_sessions_timeout,
  drop constraint archon_mcp_sessions_era;
select archon_mcp_refuse_additions('archon_mcp_sessions', array[
  'era', 'protocol_version', 'client_name', 'timeout_seconds', 'idle_after_seconds', 'derived_key', 'department'
]);
alter table archon_mcp_sessions
  drop column department,
  drop column derived_key,
  drop column idle_after_seconds,
  drop column timeout_seconds,
  drop column client_name,
  drop column protocol_version,
  drop column era;
drop table archon_mcp_users;
