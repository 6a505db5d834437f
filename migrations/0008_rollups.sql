-- Roll-ups: what calls that have ended add up to, written in the statements that end, correct and price them. Small,
-- so that a report reads them where it would read millions of calls: whole days of UTC from here, and the edges of a
-- period in another zone from the calls themselves. Open calls are in none.
-- Locks are taken last of all, table by table in the order of this file, in each by key; rows stay locked to the end
-- of the statement, as budgets do.

-- migrate:up

-- From when on every call is there. Reports of earlier days rest on the roll-ups alone: nobody can compare or
-- rebuild those. Whoever deletes old calls moves this first, in the same transaction; their sums then stay.
create table archon_mcp_watermark (
  one boolean primary key default true constraint archon_mcp_watermark_one check (one),
  -- A day of UTC.
  complete_from date not null
);
comment on table archon_mcp_watermark is 'the day from which on archon_mcp_requests holds every call';

-- Everything of a user, apart for each department in which they were, and of a session.
create table archon_mcp_user_totals (
  user_id uuid not null,
  department varchar(255),
  calls bigint not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  cost numeric(30, 10) not null,
  first_call_at timestamptz,
  last_call_at timestamptz,
  constraint archon_mcp_user_totals_once unique nulls not distinct (user_id, department)
) with (fillfactor = 70);
create table archon_mcp_session_totals (
  session_id uuid primary key,
  calls bigint not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  cost numeric(30, 10) not null
) with (fillfactor = 70);

-- What the sessions of a user that have ended come to, by the department to which they belong. Of those that live there
-- are few, and their last activity changes with every call.
create table archon_mcp_ended_sessions (
  user_id uuid not null,
  department varchar(255),
  sessions bigint not null,
  seconds bigint not null,
  longest_seconds integer not null,
  first_connected_at timestamptz not null,
  last_activity_at timestamptz not null,
  constraint archon_mcp_ended_sessions_once unique nulls not distinct (user_id, department)
) with (fillfactor = 70);

-- In the tables of calls: what a report calls errors is calls less success, timeouts among them; success_* is the part of the
-- calls that succeeded; duration_ms is the sum over timed_calls. Null in a key: no user, department, client or model.
-- Where calls were corrected or deleted, a row may have come to nothing.
create table archon_mcp_user_days (
  user_id uuid,
  day date not null,
  department varchar(255),
  calls bigint not null,
  success bigint not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  cost numeric(30, 10) not null,
  unpriced_calls bigint not null,
  estimated_calls bigint not null,
  constraint archon_mcp_user_days_once unique nulls not distinct (user_id, day, department)
) with (fillfactor = 70);
create index archon_mcp_user_days_by_day on archon_mcp_user_days (day);

-- Every zone's hours and days begin on a quarter of an hour.
create table archon_mcp_quarters (
  quarter timestamptz not null,
  department varchar(255),
  calls bigint not null,
  success bigint not null,
  timeouts bigint not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  cost numeric(30, 10) not null,
  success_prompt_tokens bigint not null,
  success_completion_tokens bigint not null,
  success_cost numeric(30, 10) not null,
  unpriced_calls bigint not null,
  estimated_calls bigint not null,
  duration_ms bigint not null,
  timed_calls bigint not null,
  constraint archon_mcp_quarters_once unique nulls not distinct (quarter, department)
) with (fillfactor = 70);

-- Tokens and costs stand with the model that accounts for them, and what no model does (a tool's own price, counted
-- texts) without one, so that they add up over any rows. A call may use several models: in calls, success, ... it
-- counts once, with the first of them; in model_* with each, and without a model if it used none or has a tool's
-- own price.
create table archon_mcp_tool_days (
  day date not null,
  department varchar(255),
  client_type varchar(50),
  -- The tool, or the method of what is none.
  tool varchar(100) not null,
  model varchar(100),
  calls bigint not null,
  success bigint not null,
  timeouts bigint not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  cost numeric(30, 10) not null,
  success_prompt_tokens bigint not null,
  success_completion_tokens bigint not null,
  success_cost numeric(30, 10) not null,
  unpriced_calls bigint not null,
  estimated_calls bigint not null,
  duration_ms bigint not null,
  timed_calls bigint not null,
  model_calls bigint not null,
  model_success bigint not null,
  model_unpriced_calls bigint not null,
  cached_tokens bigint not null,
  reasoning_tokens bigint not null,
  constraint archon_mcp_tool_days_once unique nulls not distinct (day, department, client_type, tool, model)
) with (fillfactor = 70);

-- For percentiles: how many calls took how long, by archon_mcp_duration_bucket().
create table archon_mcp_duration_days (
  day date not null,
  tool varchar(100) not null,
  department varchar(255),
  bucket integer not null,
  calls bigint not null,
  duration_ms bigint not null,
  constraint archon_mcp_duration_days_once unique nulls not distinct (day, tool, department, bucket)
) with (fillfactor = 70);

-- What was found to differ from the calls and set right: one row for each roll-up that did.
create table archon_mcp_rebuilds (
  rebuilt_at timestamptz not null default now(),
  from_day date not null,
  rollup text not null,
  -- Rows that differed, and by how much they were beyond the calls.
  differed bigint not null,
  calls_beyond bigint not null,
  cost_beyond numeric(30, 10) not null
);

do $$
declare
  v_table text;
begin
  foreach v_table in array array[
    'archon_mcp_watermark', 'archon_mcp_user_totals', 'archon_mcp_session_totals', 'archon_mcp_ended_sessions',
    'archon_mcp_user_days', 'archon_mcp_quarters', 'archon_mcp_tool_days', 'archon_mcp_duration_days', 'archon_mcp_rebuilds'
  ] loop
    execute format('revoke all on %I from public, anon, authenticated', v_table);
    execute format('alter table %I enable row level security', v_table);
    execute format('create policy %I on %I to service_role using (true) with check (true)', v_table || '_service', v_table);
    execute format('grant select, insert, update, delete on %I to service_role', v_table);
  end loop;
end
$$;

-- Where buckets of durations begin, in ms: each sqrt(2) times as far as the one before, in whole ms, so that every
-- machine draws the lines alike. Bucket n holds what is at least the nth and less than the next; 0 what took no time.
create function archon_mcp_duration_bounds() returns integer[]
language sql
immutable
as $$
  select '{1,2,3,4,6,8,12,16,23,32,46,64,91,128,182,256,363,512,725,1024,1449,2048,2897,4096,5793,8192,11586,16384,
    23171,32768,46341,65536,92682,131072,185364,262144,370728,524288,741456,1048576,1482911,2097152,2965821,4194304,
    5931642,8388608,11863284,16777216,23726567,33554432,47453133,67108864,94906266,134217728,189812532,268435456,
    379625063,536870912,759250125,1073741824,1518500250}'::integer[]
$$;
create function archon_mcp_duration_bucket(p_ms integer) returns integer
language sql
immutable
as $$
  select width_bucket(p_ms, archon_mcp_duration_bounds())
$$;

-- A row of any roll-up, for comparisons.
create type archon_mcp_rollup as (
  rollup text, user_id uuid, session_id uuid, day date, quarter timestamptz, department text, client_type text,
  tool text, model text, bucket integer,
  calls bigint, success bigint, timeouts bigint, prompt_tokens bigint, completion_tokens bigint, cost numeric,
  success_prompt_tokens bigint, success_completion_tokens bigint, success_cost numeric,
  unpriced_calls bigint, estimated_calls bigint, duration_ms bigint, timed_calls bigint,
  model_calls bigint, model_success bigint, model_unpriced_calls bigint, cached_tokens bigint, reasoning_tokens bigint
);

-- What a call that has ended adds, as it and its lines stand. Other writers know the rounded cost alone.
create function archon_mcp_rolled(p_call archon_mcp_requests, p_sign integer) returns archon_mcp_rolled_call
language sql
stable
as $$
  select row(
    p_sign, p_call.timestamp, p_call.user_id, p_call.session_id, p_call.department, p_call.client_type,
    coalesce(nullif(p_call.tool_name, ''), p_call.method),
    (p_call.status = 'success')::integer, (p_call.status = 'timeout')::integer,
    coalesce(p_call.prompt_tokens, 0), coalesce(p_call.completion_tokens, 0),
    case when p_call.kind is null then coalesce(p_call.estimated_cost, 0) else p_call.cost end,
    p_call.tool_cost <> 0, p_call.unpriced::integer, p_call.estimated::integer, p_call.duration_ms,
    (
      select array_agg(row(
        line.model, line.prompt_tokens, line.completion_tokens, line.cached_tokens, line.reasoning_tokens, line.cost,
        line.unpriced
      )::archon_mcp_rolled_line order by line.model)
      from archon_mcp_usage as line
      where line.request_id = p_call.request_id
    ),
    false
  )::archon_mcp_rolled_call
$$;

-- Adds one call that no model or one line accounts for: the row of each roll-up by its values, where gathering
-- calls first (archon_mcp_move_rollups()) would cost twice as much.
create function archon_mcp_add_to_rollups(p_call archon_mcp_rolled_call) returns void
language plpgsql
as $$
declare
  v_day constant date := (p_call.at at time zone 'UTC')::date;
  v_timed constant integer := (p_call.duration_ms is not null)::integer;
  v_duration_ms constant integer := coalesce(p_call.duration_ms, 0);
  v_success constant integer := p_call.success;
  v_prompt_tokens constant integer := p_call.prompt_tokens;
  v_completion_tokens constant integer := p_call.completion_tokens;
  v_cost constant numeric := p_call.cost;
  v_line archon_mcp_rolled_line;
begin
  if p_call.user_id is not null then
    insert into archon_mcp_user_totals as total
      (user_id, department, calls, prompt_tokens, completion_tokens, cost, first_call_at, last_call_at)
    values
      (p_call.user_id, p_call.department, 1, v_prompt_tokens, v_completion_tokens, v_cost, p_call.at, p_call.at)
    on conflict on constraint archon_mcp_user_totals_once do update
    set calls = total.calls + 1,
        prompt_tokens = total.prompt_tokens + v_prompt_tokens,
        completion_tokens = total.completion_tokens + v_completion_tokens,
        cost = total.cost + v_cost,
        first_call_at = least(total.first_call_at, p_call.at),
        last_call_at = greatest(total.last_call_at, p_call.at);
  end if;

  if p_call.session_id is not null then
    insert into archon_mcp_session_totals as total (session_id, calls, prompt_tokens, completion_tokens, cost)
    values (p_call.session_id, 1, v_prompt_tokens, v_completion_tokens, v_cost)
    on conflict (session_id) do update
    set calls = total.calls + 1,
        prompt_tokens = total.prompt_tokens + v_prompt_tokens,
        completion_tokens = total.completion_tokens + v_completion_tokens,
        cost = total.cost + v_cost;
  end if;

  insert into archon_mcp_user_days as total
    (user_id, day, department, calls, success, prompt_tokens, completion_tokens, cost, unpriced_calls, estimated_calls)
  values
    (p_call.user_id, v_day, p_call.department, 1, v_success, v_prompt_tokens, v_completion_tokens, v_cost,
     p_call.unpriced, p_call.estimated)
  on conflict on constraint archon_mcp_user_days_once do update
  set calls = total.calls + 1,
      success = total.success + v_success,
      prompt_tokens = total.prompt_tokens + v_prompt_tokens,
      completion_tokens = total.completion_tokens + v_completion_tokens,
      cost = total.cost + v_cost,
      unpriced_calls = total.unpriced_calls + p_call.unpriced,
      estimated_calls = total.estimated_calls + p_call.estimated;

  insert into archon_mcp_quarters as total
    (quarter, department, calls, success, timeouts, prompt_tokens, completion_tokens, cost, success_prompt_tokens,
     success_completion_tokens, success_cost, unpriced_calls, estimated_calls, duration_ms, timed_calls)
  values
    (date_bin('15 minutes', p_call.at, timestamptz 'epoch'), p_call.department, 1, v_success, p_call.timeout,
     v_prompt_tokens, v_completion_tokens, v_cost, v_success * v_prompt_tokens, v_success * v_completion_tokens,
     v_success * v_cost, p_call.unpriced, p_call.estimated, v_duration_ms, v_timed)
  on conflict on constraint archon_mcp_quarters_once do update
  set calls = total.calls + 1,
      success = total.success + v_success,
      timeouts = total.timeouts + excluded.timeouts,
      prompt_tokens = total.prompt_tokens + v_prompt_tokens,
      completion_tokens = total.completion_tokens + v_completion_tokens,
      cost = total.cost + v_cost,
      success_prompt_tokens = total.success_prompt_tokens + excluded.success_prompt_tokens,
      success_completion_tokens = total.success_completion_tokens + excluded.success_completion_tokens,
      success_cost = total.success_cost + excluded.success_cost,
      unpriced_calls = total.unpriced_calls + excluded.unpriced_calls,
      estimated_calls = total.estimated_calls + excluded.estimated_calls,
      duration_ms = total.duration_ms + v_duration_ms,
      timed_calls = total.timed_calls + v_timed;

  -- With the model of its line, or without one.
  if p_call.lines is not null then
    v_line := p_call.lines[1];
  end if;
  insert into archon_mcp_tool_days as total
    (day, department, client_type, tool, model, calls, success, timeouts, prompt_tokens, completion_tokens, cost,
     success_prompt_tokens, success_completion_tokens, success_cost, unpriced_calls, estimated_calls, duration_ms,
     timed_calls, model_calls, model_success, model_unpriced_calls, cached_tokens, reasoning_tokens)
  values
    (v_day, p_call.department, p_call.client_type, p_call.tool, v_line.model, 1, v_success, p_call.timeout,
     v_prompt_tokens, v_completion_tokens, v_cost, v_success * v_prompt_tokens, v_success * v_completion_tokens,
     v_success * v_cost, p_call.unpriced, p_call.estimated, v_duration_ms, v_timed, 1, v_success, p_call.unpriced,
     coalesce(v_line.cached_tokens, 0), coalesce(v_line.reasoning_tokens, 0))
  on conflict on constraint archon_mcp_tool_days_once do update
  set calls = total.calls + 1,
      success = total.success + v_success,
      timeouts = total.timeouts + excluded.timeouts,
      prompt_tokens = total.prompt_tokens + v_prompt_tokens,
      completion_tokens = total.completion_tokens + v_completion_tokens,
      cost = total.cost + v_cost,
      success_prompt_tokens = total.success_prompt_tokens + excluded.success_prompt_tokens,
      success_completion_tokens = total.success_completion_tokens + excluded.success_completion_tokens,
      success_cost = total.success_cost + excluded.success_cost,
      unpriced_calls = total.unpriced_calls + excluded.unpriced_calls,
      estimated_calls = total.estimated_calls + excluded.estimated_calls,
      duration_ms = total.duration_ms + v_duration_ms,
      timed_calls = total.timed_calls + v_timed,
      model_calls = total.model_calls + 1,
      model_success = total.model_success + v_success,
      model_unpriced_calls = total.model_unpriced_calls + excluded.model_unpriced_calls,
      cached_tokens = total.cached_tokens + excluded.cached_tokens,
      reasoning_tokens = total.reasoning_tokens + excluded.reasoning_tokens;

  if p_call.duration_ms is not null then
    insert into archon_mcp_duration_days as total (day, tool, department, bucket, calls, duration_ms)
    values
      (v_day, p_call.tool, p_call.department, archon_mcp_duration_bucket(p_call.duration_ms), 1, v_duration_ms)
    on conflict on constraint archon_mcp_duration_days_once do update
    set calls = total.calls + 1,
        duration_ms = total.duration_ms + v_duration_ms;
  end if;
end
$$;

-- Adds calls to the roll-ups and takes them away: each row of a roll-up is written once, whatever their number.
create function archon_mcp_move_rollups(p_calls archon_mcp_rolled_call[]) returns void
language plpgsql
as $$
begin
  if cardinality(p_calls) = 1 and p_calls[1].sign = 1 and (p_calls[1].one_line or p_calls[1].lines is null) then
    perform archon_mcp_add_to_rollups(p_calls[1]);
    return;
  end if;

  insert into archon_mcp_user_totals as total
    (user_id, department, calls, prompt_tokens, completion_tokens, cost, first_call_at, last_call_at)
  select call.user_id, call.department, sum(call.sign), sum(call.sign * call.prompt_tokens), sum(call.sign * call.completion_tokens),
         sum(call.sign * call.cost), min(call.at) filter (where call.sign > 0), max(call.at) filter (where call.sign > 0)
  from unnest(p_calls) as call
  where call.user_id is not null
  group by 1, 2
  order by 1, 2
  on conflict on constraint archon_mcp_user_totals_once do update
  set calls = total.calls + excluded.calls,
      prompt_tokens = total.prompt_tokens + excluded.prompt_tokens,
      completion_tokens = total.completion_tokens + excluded.completion_tokens,
      cost = total.cost + excluded.cost,
      first_call_at = least(total.first_call_at, excluded.first_call_at),
      last_call_at = greatest(total.last_call_at, excluded.last_call_at);

  insert into archon_mcp_session_totals as total (session_id, calls, prompt_tokens, completion_tokens, cost)
  select call.session_id, sum(call.sign), sum(call.sign * call.prompt_tokens),
         sum(call.sign * call.completion_tokens), sum(call.sign * call.cost)
  from unnest(p_calls) as call
  where call.session_id is not null
  group by call.session_id
  order by call.session_id
  on conflict (session_id) do update
  set calls = total.calls + excluded.calls,
      prompt_tokens = total.prompt_tokens + excluded.prompt_tokens,
      completion_tokens = total.completion_tokens + excluded.completion_tokens,
      cost = total.cost + excluded.cost;

  insert into archon_mcp_user_days as total
    (user_id, day, department, calls, success, prompt_tokens, completion_tokens, cost, unpriced_calls, estimated_calls)
  select call.user_id, (call.at at time zone 'UTC')::date, call.department, sum(call.sign),
         sum(call.sign * call.success), sum(call.sign * call.prompt_tokens),
         sum(call.sign * call.completion_tokens), sum(call.sign * call.cost), sum(call.sign * call.unpriced),
         sum(call.sign * call.estimated)
  from unnest(p_calls) as call
  group by 1, 2, 3
  order by 1, 2, 3
  on conflict on constraint archon_mcp_user_days_once do update
  set calls = total.calls + excluded.calls,
      success = total.success + excluded.success,
      prompt_tokens = total.prompt_tokens + excluded.prompt_tokens,
      completion_tokens = total.completion_tokens + excluded.completion_tokens,
      cost = total.cost + excluded.cost,
      unpriced_calls = total.unpriced_calls + excluded.unpriced_calls,
      estimated_calls = total.estimated_calls + excluded.estimated_calls;

  insert into archon_mcp_quarters as total
    (quarter, department, calls, success, timeouts, prompt_tokens, completion_tokens, cost, success_prompt_tokens,
     success_completion_tokens, success_cost, unpriced_calls, estimated_calls, duration_ms, timed_calls)
  select date_bin('15 minutes', call.at, timestamptz 'epoch'), call.department, sum(call.sign),
         sum(call.sign * call.success), sum(call.sign * call.timeout), sum(call.sign * call.prompt_tokens),
         sum(call.sign * call.completion_tokens), sum(call.sign * call.cost),
         sum(call.sign * call.success * call.prompt_tokens), sum(call.sign * call.success * call.completion_tokens),
         sum(call.sign * call.success * call.cost), sum(call.sign * call.unpriced), sum(call.sign * call.estimated),
         coalesce(sum(call.sign * call.duration_ms::bigint), 0),
         coalesce(sum(call.sign) filter (where call.duration_ms is not null), 0)
  from unnest(p_calls) as call
  group by 1, 2
  order by 1, 2
  on conflict on constraint archon_mcp_quarters_once do update
  set calls = total.calls + excluded.calls,
      success = total.success + excluded.success,
      timeouts = total.timeouts + excluded.timeouts,
      prompt_tokens = total.prompt_tokens + excluded.prompt_tokens,
      completion_tokens = total.completion_tokens + excluded.completion_tokens,
      cost = total.cost + excluded.cost,
      success_prompt_tokens = total.success_prompt_tokens + excluded.success_prompt_tokens,
      success_completion_tokens = total.success_completion_tokens + excluded.success_completion_tokens,
      success_cost = total.success_cost + excluded.success_cost,
      unpriced_calls = total.unpriced_calls + excluded.unpriced_calls,
      estimated_calls = total.estimated_calls + excluded.estimated_calls,
      duration_ms = total.duration_ms + excluded.duration_ms,
      timed_calls = total.timed_calls + excluded.timed_calls;

  -- A call stands without a model first; what a line accounts for, and with the first the call, moves over to it. Of
  -- the many for which one line accounts in full nothing is left, and nothing is moved.
  insert into archon_mcp_tool_days as total
    (day, department, client_type, tool, model, calls, success, timeouts, prompt_tokens, completion_tokens, cost,
     success_prompt_tokens, success_completion_tokens, success_cost, unpriced_calls, estimated_calls, duration_ms,
     timed_calls, model_calls, model_success, model_unpriced_calls, cached_tokens, reasoning_tokens)
  select (part.at at time zone 'UTC')::date, part.department, part.client_type, part.tool, part.model,
         sum(part.calls), sum(part.calls * part.success), sum(part.calls * part.timeout),
         sum(part.prompt_tokens), sum(part.completion_tokens), sum(part.cost),
         sum(part.success * part.prompt_tokens), sum(part.success * part.completion_tokens),
         sum(part.success * part.cost), sum(part.calls * part.unpriced), sum(part.calls * part.estimated),
         coalesce(sum(part.calls * part.duration_ms::bigint), 0),
         coalesce(sum(part.calls) filter (where part.duration_ms is not null), 0),
         sum(part.model_calls), sum(part.model_calls * part.success), sum(part.model_unpriced),
         sum(part.cached_tokens), sum(part.reasoning_tokens)
  from (
    select call.at, call.department, call.client_type, call.tool, null as model, call.sign as calls, call.success,
           call.timeout, call.unpriced, call.estimated, call.duration_ms,
           call.sign * call.prompt_tokens as prompt_tokens, call.sign * call.completion_tokens as completion_tokens,
           call.sign * call.cost as cost, call.sign as model_calls, call.sign * call.unpriced as model_unpriced,
           0 as cached_tokens, 0 as reasoning_tokens
    from unnest(p_calls) as call
    where not call.one_line
    union all
    select call.at, call.department, call.client_type, call.tool, line.model,
           call.sign * (line.place = 1)::integer, call.success, call.timeout, call.unpriced, call.estimated,
           call.duration_ms, call.sign * line.prompt_tokens, call.sign * line.completion_tokens, call.sign * line.cost,
           call.sign, call.sign * line.unpriced::integer, call.sign * line.cached_tokens,
           call.sign * line.reasoning_tokens
    from unnest(p_calls) as call
    cross join lateral unnest(call.lines) with ordinality as line
      (model, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, cost, unpriced, place)
    union all
    select call.at, call.department, call.client_type, call.tool, null,
           -call.sign * (line.place = 1)::integer, call.success, call.timeout, call.unpriced, call.estimated,
           call.duration_ms, -call.sign * line.prompt_tokens, -call.sign * line.completion_tokens,
           -call.sign * line.cost, -call.sign * (line.place = 1 and not call.tool_priced)::integer,
           -call.sign * (line.place = 1)::integer * call.unpriced, 0, 0
    from unnest(p_calls) as call
    cross join lateral unnest(call.lines) with ordinality as line
      (model, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, cost, unpriced, place)
    where not call.one_line
  ) as part
  group by 1, 2, 3, 4, 5
  having part.model is not null
    or (sum(part.calls), sum(part.prompt_tokens), sum(part.completion_tokens), sum(part.cost), sum(part.model_calls))
      <> (0, 0, 0, 0, 0)
    or (sum(part.calls * part.success), sum(part.calls * part.timeout), sum(part.success * part.prompt_tokens),
        sum(part.success * part.completion_tokens), sum(part.success * part.cost), sum(part.calls * part.unpriced),
        sum(part.calls * part.estimated), sum(part.model_calls * part.success), sum(part.model_unpriced))
      <> (0, 0, 0, 0, 0, 0, 0, 0, 0)
    or sum(part.calls * part.duration_ms::bigint) <> 0
    or sum(part.calls) filter (where part.duration_ms is not null) <> 0
  order by 1, 2, 3, 4, 5
  on conflict on constraint archon_mcp_tool_days_once do update
  set calls = total.calls + excluded.calls,
      success = total.success + excluded.success,
      timeouts = total.timeouts + excluded.timeouts,
      prompt_tokens = total.prompt_tokens + excluded.prompt_tokens,
      completion_tokens = total.completion_tokens + excluded.completion_tokens,
      cost = total.cost + excluded.cost,
      success_prompt_tokens = total.success_prompt_tokens + excluded.success_prompt_tokens,
      success_completion_tokens = total.success_completion_tokens + excluded.success_completion_tokens,
      success_cost = total.success_cost + excluded.success_cost,
      unpriced_calls = total.unpriced_calls + excluded.unpriced_calls,
      estimated_calls = total.estimated_calls + excluded.estimated_calls,
      duration_ms = total.duration_ms + excluded.duration_ms,
      timed_calls = total.timed_calls + excluded.timed_calls,
      model_calls = total.model_calls + excluded.model_calls,
      model_success = total.model_success + excluded.model_success,
      model_unpriced_calls = total.model_unpriced_calls + excluded.model_unpriced_calls,
      cached_tokens = total.cached_tokens + excluded.cached_tokens,
      reasoning_tokens = total.reasoning_tokens + excluded.reasoning_tokens;

  insert into archon_mcp_duration_days as total (day, tool, department, bucket, calls, duration_ms)
  select (call.at at time zone 'UTC')::date, call.tool, call.department, archon_mcp_duration_bucket(call.duration_ms),
         sum(call.sign), sum(call.sign * call.duration_ms::bigint)
  from unnest(p_calls) as call
  where call.duration_ms is not null
  group by 1, 2, 3, 4
  order by 1, 2, 3, 4
  on conflict on constraint archon_mcp_duration_days_once do update
  set calls = total.calls + excluded.calls,
      duration_ms = total.duration_ms + excluded.duration_ms;
end
$$;

-- How long a session that has ended lasted; Archon left it empty for one that timed out.
create function archon_mcp_session_seconds(p_session archon_mcp_sessions) returns integer
language sql
immutable
as $$
  select coalesce(
    p_session.total_duration, extract(epoch from p_session.disconnected_at - p_session.connected_at)::integer
  )
$$;

-- What is to be said of ended sessions: of users, or of all for null.
create function archon_mcp_ended_sessions_due(p_user_ids uuid[]) returns setof archon_mcp_ended_sessions
language sql
stable
as $$
  select session.user_id, session.department, count(*), sum(archon_mcp_session_seconds(session)),
         max(archon_mcp_session_seconds(session)), min(session.connected_at), max(session.last_activity)
  from archon_mcp_sessions as session
  where session.disconnected_at is not null
    and session.user_id is not null
    and (p_user_ids is null or session.user_id = any (p_user_ids))
  group by 1, 2
  order by 1, 2
$$;

-- Adds sessions that have just ended.
create function archon_mcp_move_ended_sessions(p_session_ids uuid[]) returns void
language sql
as $$
  insert into archon_mcp_ended_sessions as ended
    (user_id, department, sessions, seconds, longest_seconds, first_connected_at, last_activity_at)
  select session.user_id, session.department, count(*), sum(archon_mcp_session_seconds(session)),
         max(archon_mcp_session_seconds(session)), min(session.connected_at), max(session.last_activity)
  from archon_mcp_sessions as session
  where session.session_id = any (p_session_ids)
    and session.user_id is not null
  group by 1, 2
  order by 1, 2
  on conflict on constraint archon_mcp_ended_sessions_once do update
  set sessions = ended.sessions + excluded.sessions,
      seconds = ended.seconds + excluded.seconds,
      longest_seconds = greatest(ended.longest_seconds, excluded.longest_seconds),
      first_connected_at = least(ended.first_connected_at, excluded.first_connected_at),
      last_activity_at = greatest(ended.last_activity_at, excluded.last_activity_at)
$$;

-- Counts the ended sessions of users anew, of all for null. Whoever ends one meanwhile adds it before or after: their
-- rows are locked first, and the sessions looked at then.
create function archon_mcp_count_ended_sessions(p_user_ids uuid[]) returns void
language plpgsql
as $$
begin
  -- Rows that are not there yet can only be locked when they are made.
  insert into archon_mcp_ended_sessions
  select due.* from archon_mcp_ended_sessions_due(p_user_ids) as due
  on conflict do nothing;
  perform from archon_mcp_ended_sessions as ended
  where p_user_ids is null or ended.user_id = any (p_user_ids)
  order by ended.user_id, ended.department
  for update;
  delete from archon_mcp_ended_sessions as ended
  where p_user_ids is null or ended.user_id = any (p_user_ids);
  insert into archon_mcp_ended_sessions
  select due.* from archon_mcp_ended_sessions_due(p_user_ids) as due
  on conflict do nothing;
end
$$;

-- What the roll-ups must say from a day on, from the calls themselves; of sessions, those that connected since then.
create function archon_mcp_rollups_due(p_from date) returns setof archon_mcp_rollup
language sql
stable
as $$
  select case
           when grouping(call.bucket) = 0 then 'duration_days'
           when grouping(call.quarter) = 0 then 'quarters'
           else 'user_days'
         end,
         call.user_id, null::uuid, call.day, call.quarter, call.department, null, call.tool, null, call.bucket,
         count(*),
         case when grouping(call.bucket) = 1 then sum(call.success) end,
         case when grouping(call.quarter) = 0 then sum(call.timeout) end,
         case when grouping(call.bucket) = 1 then sum(call.prompt_tokens) end,
         case when grouping(call.bucket) = 1 then sum(call.completion_tokens) end,
         case when grouping(call.bucket) = 1 then sum(call.cost) end,
         case when grouping(call.quarter) = 0 then sum(call.success * call.prompt_tokens) end,
         case when grouping(call.quarter) = 0 then sum(call.success * call.completion_tokens) end,
         case when grouping(call.quarter) = 0 then sum(call.success * call.cost) end,
         case when grouping(call.bucket) = 1 then sum(call.unpriced) end,
         case when grouping(call.bucket) = 1 then sum(call.estimated) end,
         case when grouping(call.user_id) = 1 then coalesce(sum(call.duration_ms::bigint), 0) end,
         case when grouping(call.quarter) = 0 then count(call.duration_ms) end,
         null::bigint, null::bigint, null::bigint, null::bigint, null::bigint
  from (
    select request.user_id, request.department, (request.timestamp at time zone 'UTC')::date as day,
           date_bin('15 minutes', request.timestamp, timestamptz 'epoch') as quarter,
           coalesce(nullif(request.tool_name, ''), request.method) as tool,
           archon_mcp_duration_bucket(request.duration_ms) as bucket, request.duration_ms,
           (request.status = 'success')::integer as success, (request.status = 'timeout')::integer as timeout,
           coalesce(request.prompt_tokens, 0) as prompt_tokens,
           coalesce(request.completion_tokens, 0) as completion_tokens,
           case when request.kind is null then coalesce(request.estimated_cost, 0) else request.cost end as cost,
           request.unpriced::integer as unpriced, request.estimated::integer as estimated
    from archon_mcp_requests as request
    where request.status <> 'open'
      and request.timestamp >= p_from::timestamp at time zone 'UTC'
  ) as call
  group by grouping sets (
    (call.user_id, call.day, call.department), (call.quarter, call.department),
    (call.day, call.tool, call.department, call.bucket)
  )
  having grouping(call.bucket) = 1 or call.bucket is not null
  union all
  select 'session_totals', null, session.session_id, null, null, null, null, null, null, null,
         count(*), null, null, sum(coalesce(call.prompt_tokens, 0)), sum(coalesce(call.completion_tokens, 0)),
         sum(case when call.kind is null then coalesce(call.estimated_cost, 0) else call.cost end),
         null, null, null, null, null, null, null, null, null, null, null, null
  from archon_mcp_sessions as session
  join archon_mcp_requests as call on call.session_id = session.session_id
  where call.status <> 'open'
    and session.connected_at >= p_from::timestamp at time zone 'UTC'
  group by session.session_id
  union all
  select 'tool_days', null, null, part.day, null, part.department, part.client_type, part.tool, part.model, null,
         sum(part.calls), sum(part.calls * part.success), sum(part.calls * part.timeout),
         sum(part.prompt_tokens), sum(part.completion_tokens), sum(part.cost),
         sum(part.success * part.prompt_tokens), sum(part.success * part.completion_tokens),
         sum(part.success * part.cost), sum(part.calls * part.unpriced), sum(part.calls * part.estimated),
         coalesce(sum(part.calls * part.duration_ms::bigint), 0),
         coalesce(sum(part.calls) filter (where part.duration_ms is not null), 0),
         sum(part.model_calls), sum(part.model_calls * part.success), sum(part.model_unpriced),
         sum(part.cached_tokens), sum(part.reasoning_tokens)
  from (
    select (call.timestamp at time zone 'UTC')::date as day, call.department, call.client_type,
           coalesce(nullif(call.tool_name, ''), call.method) as tool, moved.model, moved.calls,
           (call.status = 'success')::integer as success, (call.status = 'timeout')::integer as timeout,
           call.unpriced::integer as unpriced, call.estimated::integer as estimated, call.duration_ms,
           moved.prompt_tokens, moved.completion_tokens, moved.cost, moved.model_calls, moved.model_unpriced,
           moved.cached_tokens, moved.reasoning_tokens
    from archon_mcp_requests as call
    left join archon_mcp_usage as line on line.request_id = call.request_id
    cross join lateral (
      -- A call comes with each of its lines, and is itself taken with the first.
      select (line.model is null or not exists (
        select from archon_mcp_usage as earlier
        where earlier.request_id = line.request_id and earlier.model < line.model
      ))::integer as first
      offset 0
    ) as its
    cross join lateral (
      select line.model, its.first as calls, coalesce(line.prompt_tokens, 0) as prompt_tokens,
             coalesce(line.completion_tokens, 0) as completion_tokens, coalesce(line.cost, 0) as cost,
             (line.model is not null)::integer as model_calls,
             (line.model is not null and line.unpriced)::integer as model_unpriced,
             coalesce(line.cached_tokens, 0) as cached_tokens, coalesce(line.reasoning_tokens, 0) as reasoning_tokens
      union all
      -- What no line accounts for.
      select null, 0, its.first * coalesce(call.prompt_tokens, 0) - coalesce(line.prompt_tokens, 0),
             its.first * coalesce(call.completion_tokens, 0) - coalesce(line.completion_tokens, 0),
             its.first * case when call.kind is null then coalesce(call.estimated_cost, 0) else call.cost end
               - coalesce(line.cost, 0),
             its.first * (line.model is null or call.tool_cost <> 0)::integer,
             (line.model is null and call.unpriced)::integer, 0, 0
    ) as moved
    where call.status <> 'open'
      and call.timestamp >= p_from::timestamp at time zone 'UTC'
  ) as part
  group by 4, 6, 7, 8, 9
$$;

-- What they do say.
create function archon_mcp_rollups_said(p_from date) returns setof archon_mcp_rollup
language sql
stable
as $$
  select 'user_days', said.user_id, null::uuid, said.day, null::timestamptz, said.department::text, null::text, null::text,
         null::text, null::integer, said.calls, said.success, null::bigint, said.prompt_tokens, said.completion_tokens,
         said.cost, null::bigint, null::bigint, null::numeric, said.unpriced_calls, said.estimated_calls, null::bigint,
         null::bigint, null::bigint, null::bigint, null::bigint, null::bigint, null::bigint
  from archon_mcp_user_days as said
  where said.day >= p_from
  union all
  select 'quarters', null, null, null, said.quarter, said.department, null, null, null, null, said.calls, said.success,
         said.timeouts, said.prompt_tokens, said.completion_tokens, said.cost, said.success_prompt_tokens,
         said.success_completion_tokens, said.success_cost, said.unpriced_calls, said.estimated_calls, said.duration_ms,
         said.timed_calls, null, null, null, null, null
  from archon_mcp_quarters as said
  where said.quarter >= p_from::timestamp at time zone 'UTC'
  union all
  select 'tool_days', null, null, said.day, null, said.department, said.client_type, said.tool, said.model, null,
         said.calls, said.success, said.timeouts, said.prompt_tokens, said.completion_tokens, said.cost,
         said.success_prompt_tokens, said.success_completion_tokens, said.success_cost, said.unpriced_calls,
         said.estimated_calls, said.duration_ms, said.timed_calls, said.model_calls, said.model_success,
         said.model_unpriced_calls, said.cached_tokens, said.reasoning_tokens
  from archon_mcp_tool_days as said
  where said.day >= p_from
  union all
  select 'duration_days', null, null, said.day, null, said.department, null, said.tool, null, said.bucket, said.calls,
         null, null, null, null, null, null, null, null, null, null, said.duration_ms, null, null, null, null, null, null
  from archon_mcp_duration_days as said
  where said.day >= p_from
  union all
  select 'session_totals', null, said.session_id, null, null, null, null, null, null, null, said.calls, null, null,
         said.prompt_tokens, said.completion_tokens, said.cost, null, null, null, null, null, null, null, null, null,
         null, null, null
  from archon_mcp_session_totals as said
  where p_from = '-infinity' or exists (
    select from archon_mcp_sessions as session
    where session.session_id = said.session_id and session.connected_at >= p_from::timestamp at time zone 'UTC'
  )
$$;

-- Compares the roll-ups with the calls from a day on, the watermark at the earliest: the rows that differ, and what
-- they say beyond the calls. One look at one moment, so that the answer is right under load too.
create function archon_mcp_check_rollups(p_from date default null)
returns table (rollup text, key jsonb, beyond jsonb)
language sql
stable
as $$
  select found.rollup, jsonb_strip_nulls(found.key), found.beyond
  from (
    select row.rollup,
           jsonb_build_object(
             'user_id', row.user_id, 'session_id', row.session_id, 'day', row.day, 'quarter', row.quarter,
             'department', row.department, 'client_type', row.client_type, 'tool', row.tool, 'model', row.model,
             'bucket', row.bucket
           ) as key,
           (
             select jsonb_object_agg(figure.key, figure.value)
             from jsonb_each(jsonb_build_object(
               'calls', sum(row.sign * row.calls), 'success', sum(row.sign * row.success),
               'timeouts', sum(row.sign * row.timeouts), 'prompt_tokens', sum(row.sign * row.prompt_tokens),
               'completion_tokens', sum(row.sign * row.completion_tokens), 'cost', trim_scale(sum(row.sign * row.cost)),
               'success_prompt_tokens', sum(row.sign * row.success_prompt_tokens),
               'success_completion_tokens', sum(row.sign * row.success_completion_tokens),
               'success_cost', trim_scale(sum(row.sign * row.success_cost)),
               'unpriced_calls', sum(row.sign * row.unpriced_calls),
               'estimated_calls', sum(row.sign * row.estimated_calls), 'duration_ms', sum(row.sign * row.duration_ms),
               'timed_calls', sum(row.sign * row.timed_calls), 'model_calls', sum(row.sign * row.model_calls),
               'model_success', sum(row.sign * row.model_success),
               'model_unpriced_calls', sum(row.sign * row.model_unpriced_calls),
               'cached_tokens', sum(row.sign * row.cached_tokens),
               'reasoning_tokens', sum(row.sign * row.reasoning_tokens)
             )) as figure
             where figure.value <> '0' and figure.value <> 'null'
           ) as beyond
    from (
      select said.*, 1 as sign
      from archon_mcp_watermark as mark
      cross join lateral archon_mcp_rollups_said(greatest(p_from, mark.complete_from)) as said
      union all
      select due.*, -1
      from archon_mcp_watermark as mark
      cross join lateral archon_mcp_rollups_due(greatest(p_from, mark.complete_from)) as due
    ) as row
    -- A roll-up does not have every figure.
    group by row.rollup, row.user_id, row.session_id, row.day, row.quarter, row.department, row.client_type, row.tool,
             row.model, row.bucket
    -- Here, so that words are made of those few alone that differ.
    having (
      coalesce(sum(row.sign * row.calls), 0), coalesce(sum(row.sign * row.success), 0),
      coalesce(sum(row.sign * row.timeouts), 0), coalesce(sum(row.sign * row.prompt_tokens), 0),
      coalesce(sum(row.sign * row.completion_tokens), 0), coalesce(sum(row.sign * row.cost), 0),
      coalesce(sum(row.sign * row.success_prompt_tokens), 0),
      coalesce(sum(row.sign * row.success_completion_tokens), 0), coalesce(sum(row.sign * row.success_cost), 0),
      coalesce(sum(row.sign * row.unpriced_calls), 0), coalesce(sum(row.sign * row.estimated_calls), 0),
      coalesce(sum(row.sign * row.duration_ms), 0), coalesce(sum(row.sign * row.timed_calls), 0),
      coalesce(sum(row.sign * row.model_calls), 0), coalesce(sum(row.sign * row.model_success), 0),
      coalesce(sum(row.sign * row.model_unpriced_calls), 0), coalesce(sum(row.sign * row.cached_tokens), 0),
      coalesce(sum(row.sign * row.reasoning_tokens), 0)
    ) <> (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    union all
    -- A user's total in a department is the sum of their days there, also of those whose calls are gone.
    select 'user_totals', jsonb_build_object('user_id', row.user_id, 'department', row.department),
           (
             select jsonb_object_agg(figure.key, figure.value)
             from jsonb_each(jsonb_build_object(
               'calls', sum(row.sign * row.calls), 'prompt_tokens', sum(row.sign * row.prompt_tokens),
               'completion_tokens', sum(row.sign * row.completion_tokens), 'cost', trim_scale(sum(row.sign * row.cost))
             )) as figure
             where figure.value <> '0'
           )
    from (
      select total.user_id, total.department, total.calls, total.prompt_tokens, total.completion_tokens, total.cost, 1 as sign
      from archon_mcp_user_totals as total
      union all
      select day.user_id, day.department, day.calls, day.prompt_tokens, day.completion_tokens, day.cost, -1
      from archon_mcp_user_days as day
      where day.user_id is not null
    ) as row
    group by row.user_id, row.department
    having (
      sum(row.sign * row.calls), sum(row.sign * row.prompt_tokens), sum(row.sign * row.completion_tokens),
      sum(row.sign * row.cost)
    ) <> (0, 0, 0, 0)
    union all
    select 'ended_sessions',
           jsonb_build_object(
             'user_id', coalesce(said.user_id, due.user_id), 'department', coalesce(said.department, due.department)
           ),
           jsonb_build_object(
             'sessions', coalesce(said.sessions, 0) - coalesce(due.sessions, 0),
             'seconds', coalesce(said.seconds, 0) - coalesce(due.seconds, 0)
           )
    from archon_mcp_ended_sessions as said
    full join archon_mcp_ended_sessions_due(null) as due
      -- Nulls are one department here, and a join on keys that may be null is none that can be hashed.
      on (said.user_id, coalesce(said.department, '')) = (due.user_id, coalesce(due.department, ''))
    where said is distinct from due
  ) as found
$$;

-- When users called first and last, from the calls; of those that are gone because they were old, the totals are all
-- that is left.
create function archon_mcp_time_users(p_user_ids uuid[]) returns void
language sql
as $$
  update archon_mcp_user_totals as total
  set first_call_at = least(
        case when total.first_call_at < mark.complete_at then total.first_call_at end,
        (
          select call.timestamp from archon_mcp_requests as call
          where call.user_id = total.user_id and call.department is not distinct from total.department
            and call.status <> 'open'
          order by call.timestamp limit 1
        )
      ),
      last_call_at = greatest(
        case when total.last_call_at < mark.complete_at then total.last_call_at end,
        (
          select call.timestamp from archon_mcp_requests as call
          where call.user_id = total.user_id and call.department is not distinct from total.department
            and call.status <> 'open'
          order by call.timestamp desc limit 1
        )
      )
  from (select complete_from::timestamp at time zone 'UTC' as complete_at from archon_mcp_watermark) as mark
  where total.user_id = any (p_user_ids)
$$;

-- Makes the roll-ups from a day on out of the calls; nobody may write calls meanwhile.
create function archon_mcp_fill_rollups(p_from date) returns void
language plpgsql
as $$
begin
  delete from archon_mcp_user_days where day >= p_from;
  delete from archon_mcp_quarters where quarter >= p_from::timestamp at time zone 'UTC';
  delete from archon_mcp_tool_days where day >= p_from;
  delete from archon_mcp_duration_days where day >= p_from;
  delete from archon_mcp_session_totals as total
  where p_from = '-infinity' or exists (
    select from archon_mcp_sessions as session
    where session.session_id = total.session_id and session.connected_at >= p_from::timestamp at time zone 'UTC'
  );
  with due as materialized (
    select * from archon_mcp_rollups_due(p_from) as due
    -- Without a model, what its lines account for leaves nothing.
    where due.calls <> 0 or due.model_calls <> 0
      or (due.prompt_tokens, due.completion_tokens, due.cost) <> (0, 0, 0)
  ), user_days as (
    insert into archon_mcp_user_days
    select user_id, day, department, calls, success, prompt_tokens, completion_tokens, cost, unpriced_calls,
           estimated_calls
    from due where rollup = 'user_days'
  ), quarters as (
    insert into archon_mcp_quarters
    select quarter, department, calls, success, timeouts, prompt_tokens, completion_tokens, cost,
           success_prompt_tokens, success_completion_tokens, success_cost, unpriced_calls, estimated_calls,
           duration_ms, timed_calls
    from due where rollup = 'quarters'
  ), tool_days as (
    insert into archon_mcp_tool_days
    select day, department, client_type, tool, model, calls, success, timeouts, prompt_tokens, completion_tokens, cost,
           success_prompt_tokens, success_completion_tokens, success_cost, unpriced_calls, estimated_calls,
           duration_ms, timed_calls, model_calls, model_success, model_unpriced_calls, cached_tokens, reasoning_tokens
    from due where rollup = 'tool_days'
  ), duration_days as (
    insert into archon_mcp_duration_days
    select day, tool, department, bucket, calls, duration_ms
    from due where rollup = 'duration_days'
  )
  insert into archon_mcp_session_totals
  select session_id, calls, prompt_tokens, completion_tokens, cost
  from due where rollup = 'session_totals';

  insert into archon_mcp_user_totals as total (user_id, department, calls, prompt_tokens, completion_tokens, cost)
  select day.user_id, day.department, sum(day.calls), sum(day.prompt_tokens), sum(day.completion_tokens), sum(day.cost)
  from archon_mcp_user_days as day
  where day.user_id is not null
  group by day.user_id, day.department
  on conflict on constraint archon_mcp_user_totals_once do update
  set calls = excluded.calls,
      prompt_tokens = excluded.prompt_tokens,
      completion_tokens = excluded.completion_tokens,
      cost = excluded.cost;
  delete from archon_mcp_user_totals as total
  where not exists (
    select from archon_mcp_user_days as day
    where day.user_id = total.user_id and day.department is not distinct from total.department
  );
  perform archon_mcp_time_users(array(select total.user_id from archon_mcp_user_totals as total));
  perform archon_mcp_count_ended_sessions(null);
end
$$;

-- Makes the roll-ups anew from a day on, from the watermark when nothing is said, and keeps a record of what was
-- wrong. Every writer of calls waits meanwhile. Returns how many rows differed.
create function archon_mcp_rebuild_rollups(p_from date default null) returns bigint
language plpgsql
as $$
declare
  v_complete_from date;
  v_from date;
  v_differed bigint;
begin
  -- Waits for the statements on their way: the ledger's, the sweep's, and those of other writers.
  lock table archon_mcp_quotas in exclusive mode;
  lock table archon_mcp_requests in share mode;
  select complete_from into v_complete_from from archon_mcp_watermark for share;
  v_from := coalesce(p_from, v_complete_from);
  if v_from < v_complete_from then
    raise exception 'calls before % are not all there: the roll-ups of those days cannot be made from them', v_complete_from
      using errcode = 'invalid_parameter_value';
  end if;
  with record as (
    insert into archon_mcp_rebuilds (rebuilt_at, from_day, rollup, differed, calls_beyond, cost_beyond)
    select clock_timestamp(), v_from, found.rollup, count(*), coalesce(sum((found.beyond ->> 'calls')::bigint), 0),
           coalesce(sum((found.beyond ->> 'cost')::numeric), 0)
    from archon_mcp_check_rollups(v_from) as found
    group by found.rollup
    returning differed
  )
  select coalesce(sum(record.differed), 0) into v_differed from record;
  perform archon_mcp_fill_rollups(v_from);
  return v_differed;
end
$$;

-- Calls that were written, changed or deleted by anybody but the ledger, the sweep and archon_mcp_rerate_step(),
-- which move the roll-ups themselves and say so. Models are what archon_mcp_usage says at that moment: who writes
-- that by hand rebuilds the roll-ups afterwards. A call that goes because it is old stays in the sums.
create function archon_mcp_roll_calls() returns trigger
language plpgsql
-- A plan that was made while the tables were small would go on reading them from end to end when they have grown.
set enable_seqscan = off
as $$
declare
  v_moved constant boolean := coalesce(current_setting('archon_mcp.rollups', true) = 'moved', false);
  v_calls archon_mcp_rolled_call[];
begin
  if tg_op = 'INSERT' then
    v_calls := array(select archon_mcp_rolled(call, 1) from added as call where call.status <> 'open');
  elsif tg_op = 'UPDATE' then
    v_calls := array(
      select archon_mcp_rolled(call, -1) from taken as call where call.status <> 'open'
      union all
      select archon_mcp_rolled(call, 1) from added as call where call.status <> 'open'
    );
  else
    if not v_moved then
      v_calls := array(
        select archon_mcp_rolled(call, -1)
        from taken as call
        where call.status <> 'open'
          and call.timestamp >= (select complete_from from archon_mcp_watermark)::timestamp at time zone 'UTC'
      );
    end if;
    delete from archon_mcp_usage as line where line.request_id = any (array(select call.request_id from taken as call));
  end if;
  if cardinality(v_calls) > 0 then
    perform archon_mcp_move_rollups(v_calls);
    if tg_op <> 'INSERT' then
      perform archon_mcp_time_users(
        array(select distinct call.user_id from unnest(v_calls) as call where call.user_id is not null)
      );
    end if;
    if tg_op = 'DELETE' then
      delete from archon_mcp_user_totals as total
      where total.user_id = any (array(select call.user_id from taken as call)) and total.calls = 0;
      delete from archon_mcp_session_totals as total
      where total.session_id = any (array(select call.session_id from taken as call)) and total.calls = 0;
    end if;
  end if;
  return null;
end
$$;
create trigger archon_mcp_roll_added
  after insert on archon_mcp_requests
  referencing new table as added
  for each statement
  when (current_setting('archon_mcp.rollups', true) is distinct from 'moved')
  execute function archon_mcp_roll_calls();
create trigger archon_mcp_roll_changed
  after update on archon_mcp_requests
  referencing old table as taken new table as added
  for each statement
  when (current_setting('archon_mcp.rollups', true) is distinct from 'moved')
  execute function archon_mcp_roll_calls();
create trigger archon_mcp_roll_deleted
  after delete on archon_mcp_requests
  referencing old table as taken
  for each statement
  execute function archon_mcp_roll_calls();
-- The trigger takes the lines of a call with it, when it has read them; a cascade would come before it.
alter table archon_mcp_usage
  drop constraint archon_mcp_usage_request_id_fkey,
  add constraint archon_mcp_usage_request_id_fkey
    foreign key (request_id) references archon_mcp_requests deferrable initially deferred;

-- Whoever truncates has the calls for themselves.
create function archon_mcp_roll_nothing() returns trigger
language plpgsql
as $$
begin
  perform archon_mcp_fill_rollups((select complete_from from archon_mcp_watermark));
  return null;
end
$$;
create trigger archon_mcp_roll_truncated
  after truncate on archon_mcp_requests
  for each statement
  execute function archon_mcp_roll_nothing();

-- Sessions that were written, changed or deleted by anybody but the ledger and the sweep, which add those that they end.
create function archon_mcp_roll_sessions() returns trigger
language plpgsql
set enable_seqscan = off
as $$
declare
  v_ended uuid[];
  v_users uuid[];
begin
  if tg_op = 'TRUNCATE' then
    delete from archon_mcp_ended_sessions;
    return null;
  elsif tg_op = 'INSERT' then
    v_users := array(select distinct session.user_id from added as session where session.disconnected_at is not null);
  elsif tg_op = 'DELETE' then
    v_users := array(select distinct session.user_id from taken as session where session.disconnected_at is not null);
  else
    v_ended := array(
      select session.session_id
      from added as session
      join taken as before on before.session_id = session.session_id
      where before.disconnected_at is null and session.disconnected_at is not null
    );
    v_users := array(
      select session.user_id
      from taken as before
      join added as session on session.session_id = before.session_id
      where before.disconnected_at is not null
        and (before.user_id, before.department, before.disconnected_at, before.total_duration, before.connected_at,
             before.last_activity)
          is distinct from (session.user_id, session.department, session.disconnected_at, session.total_duration,
            session.connected_at, session.last_activity)
      union
      select before.user_id
      from taken as before
      -- Whoever changes the id of a session takes all of its user's for new.
      where before.disconnected_at is not null
        and not exists (
          select from added as session
          where session.session_id = before.session_id and session.user_id is not distinct from before.user_id
        )
    );
  end if;
  if array_remove(v_users, null) <> '{}' then
    perform archon_mcp_count_ended_sessions(v_users);
    -- Those are counted.
    v_ended := array(
      select session.session_id from archon_mcp_sessions as session
      where session.session_id = any (v_ended) and session.user_id <> all (v_users)
    );
  end if;
  if v_ended <> '{}' then
    perform archon_mcp_move_ended_sessions(v_ended);
  end if;
  return null;
end
$$;
create trigger archon_mcp_roll_session_added
  after insert on archon_mcp_sessions
  referencing new table as added
  for each statement
  when (current_setting('archon_mcp.rollups', true) is distinct from 'moved')
  execute function archon_mcp_roll_sessions();
create trigger archon_mcp_roll_session_changed
  after update on archon_mcp_sessions
  referencing old table as taken new table as added
  for each statement
  when (current_setting('archon_mcp.rollups', true) is distinct from 'moved')
  execute function archon_mcp_roll_sessions();
create trigger archon_mcp_roll_session_deleted
  after delete on archon_mcp_sessions
  referencing old table as taken
  for each statement
  when (current_setting('archon_mcp.rollups', true) is distinct from 'moved')
  execute function archon_mcp_roll_sessions();
create trigger archon_mcp_roll_sessions_truncated
  after truncate on archon_mcp_sessions
  for each statement
  execute function archon_mcp_roll_sessions();

-- The seed's view and functions that read the roll-ups; 0006 has the others. Archon's own come back with the way down
-- of that step.

-- One row a user: totals over all their sessions and calls, and what they are called now. A live session is active
-- whether idle or not, so that active and disconnected add up to the total. A user may have calls and no session.
create view archon_mcp_user_stats with (security_invoker = true) as
select own.user_id,
       coalesce(known.email, (
         select session.user_email from archon_mcp_sessions as session
         where session.user_id = own.user_id and session.user_email is not null
         order by session.last_activity desc, session.session_id limit 1
       ))::varchar as user_email,
       coalesce(known.name, (
         select session.user_name from archon_mcp_sessions as session
         where session.user_id = own.user_id and session.user_name is not null
         order by session.last_activity desc, session.session_id limit 1
       ))::varchar as user_name,
       own.total_sessions, own.active_sessions, own.disconnected_sessions, own.avg_session_duration_seconds,
       own.max_session_duration_seconds, own.first_session_at, own.last_activity_at, own.total_requests, own.total_tokens,
       own.total_cost
from (
  select part.user_id,
         sum(part.active_sessions + part.disconnected_sessions)::bigint as total_sessions,
         sum(part.active_sessions)::bigint as active_sessions,
         sum(part.disconnected_sessions)::bigint as disconnected_sessions,
         sum(part.seconds) / nullif(sum(part.disconnected_sessions), 0) as avg_session_duration_seconds,
         max(part.longest_seconds) as max_session_duration_seconds,
         min(part.first_session_at) as first_session_at,
         max(part.last_activity_at) as last_activity_at,
         sum(part.calls)::bigint as total_requests,
         sum(part.tokens)::bigint as total_tokens,
         sum(part.cost) as total_cost
  from (
    select ended.user_id, 0::bigint as active_sessions, ended.sessions as disconnected_sessions, ended.seconds,
           ended.longest_seconds, ended.first_connected_at as first_session_at, ended.last_activity_at,
           0::bigint as calls, 0::bigint as tokens, 0::numeric as cost
    from archon_mcp_ended_sessions as ended
    union all
    select session.user_id, 1, 0, 0, null, session.connected_at, session.last_activity, 0, 0, 0
    from archon_mcp_sessions as session
    where session.user_id is not null
      and session.disconnected_at is null
    union all
    select total.user_id, 0, 0, 0, null, null, total.last_call_at, total.calls,
           total.prompt_tokens + total.completion_tokens, total.cost
    from archon_mcp_user_totals as total
    where total.calls > 0
  ) as part
  group by part.user_id
) as own
left join archon_mcp_users as known on known.user_id = own.user_id;

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
         coalesce(
           (select total.calls from archon_mcp_session_totals as total where total.session_id = session.session_id), 0
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
    -- Whole days of UTC from the roll-up, and what came before the first of them from the calls.
    select coalesce(sum(part.calls), 0)::bigint as total_requests, coalesce(sum(part.tokens), 0)::bigint as total_tokens,
           coalesce(sum(part.cost), 0) as total_cost
    from (select now() - make_interval(days => days) as at) as since
    cross join lateral (select (since.at at time zone 'UTC')::date + 1 as day) as whole
    cross join lateral (
      select day.calls, day.prompt_tokens + day.completion_tokens as tokens, day.cost
      from archon_mcp_user_days as day
      where day.user_id = p_user_id and day.day >= whole.day
      union all
      select 1, coalesce(call.prompt_tokens, 0) + coalesce(call.completion_tokens, 0),
             case when call.kind is null then coalesce(call.estimated_cost, 0) else call.cost end
      from archon_mcp_requests as call
      where call.user_id = p_user_id
        and call.status <> 'open'
        and call.timestamp >= since.at
        and call.timestamp < whole.day::timestamp at time zone 'UTC'
    ) as part
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
         coalesce(
           (select total.calls from archon_mcp_session_totals as total where total.session_id = session.session_id), 0
         )
  from archon_mcp_sessions as session
  where session.disconnected_at between start_date and end_date
  order by session.disconnected_at desc
$$;

revoke all on archon_mcp_user_stats from public, anon, authenticated, service_role;
grant select on archon_mcp_user_stats to service_role;

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
        'archon_mcp_duration_bounds', 'archon_mcp_duration_bucket', 'archon_mcp_rolled', 'archon_mcp_add_to_rollups',
        'archon_mcp_move_rollups',
        'archon_mcp_rollups_due', 'archon_mcp_rollups_said', 'archon_mcp_check_rollups', 'archon_mcp_time_users',
        'archon_mcp_fill_rollups', 'archon_mcp_rebuild_rollups', 'archon_mcp_roll_calls', 'archon_mcp_roll_nothing',
        'archon_mcp_roll_sessions', 'archon_mcp_session_seconds', 'archon_mcp_ended_sessions_due',
        'archon_mcp_move_ended_sessions', 'archon_mcp_count_ended_sessions',
        'get_user_sessions', 'get_user_activity_summary', 'get_disconnected_sessions'
      )
  loop
    execute format('revoke all on function %s from public, anon, authenticated, service_role', v_routine);
    if v_result <> 'trigger' then
      execute format('grant execute on function %s to service_role', v_routine);
    end if;
  end loop;
end
$$;

-- What an earlier way down set aside: the days whose calls are not all there. The others are made from the calls.
insert into archon_mcp_watermark (complete_from) values ('-infinity');
update archon_mcp_watermark
set complete_from = (taken.content ->> 'complete_from')::date
from archon_mcp_take_back(8, 'archon_mcp_watermark') as taken;
do $$
declare
  v_table text;
begin
  foreach v_table in array array[
    'archon_mcp_user_totals', 'archon_mcp_session_totals', 'archon_mcp_user_days', 'archon_mcp_quarters',
    'archon_mcp_tool_days', 'archon_mcp_duration_days', 'archon_mcp_rebuilds'
  ] loop
    execute format(
      'insert into %1$I
       select (jsonb_populate_record(null::%1$I, taken.content)).* from archon_mcp_take_back(8, %1$L) as taken', v_table
    );
  end loop;
end
$$;
select archon_mcp_fill_rollups(complete_from) from archon_mcp_watermark;

select archon_mcp_remember(made)
from unnest(array[
  'archon_mcp_watermark', 'archon_mcp_user_totals', 'archon_mcp_session_totals', 'archon_mcp_ended_sessions',
  'archon_mcp_user_days', 'archon_mcp_quarters', 'archon_mcp_tool_days', 'archon_mcp_duration_days', 'archon_mcp_rebuilds'
]) as made;

-- migrate:down
lock table archon_mcp_requests in share row exclusive mode;
select archon_mcp_refuse_additions(made)
from unnest(array[
  'archon_mcp_watermark', 'archon_mcp_user_totals', 'archon_mcp_session_totals', 'archon_mcp_ended_sessions',
  'archon_mcp_user_days', 'archon_mcp_quarters', 'archon_mcp_tool_days', 'archon_mcp_duration_days', 'archon_mcp_rebuilds'
]) as made;
select archon_mcp_set_aside_rows(8, 'archon_mcp_rebuilds');
select archon_mcp_set_aside_rows(8, 'archon_mcp_user_days', format('kept.day < %L', complete_from)),
       archon_mcp_set_aside_rows(
         8, 'archon_mcp_quarters', format('kept.quarter < %L::timestamp at time zone ''UTC''', complete_from)
       ),
       archon_mcp_set_aside_rows(8, 'archon_mcp_tool_days', format('kept.day < %L', complete_from)),
       archon_mcp_set_aside_rows(8, 'archon_mcp_duration_days', format('kept.day < %L', complete_from)),
       archon_mcp_set_aside_rows(8, 'archon_mcp_user_totals', format('kept.first_call_at < %L::timestamp at time zone ''UTC''', complete_from)),
       archon_mcp_set_aside_rows(8, 'archon_mcp_session_totals', format(
         'not exists (
            select from archon_mcp_sessions as session
            where session.session_id = kept.session_id and session.connected_at >= %L::timestamp at time zone ''UTC''
          )', complete_from
       )),
       archon_mcp_set_aside_rows(8, 'archon_mcp_watermark')
from archon_mcp_watermark
where complete_from > '-infinity';
drop function get_disconnected_sessions(timestamptz, timestamptz);
drop function get_user_activity_summary(uuid, integer);
drop function get_user_sessions(uuid, timestamptz, timestamptz);
drop view archon_mcp_user_stats;
alter table archon_mcp_usage
  drop constraint archon_mcp_usage_request_id_fkey,
  add constraint archon_mcp_usage_request_id_fkey
    foreign key (request_id) references archon_mcp_requests on delete cascade;
drop trigger archon_mcp_roll_sessions_truncated on archon_mcp_sessions;
drop trigger archon_mcp_roll_session_deleted on archon_mcp_sessions;
drop trigger archon_mcp_roll_session_changed on archon_mcp_sessions;
drop trigger archon_mcp_roll_session_added on archon_mcp_sessions;
drop function archon_mcp_roll_sessions;
drop trigger archon_mcp_roll_truncated on archon_mcp_requests;
drop function archon_mcp_roll_nothing;
drop trigger archon_mcp_roll_deleted on archon_mcp_requests;
drop trigger archon_mcp_roll_changed on archon_mcp_requests;
drop trigger archon_mcp_roll_added on archon_mcp_requests;
drop function archon_mcp_roll_calls;
drop function archon_mcp_rebuild_rollups;
drop function archon_mcp_fill_rollups;
drop function archon_mcp_time_users;
drop function archon_mcp_check_rollups;
drop function archon_mcp_rollups_said;
drop function archon_mcp_rollups_due;
drop function archon_mcp_count_ended_sessions;
drop function archon_mcp_move_ended_sessions;
drop function archon_mcp_ended_sessions_due;
drop function archon_mcp_session_seconds;
drop function archon_mcp_move_rollups;
drop function archon_mcp_add_to_rollups;
drop function archon_mcp_rolled;
drop type archon_mcp_rollup;
drop function archon_mcp_duration_bucket;
drop function archon_mcp_duration_bounds;
drop table archon_mcp_rebuilds;
drop table archon_mcp_duration_days;
drop table archon_mcp_tool_days;
drop table archon_mcp_quarters;
drop table archon_mcp_user_days;
drop table archon_mcp_ended_sessions;
drop table archon_mcp_session_totals;
drop table archon_mcp_user_totals;
drop table archon_mcp_watermark;
