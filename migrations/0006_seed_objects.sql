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

-- One row a user: totals over all their sessions and calls, and what they are called now. A live session is active
-- whether idle or not, so that active and disconnected add up to the total. A user may have calls and no session.
create view archon_mcp_user_stats with (security_invoker = true) as
select part.user_id,
       coalesce(known.email, max(part.user_email))::varchar as user_email,
       coalesce(known.name, max(part.user_name))::varchar as user_name,
       coalesce(max(part.total_sessions), 0) as total_sessions,
       coalesce(max(part.active_sessions), 0) as active_sessions,
       coalesce(max(part.disconnected_sessions), 0) as disconnected_sessions,
       max(part.avg_session_duration_seconds) as avg_session_duration_seconds,
       max(part.max_session_duration_seconds) as max_session_duration_seconds,
       max(part.first_session_at) as first_session_at,
       max(part.last_activity_at) as last_activity_at,
       coalesce(max(part.total_requests), 0) as total_requests,
       coalesce(max(part.total_tokens), 0) as total_tokens,
       coalesce(max(part.total_cost), 0) as total_cost
from (
  select session.user_id,
         (array_agg(session.user_email order by session.last_activity desc, session.session_id)
           filter (where session.user_email is not null))[1] as user_email,
         (array_agg(session.user_name order by session.last_activity desc, session.session_id)
           filter (where session.user_name is not null))[1] as user_name,
         count(*) as total_sessions,
         count(*) filter (where session.disconnected_at is null) as active_sessions,
         count(*) filter (where session.disconnected_at is not null) as disconnected_sessions,
         avg(duration.seconds) as avg_session_duration_seconds,
         max(duration.seconds) as max_session_duration_seconds,
         min(session.connected_at) as first_session_at,
         max(session.last_activity) as last_activity_at,
         null::bigint as total_requests,
         null::bigint as total_tokens,
         null::numeric as total_cost
  from archon_mcp_sessions as session
  -- Archon left the duration of a timed-out session empty.
  cross join lateral (
    select coalesce(
      session.total_duration,
      extract(epoch from session.disconnected_at - session.connected_at)::integer
    ) as seconds
  ) as duration
  where session.user_id is not null
  group by session.user_id
  union all
  select call.user_id, null, null, null, null, null, null, null, null, max(call.timestamp),
         count(*),
         sum(coalesce(call.prompt_tokens, 0) + coalesce(call.completion_tokens, 0))::bigint,
         sum(case when call.kind is null then coalesce(call.estimated_cost, 0) else call.cost end)
  from archon_mcp_requests as call
  where call.user_id is not null
    and call.status <> 'open'
  group by call.user_id
) as part
left join archon_mcp_users as known on known.user_id = part.user_id
group by part.user_id, known.email, known.name;

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

create function get_user_sessions(
  p_user_id uuid,
  start_date timestamptz default now() - interval '30 days',
  end_date timestamptz default now()
) returns table (
  session_id uuid, client_type varchar, client_version varchar, connected_at timestamptz,
  disconnected_at timestamptz, total_duration integer, status varchar, disconnect_reason varchar,
  total_requests bigint
)
language sql
stable
as $$
  select session.session_id, session.client_type, session.client_version, session.connected_at,
         session.disconnected_at,
         coalesce(session.total_duration, extract(epoch from session.disconnected_at - session.connected_at)::integer),
         case when session.disconnected_at is null then session.status else 'disconnected' end,
         session.disconnect_reason,
         (
           select count(*)
           from archon_mcp_requests as call
           where call.session_id = session.session_id and call.status <> 'open'
         )
  from archon_mcp_sessions as session
  where session.user_id = p_user_id
    and session.connected_at between start_date and end_date
  order by session.connected_at desc
$$;

-- What a user did in the last days: the calls of those days, and the sessions that were alive in them, whenever
-- they began.
create function get_user_activity_summary(p_user_id uuid, days integer default 30) returns table (
  user_id uuid, user_email varchar, user_name varchar, total_sessions bigint, active_sessions bigint,
  total_requests bigint, total_tokens bigint, total_cost numeric, avg_session_duration integer,
  most_used_client varchar, first_seen timestamptz, last_seen timestamptz
)
language sql
stable
as $$
  select stats.user_id, stats.user_email, stats.user_name,
         seen.total_sessions, seen.active_sessions,
         used.total_requests, used.total_tokens, used.total_cost,
         seen.avg_session_duration, favourite.client_type, seen.first_seen, seen.last_seen
  from archon_mcp_user_stats as stats
  cross join lateral (
    select count(*) as total_sessions,
           count(*) filter (where session.disconnected_at is null) as active_sessions,
           avg(coalesce(
             session.total_duration,
             extract(epoch from session.disconnected_at - session.connected_at)::integer
           ))::integer as avg_session_duration,
           min(session.connected_at) as first_seen,
           max(session.last_activity) as last_seen
    from archon_mcp_sessions as session
    where session.user_id = p_user_id
      and coalesce(session.disconnected_at, session.last_activity) >= now() - make_interval(days => days)
  ) as seen
  cross join lateral (
    select count(*) as total_requests,
           coalesce(sum(coalesce(call.prompt_tokens, 0) + coalesce(call.completion_tokens, 0)), 0)::bigint as total_tokens,
           coalesce(sum(case when call.kind is null then call.estimated_cost else call.cost end), 0) as total_cost
    from archon_mcp_requests as call
    where call.user_id = p_user_id
      and call.status <> 'open'
      and call.timestamp >= now() - make_interval(days => days)
  ) as used
  left join lateral (
    select session.client_type
    from archon_mcp_sessions as session
    where session.user_id = p_user_id
      and coalesce(session.disconnected_at, session.last_activity) >= now() - make_interval(days => days)
    group by session.client_type
    order by count(*) desc, max(session.last_activity) desc
    limit 1
  ) as favourite on true
  where stats.user_id = p_user_id
    and (seen.total_sessions > 0 or used.total_requests > 0)
$$;

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

create function get_disconnected_sessions(
  start_date timestamptz default now() - interval '7 days',
  end_date timestamptz default now()
) returns table (
  session_id uuid, client_type varchar, client_version varchar, connected_at timestamptz,
  disconnected_at timestamptz, total_duration integer, disconnect_reason varchar, total_requests bigint
)
language sql
stable
as $$
  select session.session_id, session.client_type, session.client_version, session.connected_at,
         session.disconnected_at,
         coalesce(session.total_duration, extract(epoch from session.disconnected_at - session.connected_at)::integer),
         session.disconnect_reason,
         (
           select count(*)
           from archon_mcp_requests as call
           where call.session_id = session.session_id and call.status <> 'open'
         )
  from archon_mcp_sessions as session
  where session.disconnected_at between start_date and end_date
  order by session.disconnected_at desc
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

revoke all on archon_mcp_user_stats, archon_mcp_session_stats from public, anon, authenticated, service_role;
grant select on archon_mcp_user_stats, archon_mcp_session_stats to service_role;
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
        'archon_mcp_session_begin', 'archon_mcp_session_end', 'archon_mcp_foreign_call', 'update_session_status', 'get_user_sessions',
        'get_user_activity_summary', 'get_active_mcp_clients', 'get_disconnected_sessions', 'get_mcp_usage_summary',
        'get_mcp_usage_by_tool'
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
drop function get_disconnected_sessions(timestamptz, timestamptz);
drop function get_active_mcp_clients();
drop function get_user_activity_summary(uuid, integer);
drop function get_user_sessions(uuid, timestamptz, timestamptz);
drop view archon_mcp_session_stats;
drop view archon_mcp_user_stats;
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
