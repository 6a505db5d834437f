-- The seed's views and functions, answering right, and the triggers that let Archon's own writers go on beside us.
-- An Archon database has them already: theirs are recorded and come back on the way down.

-- migrate:up
do $$
declare
  v_object record;
begin
  for v_object in
    select 'view' as kind, class.relname::text as name,
           format('drop view %I', class.relname) as drops,
           format(
             'create view %I%s as %s comment on view %1$I is %4$L', class.relname,
             coalesce(' with (' || array_to_string(class.reloptions, ', ') || ')', ''), pg_get_viewdef(class.oid),
             obj_description(class.oid, 'pg_class')
           ) as definition,
           archon_mcp_rights(coalesce(class.relacl, acldefault('r', class.relowner))) as rights
    from pg_class as class
    where class.relnamespace = current_schema()::regnamespace
      and class.relkind = 'v'
      and class.relname in ('archon_mcp_user_stats', 'archon_mcp_session_stats')
    union all
    select 'trigger', trigger.tgname,
           format('drop trigger %I on archon_mcp_requests', trigger.tgname),
           pg_get_triggerdef(trigger.oid) || format(
             '; alter table archon_mcp_requests %s trigger %I; comment on trigger %2$I on archon_mcp_requests is %L',
             case trigger.tgenabled
               when 'D' then 'disable' when 'R' then 'enable replica' when 'A' then 'enable always' else 'enable'
             end,
             trigger.tgname, obj_description(trigger.oid, 'pg_trigger')
           ),
           null
    from pg_trigger as trigger
    where trigger.tgrelid = 'archon_mcp_requests'::regclass
      and trigger.tgfoid = to_regproc('update_session_status')
    union all
    select 'function', routine.oid::regprocedure::text,
           format('drop function %s', routine.oid::regprocedure),
           pg_get_functiondef(routine.oid) || format(
             '; comment on function %s is %L', routine.oid::regprocedure, obj_description(routine.oid, 'pg_proc')
           ),
           archon_mcp_rights(coalesce(routine.proacl, acldefault('f', routine.proowner)))
    from pg_proc as routine
    where routine.pronamespace = current_schema()::regnamespace
      and routine.proname in (
        'update_session_status', 'get_user_sessions', 'get_user_activity_summary', 'get_active_mcp_clients',
        'get_disconnected_sessions', 'get_mcp_usage_summary', 'get_mcp_usage_by_tool'
      )
    -- A trigger goes before its function.
    order by kind desc
  loop
    insert into archon_mcp_adopted (kind, name, definition, rights)
    values (v_object.kind, v_object.name, v_object.definition, v_object.rights);
    execute v_object.drops;
  end loop;
end
$$;

-- Archon ends a session in more than one way, and not always whole. However it is done, an ended session has its
-- moment, reason and duration, and stays ended.
create function archon_mcp_session_end() returns trigger
language plpgsql
as $$
begin
  if old.disconnected_at is not null or old.status = 'disconnected' then
    new.disconnected_at := coalesce(old.disconnected_at, new.disconnected_at, old.last_activity);
    new.disconnect_reason := coalesce(old.disconnect_reason, new.disconnect_reason);
    new.total_duration := coalesce(old.total_duration, new.total_duration);
  end if;
  new.status := 'disconnected';
  new.disconnected_at := coalesce(new.disconnected_at, now());
  new.disconnect_reason := coalesce(new.disconnect_reason, 'client_disconnect');
  new.total_duration := coalesce(
    new.total_duration,
    greatest(extract(epoch from new.disconnected_at - new.connected_at), 0)::integer
  );
  return new;
end
$$;
create trigger archon_mcp_session_end
  before update on archon_mcp_sessions
  for each row
  when (old.disconnected_at is not null or old.status = 'disconnected'
    or new.disconnected_at is not null or new.status = 'disconnected')
  execute function archon_mcp_session_end();

-- Whoever opens a session: it belongs to the department that its user is in at that moment.
create function archon_mcp_session_begin() returns trigger
language plpgsql
as $$
begin
  new.department := (
    select coalesce(known.assigned_department, known.claimed_department)
    from archon_mcp_users as known
    where known.user_id = new.user_id
  );
  return new;
end
$$;
create trigger archon_mcp_session_begin
  before insert on archon_mcp_sessions
  for each row
  when (new.user_id is not null and new.department is null)
  execute function archon_mcp_session_begin();

-- Rows that the ledger did not write: they know their user through the session, and are what keeps it alive.
create function archon_mcp_foreign_call() returns trigger
language plpgsql
as $$
declare
  v_session archon_mcp_sessions;
begin
  select session.* into v_session from archon_mcp_sessions as session where session.session_id = new.session_id;
  new.user_id := coalesce(new.user_id, v_session.user_id);
  new.department := coalesce(new.department, (
    select coalesce(known.assigned_department, known.claimed_department)
    from archon_mcp_users as known
    where known.user_id = new.user_id
  ));
  new.client_type := coalesce(new.client_type, v_session.client_type);
  new.cost := coalesce(new.estimated_cost, 0);
  return new;
end
$$;
create trigger archon_mcp_foreign_call
  before insert on archon_mcp_requests
  for each row
  when (new.kind is null)
  execute function archon_mcp_foreign_call();

create function update_session_status() returns trigger
language plpgsql
as $$
begin
  update archon_mcp_sessions as session
  set last_activity = greatest(session.last_activity, new.timestamp),
      status = case
        when greatest(session.last_activity, new.timestamp) > now() - make_interval(secs => session.idle_after_seconds)
          then 'active'
        else 'idle'
      end
  where session.session_id = new.session_id
    and session.disconnected_at is null
    and session.status <> 'disconnected';
  return null;
end
$$;
create trigger trigger_update_session_status
  after insert on archon_mcp_requests
  for each row
  when (new.kind is null)
  execute function update_session_status();

create view archon_mcp_session_stats with (security_invoker = true) as
select session.client_type,
       count(*) as total_sessions,
       count(*) filter (where session.disconnected_at is null) as active_sessions,
       count(*) filter (where session.disconnected_at is not null) as disconnected_sessions,
       avg(duration.seconds) as avg_duration_seconds,
       max(duration.seconds) as max_duration_seconds,
       count(*) filter (where session.disconnect_reason in ('timeout', 'timeout_no_activity')) as timeout_disconnects,
       count(*) filter (where session.disconnect_reason = 'client_disconnect') as client_disconnects,
       count(*) filter (where session.disconnect_reason = 'server_shutdown') as server_shutdown_disconnects,
       count(*) filter (where session.disconnect_reason like 'error%') as error_disconnects
from archon_mcp_sessions as session
cross join lateral (
  select coalesce(
    session.total_duration,
    extract(epoch from session.disconnected_at - session.connected_at)::integer
  ) as seconds
) as duration
group by session.client_type;

create function get_active_mcp_clients() returns table (
  session_id uuid, client_type varchar, client_version varchar, connected_at timestamptz, last_activity timestamptz,
  total_duration integer, status varchar, disconnect_reason varchar
)
language sql
stable
as $$
  select session.session_id, session.client_type, session.client_version, session.connected_at,
         session.last_activity, session.total_duration, session.status, session.disconnect_reason
  from archon_mcp_sessions as session
  where session.disconnected_at is null
    and session.status in ('active', 'idle')
  order by session.last_activity desc
$$;

create function get_mcp_usage_summary(start_date timestamptz, end_date timestamptz) returns table (
  total_requests bigint, total_prompt_tokens bigint, total_completion_tokens bigint, total_tokens bigint,
  total_cost numeric, unique_sessions bigint
)
language sql
stable
as $$
  select count(*),
         coalesce(sum(call.prompt_tokens), 0)::bigint,
         coalesce(sum(call.completion_tokens), 0)::bigint,
         coalesce(sum(coalesce(call.prompt_tokens, 0) + coalesce(call.completion_tokens, 0)), 0)::bigint,
         coalesce(sum(case when call.kind is null then call.estimated_cost else call.cost end), 0),
         count(distinct call.session_id)
  from archon_mcp_requests as call
  where call.timestamp between start_date and end_date
    and call.status = 'success'
$$;

create function get_mcp_usage_by_tool(start_date timestamptz, end_date timestamptz) returns table (
  tool_name varchar, request_count bigint, total_tokens bigint, total_cost numeric, avg_duration_ms numeric
)
language sql
stable
as $$
  select call.tool_name,
         count(*),
         coalesce(sum(coalesce(call.prompt_tokens, 0) + coalesce(call.completion_tokens, 0)), 0)::bigint,
         coalesce(sum(case when call.kind is null then call.estimated_cost else call.cost end), 0),
         avg(call.duration_ms)
  from archon_mcp_requests as call
  where call.timestamp between start_date and end_date
    and call.status = 'success'
    and call.tool_name is not null
  group by call.tool_name
  order by count(*) desc
$$;

revoke all on archon_mcp_session_stats from public, anon, authenticated, service_role;
grant select on archon_mcp_session_stats to service_role;
do $$
declare
  v_routine regprocedure;
  v_result text;
begin
  for v_routine, v_result in
    select routine.oid::regprocedure, routine.prorettype::regtype::text
    from pg_proc as routine
    where routine.pronamespace = current_schema()::regnamespace
      and routine.proname in (
        'archon_mcp_session_begin', 'archon_mcp_session_end', 'archon_mcp_foreign_call', 'update_session_status',
        'get_active_mcp_clients', 'get_mcp_usage_summary', 'get_mcp_usage_by_tool'
      )
  loop
    execute format('revoke all on function %s from public, anon, authenticated, service_role', v_routine);
    if v_result <> 'trigger' then
      execute format('grant execute on function %s to service_role', v_routine);
    end if;
  end loop;
end
$$;

-- migrate:down
drop function get_mcp_usage_by_tool(timestamptz, timestamptz);
drop function get_mcp_usage_summary(timestamptz, timestamptz);
drop function get_active_mcp_clients();
drop view archon_mcp_session_stats;
drop trigger trigger_update_session_status on archon_mcp_requests;
drop function update_session_status();
drop trigger archon_mcp_foreign_call on archon_mcp_requests;
drop function archon_mcp_foreign_call();
drop trigger archon_mcp_session_end on archon_mcp_sessions;
drop function archon_mcp_session_end();
drop trigger archon_mcp_session_begin on archon_mcp_sessions;
drop function archon_mcp_session_begin();
do $$
declare
  v_object record;
begin
  for v_object in
    select kind, name, definition
    from archon_mcp_adopted
    where kind in ('view', 'function', 'trigger')
    -- A function goes before the trigger that calls it, and before the views that may.
    order by kind = 'view', kind = 'trigger'
  loop
    execute v_object.definition;
    if v_object.kind <> 'trigger' then
      perform archon_mcp_restore_rights(v_object.kind, v_object.name);
    end if;
  end loop;
  delete from archon_mcp_adopted where kind in ('view', 'function', 'trigger');
end
$$;
