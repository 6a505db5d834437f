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
  -- A session of the 2026 era is derived: one live row for each user, client name and version, which this names.
  add column derived_key text,
  add constraint archon_mcp_sessions_era check (era in ('2025-11-25', '2026-07-28')),
  add constraint archon_mcp_sessions_timeout check (timeout_seconds > 0);
create unique index archon_mcp_sessions_derived
  on archon_mcp_sessions (derived_key)
  where disconnected_at is null;

-- The old shape knows no open calls. Its check is found by what it checks: Archon's name for it is not ours to know.
do $$
declare
  v_check record;
begin
  for v_check in
    select conname, pg_get_constraintdef(oid) as definition
    from pg_constraint
    where conrelid = 'archon_mcp_requests'::regclass
      and contype = 'c'
      and conkey = array[(
        select attnum from pg_attribute where attrelid = 'archon_mcp_requests'::regclass and attname = 'status'
      )]
  loop
    insert into archon_mcp_adopted (kind, name, definition)
    values ('check', v_check.conname, v_check.definition);
    execute format('alter table archon_mcp_requests drop constraint %I', v_check.conname);
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
  add column reserved_tokens bigint not null default 0,
  add column reserved_cost numeric(20, 10) not null default 0,
  -- An open call whose hold runs out is closed as a timeout by the sweep and flagged; a late close corrects it.
  add column hold_expires_at timestamptz,
  add column hold_expired boolean not null default false,
  add constraint archon_mcp_requests_kind check (kind in ('mcp', 'api'));
create index archon_mcp_requests_user on archon_mcp_requests (user_id, timestamp desc) where user_id is not null;
create index archon_mcp_requests_open on archon_mcp_requests (hold_expires_at) where status = 'open';

-- Archon's rows know their user through the session.
update archon_mcp_requests as call
set user_id = session.user_id,
    client_type = session.client_type,
    cost = coalesce(call.estimated_cost, 0)
from archon_mcp_sessions as session
where session.session_id = call.session_id;

-- What an earlier way down set aside.
insert into archon_mcp_users
select (jsonb_populate_record(null::archon_mcp_users, content)).*
from archon_mcp_take_back(3, 'archon_mcp_users') as content
on conflict do nothing;
update archon_mcp_sessions as session
set era = kept.era,
    protocol_version = kept.protocol_version,
    client_name = kept.client_name,
    timeout_seconds = kept.timeout_seconds,
    derived_key = kept.derived_key
from archon_mcp_take_back(3, 'archon_mcp_sessions') as content
cross join jsonb_populate_record(null::archon_mcp_sessions, content) as kept
where session.session_id = kept.session_id;
insert into archon_mcp_requests
  (request_id, session_id, method, tool_name, prompt_tokens, completion_tokens, estimated_cost, timestamp,
   duration_ms, status, error_message, kind, user_id, department, client_type, cost, reserved_tokens,
   reserved_cost, hold_expires_at, hold_expired)
select kept.request_id, kept.session_id, kept.method, kept.tool_name, kept.prompt_tokens, kept.completion_tokens,
       kept.estimated_cost, kept.timestamp, kept.duration_ms, kept.status, kept.error_message, kept.kind,
       kept.user_id, kept.department, kept.client_type, kept.cost, kept.reserved_tokens, kept.reserved_cost,
       kept.hold_expires_at, kept.hold_expired
from archon_mcp_take_back(3, 'archon_mcp_requests') as content
cross join jsonb_populate_record(null::archon_mcp_requests, content) as kept
where kept.session_id is null
   or exists (select from archon_mcp_sessions as session where session.session_id = kept.session_id)
on conflict (request_id) do update
set kind = excluded.kind,
    user_id = excluded.user_id,
    department = excluded.department,
    client_type = excluded.client_type,
    cost = excluded.cost,
    reserved_tokens = excluded.reserved_tokens,
    reserved_cost = excluded.reserved_cost,
    hold_expired = excluded.hold_expired;

-- migrate:down
select archon_mcp_set_aside_rows(3, 'archon_mcp_users');
select archon_mcp_set_aside_rows(3, 'archon_mcp_sessions', 'kept.era is not null or kept.timeout_seconds <> 86400');
select archon_mcp_set_aside_rows(3, 'archon_mcp_requests', 'kept.kind is not null');
-- The old shape has no open calls and no call outside a session.
delete from archon_mcp_requests where status = 'open' or session_id is null;
drop index archon_mcp_requests_open;
drop index archon_mcp_requests_user;
alter table archon_mcp_requests
  drop constraint archon_mcp_requests_kind,
  drop constraint archon_mcp_requests_status,
  drop column hold_expired,
  drop column hold_expires_at,
  drop column reserved_cost,
  drop column reserved_tokens,
  drop column cost,
  drop column client_type,
  drop column department,
  drop column user_id,
  drop column kind,
  alter column session_id set not null;
do $$
declare
  v_check record;
begin
  for v_check in delete from archon_mcp_adopted where kind = 'check' returning name, definition loop
    execute format('alter table archon_mcp_requests add constraint %I %s', v_check.name, v_check.definition);
  end loop;
end
$$;
drop index archon_mcp_sessions_derived;
alter table archon_mcp_sessions
  drop constraint archon_mcp_sessions_timeout,
  drop constraint archon_mcp_sessions_era,
  drop column derived_key,
  drop column timeout_seconds,
  drop column client_name,
  drop column protocol_version,
  drop column era;
drop table archon_mcp_users;
