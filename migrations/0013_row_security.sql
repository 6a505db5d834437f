-- Who sees what, by the database: the caller is whom the claims name that PostgREST, Supabase and our own reports set
-- for a transaction (`request.jwt.claims`), with the role and the department of their row. Every policy and every
-- report goes by the same function, archon_mcp_sees(). On Archon's three tables the policies wait for row-level
-- security to be turned on (archon_mcp_enable_rls(), or `alter table … enable row level security`); on all others it
-- is on from birth.

-- migrate:up

-- Whose things each role may see. A member sees their own; a manager besides what belongs to their department.
create function archon_mcp_sees_everyone(p_role text) returns boolean
language sql
immutable
parallel safe
as $$
  -- Of nobody it is false, and never null, so that no negation of it lets them pass.
  select coalesce(p_role in ('finance', 'admin', 'service'), false)
$$;
comment on function archon_mcp_sees_everyone is 'roles that see every user, session and sum';

create function archon_mcp_sees_every_call(p_role text) returns boolean
language sql
immutable
parallel safe
as $$
  select coalesce(p_role in ('admin', 'service'), false)
$$;
comment on function archon_mcp_sees_every_call is 'roles that read every single call; finance reads sums of them';

create function archon_mcp_manages(p_role text, p_department text) returns text
language sql
immutable
parallel safe
as $$
  select case p_role when 'manager' then p_department end
$$;
comment on function archon_mcp_manages is 'the department whose things a caller sees beside their own';

-- The rule of who sees a row. Calls and sessions carry the department in which their user was when they began: so a
-- manager sees what somebody did while a member of theirs, before they came and after they left nothing. Every
-- argument stands once, so that Postgres puts the body in its place and finds the rows by index.
create function archon_mcp_sees(
  p_everyone boolean, p_user_id uuid, p_manages text, p_owner uuid, p_department text
) returns boolean
language sql
immutable
parallel safe
as $$
  select p_everyone or p_owner = p_user_id or p_department = p_manages
$$;
comment on function archon_mcp_sees is 'whether a caller sees a row: everybody''s, their own, or of the department they manage';

create type archon_mcp_who as (
  role text, user_id uuid, department text, everyone boolean, every_call boolean, manages text
);
comment on type archon_mcp_who is 'who asks, and what follows from it; of nobody there is no role';

-- Who asks. Without role, user and department for who is not known here, blocked or cut off, and for claims that cannot be read.
create function archon_mcp_caller() returns archon_mcp_who
language plpgsql
stable
parallel safe
security definer
as $$
declare
  -- Whoever defined this function is current_user in it.
  v_login constant text := coalesce(nullif(current_setting('role'), 'none'), session_user);
  v_text constant text := current_setting('request.jwt.claims', true);
  v_claims json;
  v_iat text;
  v_who archon_mcp_who;
begin
  v_who.everyone := false;
  v_who.every_call := false;
  if pg_has_role(v_login, 'service_role', 'usage') or pg_has_role(v_login, current_user, 'usage') then
    v_who.role := 'service';
  else
    -- No exception is caught: that takes a subtransaction, which a parallel plan does not allow before Postgres 17.
    if coalesce(v_text, '') = '' then
      return v_who;
    elsif current_setting('server_version_num')::integer >= 160000 then
      if not pg_input_is_valid(v_text, 'json') then
        return v_who;
      end if;
    elsif v_text !~ '^\s*\{.*\}\s*$' then
      return v_who;
    end if;
    v_claims := v_text;
    v_iat := v_claims ->> 'iat';
    select coalesce(known.assigned_role, known.claimed_role), known.user_id,
           coalesce(known.assigned_department, known.claimed_department)
    into v_who.role, v_who.user_id, v_who.department
    from archon_mcp_users as known
    where known.issuer = v_claims ->> 'iss'
      and known.subject = v_claims ->> 'sub'
      and known.blocked_at is null
      -- As the ledger has it: a token that does not say when it was issued is refused once anything was revoked.
      and (known.revoked_at is null
        or known.revoked_at < case when v_iat ~ '^\d{1,12}(\.\d{1,9})?$' then to_timestamp(v_iat::double precision) end);
  end if;
  v_who.everyone := archon_mcp_sees_everyone(v_who.role);
  v_who.every_call := archon_mcp_sees_every_call(v_who.role);
  v_who.manages := archon_mcp_manages(v_who.role, v_who.department);
  return v_who;
end
$$;
comment on function archon_mcp_caller is 'who asks, by the claims of the transaction and the row that they name';

-- Nobody's table, temporary ones included, takes the place of ours in what runs with the owner's rights.
do $$
begin
  execute format('alter function archon_mcp_caller() set search_path = %I, pg_temp', current_schema());
end
$$;

-- Policies that let signed-in users or anybody read Archon's tables. They would add to ours, since it takes only one
-- to let a row pass: Archon's `using (true)`, and its `or user_id is null`. Kept here, and given back on the way down.
create function archon_mcp_take_policies(p_tables text[]) returns void
language plpgsql
as $$
declare
  v_policy record;
begin
  for v_policy in
    select policy.polname as name, class.relname as place,
           format(
             'create policy %1$I on %2$I as %3$s for %4$s to %5$s%6$s%7$s; comment on policy %1$I on %2$I is %8$L',
             policy.polname, class.relname, case when policy.polpermissive then 'permissive' else 'restrictive' end,
             case policy.polcmd
               when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all'
             end,
             (
               select string_agg(case role when 0 then 'public' else quote_ident(pg_get_userbyid(role)) end, ', ')
               from unnest(policy.polroles) as role
             ),
             ' using (' || pg_get_expr(policy.polqual, policy.polrelid) || ')',
             ' with check (' || pg_get_expr(policy.polwithcheck, policy.polrelid) || ')',
             obj_description(policy.oid, 'pg_policy')
           ) as definition
    from pg_policy as policy
    join pg_class as class on class.oid = policy.polrelid
    where class.relnamespace = current_schema()::regnamespace
      and class.relname = any (p_tables)
      and policy.polpermissive
      and policy.polname <> class.relname || '_caller'
      and exists (
        select from unnest(policy.polroles) as role
        where role = 0 or pg_get_userbyid(role) in ('anon', 'authenticated')
      )
  loop
    execute format('drop policy %I on %I', v_policy.name, v_policy.place);
    insert into archon_mcp_adopted (kind, name, definition)
    values ('policy', v_policy.place || '.' || v_policy.name, v_policy.definition)
    on conflict (kind, name) do update set definition = excluded.definition;
  end loop;
end
$$;
select archon_mcp_take_policies(array(select name from archon_mcp_adopted where kind = 'table'));
insert into archon_mcp_adopted (kind, name, definition)
select 'row security', class.relname,
       format('alter table %I %s row level security', class.relname, case when class.relrowsecurity then 'enable' else 'disable' end)
from archon_mcp_adopted as adopted
join pg_class as class on class.oid = to_regclass(adopted.name)
where adopted.kind = 'table';

-- Where it was on when an earlier way down took the policies away, it is on again.
do $$
declare
  v_table text;
begin
  for v_table in select content ->> 'name' from archon_mcp_take_back(13, 'archon_mcp_adopted') loop
    execute format('alter table %I enable row level security', v_table);
  end loop;
end
$$;

-- The switch of Archon's three tables, for their owner.
create function archon_mcp_enable_rls() returns void
language plpgsql
as $$
begin
  perform archon_mcp_take_policies(array['archon_mcp_sessions', 'archon_mcp_requests', 'archon_llm_pricing']);
  alter table archon_mcp_sessions enable row level security;
  alter table archon_mcp_requests enable row level security;
  alter table archon_llm_pricing enable row level security;
end
$$;
comment on function archon_mcp_enable_rls is 'turns row-level security on for sessions, requests and prices';

create function archon_mcp_disable_rls() returns void
language plpgsql
as $$
begin
  alter table archon_mcp_sessions disable row level security;
  alter table archon_mcp_requests disable row level security;
  alter table archon_llm_pricing disable row level security;
end
$$;
comment on function archon_mcp_disable_rls is 'turns it off: whoever may select then sees all';

-- What a holder used of a budget that nobody needed yet, for who may see that budget.
create function archon_mcp_seen_spent(
  p_holder text, p_metric text, p_tools text[], p_models text[], p_from timestamptz, p_to timestamptz,
  out used numeric, out held numeric, out excess numeric, out excess_calls bigint
)
language plpgsql
stable
security definer
as $$
declare
  v_who constant archon_mcp_who := archon_mcp_caller();
begin
  if v_who.everyone
    or p_holder = 'everyone' and v_who.user_id is not null
    or p_holder = 'department ' || v_who.department
    or exists (
      select from archon_mcp_users as known
      where p_holder = 'user ' || known.user_id
        and archon_mcp_sees(
          v_who.everyone, v_who.user_id, v_who.manages,
          known.user_id, coalesce(known.assigned_department, known.claimed_department)
        )
    )
  then
    select spent.* into used, held, excess, excess_calls
    from archon_mcp_spent(p_holder, p_metric, p_tools, p_models, p_from, p_to) as spent;
  end if;
end
$$;
-- Sums of calls, for who may see the sums: of everybody's calls also for finance, which reads no single one of them.
create type archon_mcp_call_sum as (
  user_id uuid, session_id uuid, department text, client_type text, tool text, tool_name text, model text,
  quarter timestamptz, ms integer, calls bigint, success bigint, timeouts bigint, prompt_tokens bigint, completion_tokens bigint,
  cost numeric, success_prompt_tokens bigint, success_completion_tokens bigint, success_cost numeric,
  unpriced_calls bigint, estimated_calls bigint, duration_ms bigint, timed_calls bigint, first_at timestamptz,
  last_at timestamptz
);

-- The roll-up that knows all these dimensions, or null where only the calls do; p_whole wants every sum of the answer,
-- and not calls, successes, tokens, costs, unpriced and estimated ones alone.
create function archon_mcp_rollup_of(p_dimensions text[], p_whole boolean) returns text
language sql
immutable
as $$
  select case
    when 'ms' = any (p_dimensions) and p_dimensions <@ '{tool,department,ms}' then 'archon_mcp_duration_days'
    when p_dimensions <@ '{department,quarter}' then 'archon_mcp_quarters'
    when p_dimensions <@ '{department,client_type,tool,model}' then 'archon_mcp_tool_days'
    when p_dimensions <@ '{user_id,department}' and not p_whole then 'archon_mcp_user_days'
  end
$$;

-- Whether to take a whole day of UTC from a roll-up, and what lies outside of the period away again: where that is
-- less than what lies inside, its calls are there, and none of them took a time, of which the roll-up knows buckets
-- alone.
create function archon_mcp_takes_whole(
  p_rollup text, p_day timestamptz, p_outside_from timestamptz, p_outside_to timestamptz
) returns boolean
language sql
stable
as $$
  select p_day >= (select complete_from from archon_mcp_watermark)::timestamp at time zone 'UTC'
    and (
      select coalesce(
        2 * sum(quarter.calls) filter (
          where quarter.quarter > p_outside_from - interval '15 minutes' and quarter.quarter < p_outside_to
        ) <= sum(quarter.calls),
        true
      )
      from archon_mcp_quarters as quarter
      where quarter.quarter >= p_day and quarter.quarter < p_day + interval '24 hours'
    )
    and (p_rollup <> 'archon_mcp_duration_days' or not exists (
      select from archon_mcp_requests as call
      where call.timestamp >= p_outside_from and call.timestamp < p_outside_to and call.duration_ms is not null
    ))
$$;

-- The calls of a period that have ended, summed up by any of the first nine columns of the answer; by none of them in
-- one row. `tool` is the method of what is none, `quarter` a quarter of an hour, `ms` how long calls took. By model, a
-- call counts in the row of each that it used, and without a model if it used none or its tool has a price of its own:
-- tokens and costs add up, calls do not. Whole days of UTC (quarters of an hour, by those) come from a roll-up where one
-- knows what is asked. Of a day in which the period begins or ends the part inside is added from the calls, or the part
-- outside taken away from the whole day, whichever has fewer of them: of a period up to now that is none. `ms` of whole
-- days is the mean of a bucket that is sqrt(2) wide, where they have more than 100,000 calls.
create function archon_mcp_call_sums(
  p_by text[], p_from timestamptz, p_to timestamptz,
  -- Null for all.
  p_user_id uuid default null, p_department text default null, p_session_id uuid default null,
  -- Of models that had no price alone.
  p_unpriced boolean default false,
  -- For whom a program asks: role, id and department. Whoever else asks, asks for themselves.
  p_role text default null, p_viewer uuid default null, p_viewer_department text default null,
  -- Without: calls, successes, tokens, costs, unpriced and estimated ones; the others are 0.
  p_whole boolean default true,
  -- Those alone that succeeded.
  p_succeeded boolean default false,
  -- Of MCP or of the API alone.
  p_kind text default null
) returns setof archon_mcp_call_sum
language plpgsql
stable
security definer
-- A plan of its own for each question: of a cached one the planner knows neither period nor user. Compiling one takes
-- longer than running it, and groups of many users spill over what a session has by default.
set plan_cache_mode = force_custom_plan
set jit = off
set work_mem = '32MB'
as $$
declare
  v_who archon_mcp_who := archon_mcp_caller();
  v_by_model constant boolean := 'model' = any (p_by);
  v_columns constant text[] := array[
    'user_id', 'session_id', 'department', 'client_type', 'tool', 'tool_name', 'model', 'quarter', 'ms'
  ];
  v_types constant text[] := array['uuid', 'uuid', 'text', 'text', 'text', 'text', 'text', 'timestamptz', 'integer'];
  v_sums constant text[] := array[
    'calls', 'success', 'timeouts', 'prompt_tokens', 'completion_tokens', 'cost', 'success_prompt_tokens',
    'success_completion_tokens', 'success_cost', 'unpriced_calls', 'estimated_calls', 'duration_ms', 'timed_calls'
  ];
  v_wanted constant text[] := case when p_whole then v_sums else array[
    'calls', 'success', 'prompt_tokens', 'completion_tokens', 'cost', 'unpriced_calls', 'estimated_calls'
  ] end;
  -- The sums of rows that are sums already, and those taken away.
  v_added constant text := (
    select string_agg(
      format(
        case when name = any (v_wanted) then 'coalesce(sum(call.%1$I), 0)::%2$s as %1$I' else '0::%2$s as %1$I' end,
        name, case when name like '%cost' then 'numeric' else 'bigint' end
      ), ', ' order by place)
    from unnest(v_sums) with ordinality as sum (name, place)
  );
  v_negated constant text := (
    select string_agg(format('-call.%1$I as %1$I', name), ', ' order by place)
             || ', null::timestamptz as first_at, null::timestamptz as last_at'
    from unnest(v_sums) with ordinality as sum (name, place)
  );
  v_from constant timestamptz := coalesce(p_from, '-infinity');
  v_to constant timestamptz := greatest(coalesce(p_to, 'infinity'), v_from);
  v_kept text;
  v_groups text;
  v_rollup text;
  -- What the roll-up answers.
  v_rolled_from timestamptz;
  v_rolled_to timestamptz;
  v_day timestamptz;
  v_beside text;
  -- The sums of calls, on both sides of the condition that says which.
  v_calls text;
  v_grouped text;
  v_parts text;
begin
  if v_who.role = 'service' and p_role is distinct from 'service' and p_role is not null then
    v_who := row(
      p_role, p_viewer, p_viewer_department, archon_mcp_sees_everyone(p_role), archon_mcp_sees_every_call(p_role),
      archon_mcp_manages(p_role, p_viewer_department)
    )::archon_mcp_who;
  end if;
  select string_agg(
           format('%s::%s as %s', case when name = any (p_by) then 'call.' || name else 'null' end, type, name), ', ' order by place
         ),
         string_agg(case when name = any (p_by) then place::text end, ', ' order by place)
  into v_kept, v_groups
  from unnest(v_columns, v_types) with ordinality as wanted (name, type, place);

  if p_session_id is null and not p_unpriced and not p_succeeded and p_kind is null then
    v_rollup := archon_mcp_rollup_of(
      p_by || case when p_user_id is not null then array['user_id'] end
        || case when p_department is not null then array['department'] end
        -- A member sees by user, and a manager too where the roll-up knows users.
        || case when not v_who.everyone and (v_who.manages is null or 'user_id' = any (p_by) or p_user_id is not null)
             then array['user_id'] end,
      p_whole
    );
  end if;
  if v_rollup is not null then
    if v_rollup = 'archon_mcp_quarters' then
      v_rolled_from := case when v_from = '-infinity' then v_from
        else date_bin('15 minutes', v_from + interval '15 minutes' - interval '1 microsecond', timestamptz 'epoch') end;
      v_rolled_to := case when v_to = 'infinity' then v_to else date_bin('15 minutes', v_to, timestamptz 'epoch') end;
    else
      v_rolled_from := case when v_from = '-infinity' then v_from
        else date_trunc('day', v_from + interval '1 day' - interval '1 microsecond', 'UTC') end;
      v_rolled_to := case when v_to = 'infinity' then v_to else date_trunc('day', v_to, 'UTC') end;
      v_day := v_rolled_from - interval '24 hours';
      if v_from < v_rolled_from and archon_mcp_takes_whole(v_rollup, v_day, v_day, v_from) then
        v_rolled_from := v_day;
      end if;
      v_day := v_rolled_to;
      if v_day < v_to and archon_mcp_takes_whole(v_rollup, v_day, v_to, v_day + interval '24 hours') then
        v_rolled_to := v_day + interval '24 hours';
      end if;
    end if;
    -- Of so few calls times are exact.
    if v_rollup = 'archon_mcp_duration_days' and (
      select coalesce(sum(quarter.timed_calls), 0) <= 100000
      from archon_mcp_quarters as quarter
      where quarter.quarter >= v_rolled_from and quarter.quarter < v_rolled_to
    ) then
      v_rolled_to := v_rolled_from;
    end if;
    if v_rolled_from >= v_rolled_to then
      v_rollup := null;
    elsif not v_who.everyone and v_rollup <> 'archon_mcp_user_days' then
      -- What a manager did outside of the department is theirs to see as well.
      v_beside := format(
        'call.timestamp >= %L and call.timestamp < %L and call.user_id = %L and call.department is distinct from %L',
        v_rolled_from, v_rolled_to, v_who.user_id, v_who.manages
      );
    end if;
  end if;

  v_calls := format(
    $sum$
      select %1$s, %8$s, min(call.at) as first_at, max(call.at) as last_at
      from (
        select call.user_id, call.session_id, call.department::text, call.client_type::text,
               coalesce(nullif(call.tool_name, ''), call.method)::text as tool,
               call.tool_name::text, date_bin('15 minutes', call.timestamp, timestamptz 'epoch') as quarter, call.duration_ms as ms,
               call.timestamp as at, call.status = 'timeout' as timeout, call.status = 'success' as success, call.estimated,
               %2$s
        from archon_mcp_requests as call
        %3$s
        where call.status <> 'open'
          and archon_mcp_sees(%4$L::boolean, %5$L::uuid, %6$L::text, call.user_id, call.department)
          %7$s
          and $sum$,
    v_kept,
    case
      when v_by_model
        then 'line.model, line.calls, line.prompt_tokens, line.completion_tokens, line.cost, line.unpriced'
      else
        '1 as calls, coalesce(call.prompt_tokens, 0) as prompt_tokens,
         coalesce(call.completion_tokens, 0) as completion_tokens,
         case when call.kind is null then coalesce(call.estimated_cost, 0) else call.cost end as cost,
         call.unpriced::integer as unpriced'
    end,
    case when v_by_model then format(
      $lines$
        cross join lateral (
          select used.model::text, 1 as calls, used.prompt_tokens, used.completion_tokens, used.cost,
                 used.unpriced::integer as unpriced
          from archon_mcp_usage as used
          where used.request_id = call.request_id %s
          %s
        ) as line
      $lines$,
      case when p_unpriced then 'and used.unpriced' else '' end,
      case when p_unpriced then '' else
        -- What no line accounts for.
        'union all
         select null, (count(used.model) = 0 or call.tool_cost <> 0)::integer,
                coalesce(call.prompt_tokens, 0) - coalesce(sum(used.prompt_tokens), 0),
                coalesce(call.completion_tokens, 0) - coalesce(sum(used.completion_tokens), 0),
                case when call.kind is null then coalesce(call.estimated_cost, 0) else call.cost end
                  - coalesce(sum(used.cost), 0),
                (count(used.model) = 0 and call.unpriced)::integer
         from archon_mcp_usage as used
         where used.request_id = call.request_id'
      end
    ) end,
    v_who.everyone, v_who.user_id, v_who.manages,
    concat_ws(
      ' ',
      'and call.user_id = ' || quote_literal(p_user_id),
      'and call.department = ' || quote_literal(p_department),
      'and call.session_id = ' || quote_literal(p_session_id),
      -- Calls of other writers have none, and are MCP's.
      case p_kind when 'api' then 'and call.kind = ''api''' when 'mcp' then 'and call.kind is distinct from ''api''' end,
      case when 'ms' = any (p_by) then 'and call.duration_ms is not null' end,
      case when p_succeeded then 'and call.status = ''success''' end
    ),
    (
      select string_agg(
        format(case when name = any (v_wanted) then '%1$s as %2$I' else '0::%3$s as %2$I' end, expression, name,
          case when name like '%cost' then 'numeric' else 'bigint' end), ', ' order by place
      )
      from unnest(v_sums, array[
        'coalesce(sum(call.calls), 0)::bigint',
        'coalesce(sum(call.calls) filter (where call.success), 0)::bigint',
        'coalesce(sum(call.calls) filter (where call.timeout), 0)::bigint',
        'coalesce(sum(call.prompt_tokens), 0)::bigint',
        'coalesce(sum(call.completion_tokens), 0)::bigint',
        'coalesce(sum(call.cost), 0)',
        'coalesce(sum(call.prompt_tokens) filter (where call.success), 0)::bigint',
        'coalesce(sum(call.completion_tokens) filter (where call.success), 0)::bigint',
        'coalesce(sum(call.cost) filter (where call.success), 0)',
        'coalesce(sum(call.unpriced), 0)::bigint',
        'coalesce(sum(call.estimated::integer), 0)::bigint',
        'coalesce(sum(call.ms), 0)::bigint',
        'count(call.ms)'
      ]) with ordinality as sum (name, expression, place)
    )
  );
  v_grouped := concat(') as call', ' group by ' || v_groups);
  if v_rollup is null then
    return query execute v_calls || format('call.timestamp >= %L and call.timestamp < %L', v_from, v_to) || v_grouped;
    return;
  end if;
  v_parts := concat_ws(
    ' union all ',
    -- The edges are asked for one by one: of a condition that joins them the planner reads everything between.
    (
      select string_agg(
        case when edge.inside then edge.calls
          else format('select %s, %s from (%s) as call', array_to_string(v_columns, ', '), v_negated, edge.calls)
        end,
        ' union all '
      )
      from (
        select inside,
               v_calls || format('call.timestamp >= %L and call.timestamp < %L', starts_at, ends_at) || v_grouped as calls
        from (
          values (true, v_from, v_rolled_from), (false, v_rolled_from, v_from),
                 (true, v_rolled_to, v_to), (false, v_to, v_rolled_to)
        ) as edge (inside, starts_at, ends_at)
        where starts_at < ends_at
      ) as edge
    ),
    v_calls || v_beside || v_grouped,
    format(
      $rolled$
        select %1$s, %6$s, null::timestamptz as first_at, null::timestamptz as last_at
        from (select %2$s from %3$I as rolled where %4$s) as call
        %5$s
      $rolled$,
      v_kept,
      case v_rollup
        when 'archon_mcp_quarters' then 'rolled.*'
        when 'archon_mcp_tool_days' then case when v_by_model
          then 'rolled.department, rolled.client_type, rolled.tool, rolled.model, rolled.model_calls as calls,
                rolled.model_success as success, 0 as timeouts, rolled.prompt_tokens, rolled.completion_tokens, rolled.cost,
                rolled.success_prompt_tokens, rolled.success_completion_tokens, rolled.success_cost,
                rolled.model_unpriced_calls as unpriced_calls, rolled.estimated_calls, rolled.duration_ms,
                rolled.timed_calls'
          else 'rolled.*' end
        when 'archon_mcp_user_days'
          then 'rolled.*, 0 as timeouts, 0 as success_prompt_tokens, 0 as success_completion_tokens, 0 as success_cost,
                0 as duration_ms, 0 as timed_calls'
        when 'archon_mcp_duration_days'
          then 'rolled.tool, rolled.department, (rolled.duration_ms / nullif(rolled.calls, 0))::integer as ms, rolled.calls,
                0 as success, 0 as timeouts, 0 as prompt_tokens, 0 as completion_tokens, 0 as cost,
                0 as success_prompt_tokens, 0 as success_completion_tokens, 0 as success_cost, 0 as unpriced_calls,
                0 as estimated_calls, rolled.duration_ms, rolled.calls as timed_calls'
      end,
      v_rollup,
      concat_ws(
        ' and ',
        case when v_rollup = 'archon_mcp_quarters'
          then format('rolled.quarter >= %L and rolled.quarter < %L', v_rolled_from, v_rolled_to)
          else format(
            'rolled.day >= %L and rolled.day < %L',
            case when v_rolled_from = '-infinity' then '-infinity' else (v_rolled_from at time zone 'UTC')::date::text end,
            case when v_rolled_to = 'infinity' then 'infinity' else (v_rolled_to at time zone 'UTC')::date::text end
          )
        end,
        case
          when v_rollup = 'archon_mcp_user_days' then format(
            'archon_mcp_sees(%L::boolean, %L::uuid, %L::text, rolled.user_id, rolled.department)',
            v_who.everyone, v_who.user_id, v_who.manages
          )
          when not v_who.everyone then format('rolled.department = %L', v_who.manages)
        end,
        'rolled.user_id = ' || quote_literal(p_user_id),
        'rolled.department = ' || quote_literal(p_department),
        case when v_rollup = 'archon_mcp_duration_days' then 'rolled.calls <> 0' end
      ),
      'group by ' || v_groups,
      v_added
    )
  );
  return query execute format(
    $all$
      select %1$s, %2$s, min(call.first_at), max(call.last_at)
      from (%3$s) as call
      %4$s
    $all$,
    v_kept, v_added, v_parts,
    -- Where calls were corrected or deleted, a row of a roll-up may have come to nothing.
    'group by ' || v_groups || ' having sum(call.calls) <> 0 or sum(call.prompt_tokens) <> 0
       or sum(call.completion_tokens) <> 0 or sum(call.cost) <> 0'
  );
end
$$;
comment on function archon_mcp_call_sums is 'sums of the calls of a period by user, department, tool, ..., for who may see them';

do $$
begin
  execute format(
    'alter function archon_mcp_seen_spent(text, text, text[], text[], timestamptz, timestamptz) set search_path = %I, pg_temp',
    current_schema()
  );
  execute format(
    'alter function archon_mcp_call_sums(text[], timestamptz, timestamptz, uuid, text, uuid, boolean, text, uuid, text, boolean, boolean, text) '
      'set search_path = %I, pg_temp',
    current_schema()
  );
end
$$;

-- The seed's sums of usage, of what a caller may read the sums of. As they were they come back on the way down.
insert into archon_mcp_adopted (kind, name, definition)
select 'replaced', oid::regprocedure::text, pg_get_functiondef(oid)
from pg_proc
where pronamespace = current_schema()::regnamespace
  and proname in ('get_mcp_usage_summary', 'get_mcp_usage_by_tool');

create or replace function get_mcp_usage_summary(start_date timestamptz, end_date timestamptz) returns table (
  total_requests bigint, total_prompt_tokens bigint, total_completion_tokens bigint, total_tokens bigint,
  total_cost numeric, unique_sessions bigint
)
language sql
stable
as $$
  select call.success, call.success_prompt_tokens, call.success_completion_tokens,
         call.success_prompt_tokens + call.success_completion_tokens, call.success_cost,
         (
           select count(used.session_id)
           from archon_mcp_call_sums('{session_id}', start_date, end_date + interval '1 microsecond') as used
           where used.success > 0
         )
  from (
    select coalesce(sum(part.success), 0)::bigint as success,
           coalesce(sum(part.success_prompt_tokens), 0)::bigint as success_prompt_tokens,
           coalesce(sum(part.success_completion_tokens), 0)::bigint as success_completion_tokens,
           coalesce(sum(part.success_cost), 0) as success_cost
    from archon_mcp_call_sums('{}', start_date, end_date + interval '1 microsecond') as part
  ) as call
$$;

create or replace function get_mcp_usage_by_tool(start_date timestamptz, end_date timestamptz) returns table (
  tool_name varchar, request_count bigint, total_tokens bigint, total_cost numeric, avg_duration_ms numeric
)
language sql
stable
as $$
  select call.tool_name, call.calls, call.prompt_tokens + call.completion_tokens, call.cost,
         call.duration_ms::numeric / nullif(call.timed_calls, 0)
  from archon_mcp_call_sums(
    '{tool_name}', start_date, end_date + interval '1 microsecond', p_succeeded => true
  ) as call
  where call.tool_name is not null
  order by call.calls desc
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
        'archon_mcp_sees_everyone', 'archon_mcp_sees_every_call', 'archon_mcp_manages', 'archon_mcp_sees',
        'archon_mcp_caller', 'archon_mcp_take_policies', 'archon_mcp_enable_rls', 'archon_mcp_disable_rls',
        'archon_mcp_seen_spent', 'archon_mcp_rollup_of', 'archon_mcp_takes_whole', 'archon_mcp_call_sums'
      )
  loop
    execute format('revoke all on function %s from public, anon, authenticated, service_role', v_routine);
    if v_name not in (
      'archon_mcp_take_policies', 'archon_mcp_enable_rls', 'archon_mcp_disable_rls', 'archon_mcp_rollup_of',
      'archon_mcp_takes_whole'
    ) then
      execute format('grant execute on function %s to authenticated, service_role', v_routine);
    end if;
  end loop;

  -- What reports ask beside tables.
  for v_routine in
    select oid::regprocedure from pg_proc
    where pronamespace = current_schema()::regnamespace
      and proname in (
        'archon_mcp_instant', 'archon_mcp_window', 'archon_mcp_window_start', 'archon_mcp_quotas_of',
        'get_user_sessions', 'get_user_activity_summary', 'get_active_mcp_clients', 'get_disconnected_sessions',
        'get_mcp_usage_summary', 'get_mcp_usage_by_tool'
      )
  loop
    execute format('grant execute on function %s to authenticated', v_routine);
  end loop;
end
$$;
grant select on archon_mcp_user_stats, archon_mcp_session_stats to authenticated;

-- The policies. `(select …)` is asked once for a query, and not for each row.
do $$
declare
  v_everyone constant text := '(select (archon_mcp_caller()).everyone)';
  v_every_call constant text := '(select (archon_mcp_caller()).every_call)';
  v_user_id constant text := '(select (archon_mcp_caller()).user_id)';
  v_known constant text := '(select (archon_mcp_caller()).role) is not null';
  -- Those whom the caller sees: this policy's own table is the one of users.
  v_seen_user constant text := 'in (select known.user_id from archon_mcp_users as known)';
  v_sees constant text := format(
    'archon_mcp_sees(%%s, %s, (select (archon_mcp_caller()).manages), %%s, %%s)', v_user_id
  );
  v_table text;
  v_seen text;
begin
  for v_table, v_seen in
    values
      ('archon_mcp_users',
        format(v_sees, v_everyone, 'user_id', 'coalesce(assigned_department, claimed_department)')),
      ('archon_mcp_memberships', format(v_sees, v_everyone, 'user_id', 'department')),
      ('archon_mcp_sessions', format(v_sees, v_everyone, 'user_id', 'department')),
      ('archon_mcp_requests', format(v_sees, v_every_call, 'user_id', 'department')),
      ('archon_mcp_usage', v_every_call || format(
        ' or exists (select from archon_mcp_requests as call where call.request_id = archon_mcp_usage.request_id and %s)',
        format(v_sees, v_every_call, 'call.user_id', 'call.department')
      )),
      ('archon_llm_pricing', v_known),
      ('archon_mcp_tool_prices', v_known),
      ('archon_mcp_rerates', v_everyone),
      -- Limits that hold anybody are no secret; those of one alone are for whoever may see that one, and a
      -- department's for its members.
      ('archon_mcp_quotas', v_everyone || format(
        ' or (%s and case scope
           when ''user'' then subject in (select known.user_id::text from archon_mcp_users as known)
           when ''department'' then subject = (select (archon_mcp_caller()).department)
           else true
         end)', v_known
      )),
      ('archon_mcp_budgets', v_everyone || format(
        ' or (%s and (holder = ''everyone'' or holder = ''department '' || (select (archon_mcp_caller()).department)
           or holder in (select ''user '' || known.user_id from archon_mcp_users as known)))', v_known
      )),
      ('archon_mcp_refusals', v_everyone || ' or user_id ' || v_seen_user),
      ('archon_mcp_repairs', v_everyone),
      -- All that a user ever did, in whatever department.
      ('archon_mcp_user_totals', format(v_sees, v_everyone, 'user_id', 'department')),
      ('archon_mcp_ended_sessions', format(v_sees, v_everyone, 'user_id', 'department')),
      ('archon_mcp_session_totals', v_everyone || format(
        ' or exists (select from archon_mcp_sessions as session
           where session.session_id = archon_mcp_session_totals.session_id and %s)',
        format(v_sees, v_everyone, 'session.user_id', 'session.department')
      )),
      ('archon_mcp_user_days', format(v_sees, v_everyone, 'user_id', 'department')),
      ('archon_mcp_quarters', format(v_sees, v_everyone, 'null', 'department')),
      ('archon_mcp_tool_days', format(v_sees, v_everyone, 'null', 'department')),
      ('archon_mcp_duration_days', format(v_sees, v_everyone, 'null', 'department')),
      ('archon_mcp_watermark', v_known),
      ('archon_mcp_rebuilds', v_everyone),
      ('archon_mcp_audit', v_every_call),
      ('archon_mcp_retention', v_every_call),
      ('archon_mcp_access_tokens', v_every_call || ' or user_id = ' || v_user_id)
  loop
    execute format('create policy %I on %I for select to authenticated using (%s)', v_table || '_caller', v_table, v_seen);
    execute format('grant select on %I to authenticated', v_table);
  end loop;
end
$$;
-- What is kept of the secret is for the ledger alone.
revoke select on archon_mcp_access_tokens from authenticated;
grant select
  (token_id, user_id, service, name, scopes, created_at, created_by, expires_at, last_used_at, revoked_at)
  on archon_mcp_access_tokens to authenticated;

-- migrate:down
do $$
declare
  v_table text;
  v_routine regprocedure;
  v_definition text;
begin
  for v_table in
    select class.relname
    from pg_policy as policy
    join pg_class as class on class.oid = policy.polrelid
    where class.relnamespace = current_schema()::regnamespace
      and policy.polname = class.relname || '_caller'
  loop
    execute format('drop policy %I on %I', v_table || '_caller', v_table);
    execute format('revoke select on %I from authenticated', v_table);
  end loop;
  for v_routine in
    select oid::regprocedure from pg_proc
    where pronamespace = current_schema()::regnamespace
      and proname in (
        'archon_mcp_instant', 'archon_mcp_window', 'archon_mcp_window_start', 'archon_mcp_quotas_of',
        'get_user_sessions', 'get_user_activity_summary', 'get_active_mcp_clients', 'get_disconnected_sessions',
        'get_mcp_usage_summary', 'get_mcp_usage_by_tool'
      )
  loop
    execute format('revoke execute on function %s from authenticated', v_routine);
  end loop;
  -- Who turned it on wants it on when the policies are back.
  insert into archon_mcp_adopted (kind, name)
  select 'switch', class.relname
  from pg_class as class
  left join archon_mcp_adopted as adopted on adopted.kind = 'row security' and adopted.name = class.relname
  where class.relnamespace = current_schema()::regnamespace
    and class.relname in ('archon_mcp_sessions', 'archon_mcp_requests', 'archon_llm_pricing')
    and class.relrowsecurity
    and coalesce(adopted.definition, '') not like '% enable row level security';
  perform archon_mcp_set_aside_rows(13, 'archon_mcp_adopted', 'kept.kind = ''switch''');
  delete from archon_mcp_adopted where kind = 'switch';
  for v_definition in delete from archon_mcp_adopted where kind in ('policy', 'row security', 'replaced') returning definition loop
    execute v_definition;
  end loop;
end
$$;
revoke select on archon_mcp_user_stats, archon_mcp_session_stats from authenticated;
drop function archon_mcp_call_sums;
drop function archon_mcp_takes_whole;
drop function archon_mcp_rollup_of;
drop type archon_mcp_call_sum;
drop function archon_mcp_seen_spent;
drop function archon_mcp_disable_rls;
drop function archon_mcp_enable_rls;
drop function archon_mcp_take_policies;
drop function archon_mcp_caller;
drop type archon_mcp_who;
drop function archon_mcp_sees;
drop function archon_mcp_manages;
drop function archon_mcp_sees_every_call;
drop function archon_mcp_sees_everyone;
