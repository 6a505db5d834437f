-- What is kept of people, and for how long: retention by kind of data, erasure of a person while the sums stay, and a
-- switch by which the database takes no names at all. These functions run with the owner's rights, since they reach
-- what no login of a server may touch; they are for service_role alone.

-- migrate:up

-- Days for which each kind of data is kept; null for ever.
create table archon_mcp_retention (
  one boolean primary key default true constraint archon_mcp_retention_one check (one),
  -- Longer than any calendar window of a budget: budgets are derived from the calls of theirs.
  calls_days integer constraint archon_mcp_retention_calls check (calls_days between 62 and 36500),
  -- Since they ended; those of which a call is kept stay with it.
  sessions_days integer constraint archon_mcp_retention_sessions check (sessions_days between 1 and 36500),
  -- The texts of errors: they may say anything.
  errors_days integer constraint archon_mcp_retention_errors check (errors_days between 1 and 36500),
  audit_days integer constraint archon_mcp_retention_audit check (audit_days between 30 and 36500),
  -- False: e-mails and names are not stored, whoever writes them.
  stores_names boolean not null default true,
  -- Null until somebody has set something.
  updated_at timestamptz
);
comment on table archon_mcp_retention is 'for how long each kind of data is kept';
revoke all on archon_mcp_retention from public, anon, authenticated;
alter table archon_mcp_retention enable row level security;
create policy archon_mcp_retention_service on archon_mcp_retention to service_role using (true) with check (true);
grant select, update on archon_mcp_retention to service_role;

-- Texts that are due are found without reading the calls.
create index archon_mcp_requests_texts on archon_mcp_requests (timestamp) where error_message is not null;

-- Names are dropped before they are stored, but for those of an earlier time, which archon_mcp_store_names() removes.
create function archon_mcp_drop_names() returns trigger
language plpgsql
as $$
begin
  if tg_table_name = 'archon_mcp_users' then
    new.email := null;
    new.name := null;
  else
    new.user_email := null;
    new.user_name := null;
  end if;
  return new;
end
$$;
create trigger archon_mcp_users_nameless
  before insert or update of email, name on archon_mcp_users
  for each row execute function archon_mcp_drop_names();
create trigger archon_mcp_sessions_nameless
  before insert or update of user_email, user_name on archon_mcp_sessions
  for each row execute function archon_mcp_drop_names();
alter table archon_mcp_users disable trigger archon_mcp_users_nameless;
alter table archon_mcp_sessions disable trigger archon_mcp_sessions_nameless;

-- Turns the storage of e-mails and names on or off; off removes those that are there.
create function archon_mcp_store_names(p_store boolean) returns void
language plpgsql
security definer
as $$
begin
  if p_store then
    alter table archon_mcp_users disable trigger archon_mcp_users_nameless;
    alter table archon_mcp_sessions disable trigger archon_mcp_sessions_nameless;
  else
    alter table archon_mcp_users enable trigger archon_mcp_users_nameless;
    alter table archon_mcp_sessions enable trigger archon_mcp_sessions_nameless;
    update archon_mcp_users set email = null, name = null where email is not null or name is not null;
    update archon_mcp_sessions
    set user_email = null, user_name = null
    where user_email is not null or user_name is not null;
  end if;
  update archon_mcp_retention set stores_names = p_store, updated_at = now();
end
$$;

-- Removes what is older than it is kept, a bounded step at a time and on any number of instances at once: p_limit rows
-- of each kind at most, none that somebody holds. Sums stay. Returns how many went; the next step does the rest.
create function archon_mcp_retain(p_now timestamptz, p_limit integer)
returns table (calls bigint, sessions bigint, errors bigint, audit bigint)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := coalesce(p_now, clock_timestamp());
  v_rules archon_mcp_retention;
  v_day date;
begin
  select * into v_rules from archon_mcp_retention;
  calls := 0;
  sessions := 0;
  errors := 0;
  audit := 0;

  if v_rules.errors_days is not null then
    -- Roll-ups do not know texts.
    perform set_config('archon_mcp.rollups', 'moved', true);
    with due as (
      select call.request_id
      from archon_mcp_requests as call
      where call.error_message is not null
        and call.timestamp < v_now - make_interval(days => v_rules.errors_days)
      order by call.timestamp
      limit p_limit
      for no key update skip locked
    )
    update archon_mcp_requests as call
    set error_message = null
    from due
    where call.request_id = due.request_id;
    get diagnostics errors = row_count;
  end if;

  -- Budgets of all time are derived from all calls. The lock keeps somebody from setting one meanwhile.
  lock table archon_mcp_quotas in row share mode;
  if v_rules.calls_days is not null
    and not exists (select from archon_mcp_quotas as quota where quota.window_unit = 'total')
  then
    -- Whole days of UTC, so that sums of days before rest on the roll-ups alone.
    v_day := (v_now at time zone 'UTC')::date - v_rules.calls_days;
    update archon_mcp_watermark set complete_from = v_day where complete_from < v_day;
    perform set_config('archon_mcp.rollups', 'moved', true);
    with due as (
      select call.request_id
      from archon_mcp_requests as call
      where call.timestamp < v_day::timestamp at time zone 'UTC'
        and call.status <> 'open'
      order by call.timestamp
      limit p_limit
      for update skip locked
    )
    delete from archon_mcp_requests as call
    using due
    where call.request_id = due.request_id;
    get diagnostics calls = row_count;
    delete from archon_mcp_refusals as refusal
    where refusal.ctid = any (array(
      select old.ctid from archon_mcp_refusals as old
      where old.quarter < v_day::timestamp at time zone 'UTC'
      limit p_limit
    ));
  end if;
  perform set_config('archon_mcp.rollups', '', true);

  if v_rules.sessions_days is not null then
    with due as (
      select session.session_id
      from archon_mcp_sessions as session
      where session.disconnected_at < v_now - make_interval(days => v_rules.sessions_days)
        and not exists (select from archon_mcp_requests as call where call.session_id = session.session_id)
      order by session.disconnected_at
      limit p_limit
      for update skip locked
    ), gone as (
      delete from archon_mcp_sessions as session
      using due
      where session.session_id = due.session_id
      returning session.session_id
    ), sums as (
      delete from archon_mcp_session_totals as total
      using gone
      where total.session_id = gone.session_id
    )
    select count(*) into sessions from gone;
  end if;

  if v_rules.audit_days is not null then
    perform set_config('archon_mcp.audit_opened', 'yes', true);
    with due as (
      select line.audit_id
      from archon_mcp_audit as line
      where line.at < v_now - make_interval(days => v_rules.audit_days)
      order by line.at
      limit p_limit
      for update skip locked
    )
    delete from archon_mcp_audit as line
    using due
    where line.audit_id = due.audit_id;
    get diagnostics audit = row_count;
    perform set_config('archon_mcp.audit_opened', '', true);
  end if;
  return next;
end
$$;

-- Where something of a user is kept: the tables, and what finds the rows.
create function archon_mcp_kept_of(p_user_id uuid) returns table (name text, condition text)
language sql
stable
as $$
  select kept.name, format(kept.condition, p_user_id)
  from (
    values
      (1, 'archon_mcp_users', 'user_id = %L'),
      (2, 'archon_mcp_memberships', 'user_id = %L'),
      (3, 'archon_mcp_access_tokens', '%1$L in (user_id::text, created_by::text)'),
      (4, 'archon_mcp_sessions', 'user_id = %L'),
      (5, 'archon_mcp_requests', 'user_id = %L'),
      (6, 'archon_mcp_rate_cells', 'key like ''%%'' || %L || ''%%'''),
      (7, 'archon_mcp_quotas', 'holder = ''user '' || %L'),
      (8, 'archon_mcp_budgets', 'holder = ''user '' || %L'),
      (9, 'archon_mcp_refusals', 'user_id = %L'),
      (10, 'archon_mcp_repairs', 'holder = ''user '' || %L'),
      (11, 'archon_mcp_user_totals', 'user_id = %L'),
      (12, 'archon_mcp_user_days', 'user_id = %L'),
      (13, 'archon_mcp_ended_sessions', 'user_id = %L'),
      (14, 'archon_mcp_audit', '%1$L in (actor_id::text, target_id) or strpos(details::text, %1$L) > 0'),
      (15, 'archon_mcp_set_aside', 'strpos(content::text, %L) > 0')
  ) as kept (place, name, condition)
  where to_regclass(kept.name) is not null
  order by kept.place
$$;

-- Forgets a person: everywhere a random id takes the place of theirs (one that is made of the token could be made
-- again), and names, e-mails, texts of errors, what clients said of themselves and access tokens go. Sums stay as
-- they are. Calls of everybody wait meanwhile, so that none of the person's is written by the old id.
-- Returns the tables and how many rows each held of them; with p_dry_run nothing changes.
create function archon_mcp_erase_user(p_user_id uuid, p_dry_run boolean) returns table (table_name text, rows bigint)
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  v_id constant uuid := gen_random_uuid();
  v_old constant text := p_user_id::text;
begin
  if not p_dry_run then
    lock table archon_mcp_quotas in exclusive mode;
  end if;
  for table_name in select kept.name from archon_mcp_kept_of(p_user_id) as kept loop
    execute format(
      'select count(*) from %I where %s', table_name,
      (select kept.condition from archon_mcp_kept_of(p_user_id) as kept where kept.name = table_name)
    ) into rows;
    continue when rows = 0;
    return next;
  end loop;
  if p_dry_run or not found then
    return;
  end if;

  perform set_config('archon_mcp.rollups', 'moved', true);
  perform set_config('archon_mcp.audit_opened', 'yes', true);
  perform archon_mcp_end_session(null, live.session_id, 'erased')
  from (
    select session.session_id
    from archon_mcp_sessions as session
    where session.user_id = p_user_id and session.disconnected_at is null
    order by session.session_id
  ) as live;
  update archon_mcp_requests set user_id = v_id, error_message = null where user_id = p_user_id;
  delete from archon_mcp_access_tokens where user_id = p_user_id;
  update archon_mcp_access_tokens set created_by = v_id where created_by = p_user_id;
  -- Memberships follow the row.
  update archon_mcp_users
  set user_id = v_id, issuer = 'erased', subject = v_id::text, email = null, name = null, claims_at = null,
      blocked_at = coalesce(blocked_at, clock_timestamp())
  where user_id = p_user_id;
  update archon_mcp_sessions
  set user_id = v_id, user_email = null, user_name = null, metadata = '{}', client_capabilities = null,
      client_name = null, derived_key = null
  where user_id = p_user_id;
  delete from archon_mcp_rate_cells where strpos(key, v_old) > 0;
  update archon_mcp_quotas
  set subject = v_id::text, holder = 'user ' || v_id
  where holder = 'user ' || v_old;
  update archon_mcp_budgets
  set holder = 'user ' || v_id, key = quota_id || ' user ' || v_id
  where holder = 'user ' || v_old;
  update archon_mcp_refusals set user_id = v_id where user_id = p_user_id;
  update archon_mcp_repairs set holder = 'user ' || v_id where holder = 'user ' || v_old;
  update archon_mcp_user_totals set user_id = v_id where user_id = p_user_id;
  update archon_mcp_user_days set user_id = v_id where user_id = p_user_id;
  perform archon_mcp_count_ended_sessions(array[p_user_id, v_id]);
  update archon_mcp_audit
  set actor_id = case when actor_id = p_user_id then v_id else actor_id end,
      target_id = replace(target_id, v_old, v_id::text),
      details = replace(details::text, v_old, v_id::text)::jsonb
  where v_old in (actor_id::text, target_id) or strpos(details::text, v_old) > 0;
  if to_regclass('archon_mcp_set_aside') is not null then
    delete from archon_mcp_set_aside where table_name = 'archon_mcp_access_tokens' and content ->> 'user_id' = v_old;
    update archon_mcp_set_aside as kept
    set content = replace(kept.content::text, v_old, v_id::text)::jsonb || coalesce(
      (
        select jsonb_object_agg(
          field.key,
          case field.key
            when 'metadata' then '{}'::jsonb when 'issuer' then '"erased"'::jsonb when 'subject' then to_jsonb(v_id)
            else 'null'::jsonb
          end
        )
        from jsonb_object_keys(kept.content) as field (key)
        where field.key in (
          'email', 'name', 'user_email', 'user_name', 'error_message', 'client_name', 'client_capabilities',
          'derived_key', 'metadata', 'issuer'
        ) or field.key = 'subject' and kept.table_name = 'archon_mcp_users'
      ),
      '{}'
    )
    where strpos(kept.content::text, v_old) > 0;
  end if;
  perform set_config('archon_mcp.rollups', '', true);
  perform set_config('archon_mcp.audit_opened', '', true);
end
$$;

do $$
declare
  v_routine regprocedure;
  v_name text;
begin
  for v_routine, v_name in
    select oid::regprocedure, proname from pg_proc
    where pronamespace = current_schema()::regnamespace
      and proname in (
        'archon_mcp_drop_names', 'archon_mcp_store_names', 'archon_mcp_retain', 'archon_mcp_kept_of', 'archon_mcp_erase_user'
      )
  loop
    execute format('alter function %s set search_path = %I, pg_temp', v_routine, current_schema());
    execute format('revoke all on function %s from public, anon, authenticated', v_routine);
    if v_name <> 'archon_mcp_drop_names' then
      execute format('grant execute on function %s to service_role', v_routine);
    end if;
  end loop;
end
$$;

-- What an earlier way down set aside.
insert into archon_mcp_retention
select (jsonb_populate_record(null::archon_mcp_retention, taken.content)).*
from archon_mcp_take_back(12, 'archon_mcp_retention') as taken;
insert into archon_mcp_retention default values on conflict do nothing;
select archon_mcp_store_names(false) from archon_mcp_retention where not stores_names;

select archon_mcp_remember('archon_mcp_retention');

-- migrate:down
select archon_mcp_refuse_additions('archon_mcp_retention');
select archon_mcp_set_aside_rows(12, 'archon_mcp_retention', 'kept.updated_at is not null');
drop function archon_mcp_erase_user;
drop function archon_mcp_kept_of;
drop function archon_mcp_retain;
drop function archon_mcp_store_names;
drop trigger archon_mcp_sessions_nameless on archon_mcp_sessions;
drop trigger archon_mcp_users_nameless on archon_mcp_users;
drop function archon_mcp_drop_names;
drop index archon_mcp_requests_texts;
drop table archon_mcp_retention;
