-- Who changed what: one line for each act of an administrator, written in the transaction of the act itself. It holds
-- ids, numbers and words of ours, and neither names nor e-mails nor secrets, so that it can outlive the people in it.

-- migrate:up
create table archon_mcp_audit (
  audit_id uuid primary key default gen_random_uuid(),
  at timestamptz not null default clock_timestamp(),
  actor_kind text not null constraint archon_mcp_audit_actor check (actor_kind in ('user', 'service', 'cli')),
  -- A user's id; of a service the access token that it came with, where it had one of ours.
  actor_id uuid,
  action text not null constraint archon_mcp_audit_action check (action ~ '^[a-z_]+\.[a-z_]+$'),
  target_kind text,
  target_id text,
  details jsonb not null default '{}'
    constraint archon_mcp_audit_details check (jsonb_typeof(details) = 'object' and octet_length(details::text) <= 65536),
  constraint archon_mcp_audit_user check (actor_kind <> 'user' or actor_id is not null)
);
create index archon_mcp_audit_by_time on archon_mcp_audit (at desc, audit_id desc);
create index archon_mcp_audit_by_target on archon_mcp_audit (target_id, at desc);
comment on table archon_mcp_audit is 'who changed what: append-only, ids and numbers alone';

revoke all on archon_mcp_audit from public, anon, authenticated;
alter table archon_mcp_audit enable row level security;
create policy archon_mcp_audit_reads on archon_mcp_audit for select to service_role using (true);
create policy archon_mcp_audit_adds on archon_mcp_audit for insert to service_role with check (true);
grant select, insert on archon_mcp_audit to service_role;

-- No login but the owner's could change a line; this keeps the owner from doing so by accident. Who erases a person, or
-- what is older than is kept, says so for the transaction: `set local archon_mcp.audit_opened = 'yes'`.
create function archon_mcp_guard_audit() returns trigger
language plpgsql
as $$
begin
  if coalesce(current_setting('archon_mcp.audit_opened', true), '') <> 'yes' then
    raise exception 'archon_mcp_audit is append-only' using errcode = 'insufficient_privilege';
  end if;
  return case tg_op when 'UPDATE' then new when 'DELETE' then old end;
end
$$;
create trigger archon_mcp_audit_kept
  before update or delete on archon_mcp_audit
  for each row execute function archon_mcp_guard_audit();
create trigger archon_mcp_audit_not_emptied
  before truncate on archon_mcp_audit
  for each statement execute function archon_mcp_guard_audit();

-- Writes a line, in the transaction of whoever calls it.
create function archon_mcp_record_audit(
  p_actor_kind text, p_actor_id uuid, p_action text, p_target_kind text, p_target_id text, p_details jsonb
) returns void
language sql
as $$
  insert into archon_mcp_audit (actor_kind, actor_id, action, target_kind, target_id, details)
  values (p_actor_kind, p_actor_id, p_action, p_target_kind, p_target_id, coalesce(p_details, '{}'))
$$;

do $$
declare
  routine regprocedure;
begin
  for routine in
    select oid::regprocedure from pg_proc
    where pronamespace = current_schema()::regnamespace
      and proname in ('archon_mcp_record_audit', 'archon_mcp_guard_audit')
  loop
    execute format('revoke all on function %s from public, anon, authenticated', routine);
    execute format('grant execute on function %s to service_role', routine);
  end loop;
end
$$;

-- What an earlier way down set aside.
insert into archon_mcp_audit
select (jsonb_populate_record(null::archon_mcp_audit, taken.content)).*
from archon_mcp_take_back(11, 'archon_mcp_audit') as taken
on conflict do nothing;

select archon_mcp_remember('archon_mcp_audit');

-- migrate:down
lock table archon_mcp_audit;
select archon_mcp_refuse_additions('archon_mcp_audit');
select archon_mcp_set_aside_rows(11, 'archon_mcp_audit');
drop function archon_mcp_record_audit;
drop table archon_mcp_audit;
drop function archon_mcp_guard_audit;
