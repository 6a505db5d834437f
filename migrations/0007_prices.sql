-- Prices that were corrected: the calls of a period are priced anew, step by step, and what changed stays on record.

-- migrate:up
create table archon_mcp_rerates (
  rerate_id uuid primary key default gen_random_uuid(),
  rerated_at timestamptz not null default now(),
  -- Calls that were admitted from the one moment up to, and not with, the other.
  from_at timestamptz not null,
  to_at timestamptz not null,
  -- Sorted; null for all, and for the prices of tools.
  models text[],
  -- The calls that changed, and what they cost together.
  calls bigint not null default 0,
  cost_before numeric(30, 10) not null default 0,
  cost_after numeric(30, 10) not null default 0,
  -- A user's id, or what kind of program it was.
  by text,
  -- The call that was looked at last. Until it has finished, what was done so far stands here.
  reached_at timestamptz,
  reached_id uuid,
  finished_at timestamptz,
  constraint archon_mcp_rerates_period check (from_at < to_at)
);
comment on table archon_mcp_rerates is 'which recorded costs were computed anew after a price was corrected';

revoke all on archon_mcp_rerates from public, anon, authenticated;
alter table archon_mcp_rerates enable row level security;
create policy archon_mcp_rerates_service on archon_mcp_rerates to service_role using (true) with check (true);
grant select, insert, update, delete on archon_mcp_rerates to service_role;

-- What a model's tokens in a call, and a call, cost on record and by the prices of today.
create type archon_mcp_rated_line as (
  request_id uuid, model text, cost_before numeric, cost numeric, unpriced_before boolean, unpriced boolean
);
create type archon_mcp_rated_call as (
  request_id uuid, cost_before numeric, cost numeric, tool_cost numeric, unpriced boolean,
  lines archon_mcp_rated_line[]
);

-- Calls that have ended, as the ledger would add them up if they ended now: those whose figures differ. What a tool
-- said it cost stays. The day of a price is one of UTC, whoever asks.
create function archon_mcp_rated_calls(p_request_ids uuid[], p_models text[]) returns setof archon_mcp_rated_call
language sql
stable
as $$
  select call.request_id, call.cost, total.cost, tool.cost, used.unpriced, used.lines
  from archon_mcp_requests as call
  cross join lateral (
    select coalesce(sum(rated.cost), 0) as cost, coalesce(bool_or(rated.unpriced), false) as unpriced,
           array_agg(row(
             call.request_id, rated.model, rated.cost_before, rated.cost, rated.unpriced_before, rated.unpriced
           )::archon_mcp_rated_line) filter (
             where (rated.cost, rated.unpriced) is distinct from (rated.cost_before, rated.unpriced_before)
           ) as lines
    from (
      select line.model, line.cost as cost_before, line.unpriced as unpriced_before,
             case when kept.as_it_is then line.cost else least(coalesce(now.price, 0), 9999999999)::numeric(20, 10) end
               as cost,
             case
               when kept.as_it_is then line.unpriced
               else now.price is null and line.prompt_tokens + line.completion_tokens > 0
             end as unpriced
      from archon_mcp_usage as line
      cross join lateral (
        select line.told or coalesce(line.model <> all (p_models), false) as as_it_is
      ) as kept
      cross join lateral (
        select case when not kept.as_it_is then archon_mcp_priced(
          line.model, line.prompt_tokens, line.completion_tokens, line.cached_tokens,
          (call.timestamp at time zone 'UTC')::date
        ) end as price
        -- So that it is looked up once.
        offset 0
      ) as now
      where line.request_id = call.request_id
      offset 0
    ) as rated
  ) as used
  cross join lateral (
    select case
      when p_models is not null then call.tool_cost
      when call.counted then coalesce(archon_mcp_tool_priced(call.tool_name, call.timestamp), 0)
      else 0
    end as cost
    offset 0
  ) as tool
  cross join lateral (select least(used.cost + tool.cost, 9999999999) as cost) as total
  where call.request_id = any (p_request_ids)
    and (used.lines is not null
      or (call.cost, call.tool_cost, call.unpriced) is distinct from (total.cost, tool.cost, used.unpriced))
$$;

-- Begins to price the calls of a period anew; archon_mcp_rerate_step does it.
create function archon_mcp_rerate(
  p_from timestamptz, p_to timestamptz, p_models text[] default null, p_by text default null
) returns uuid
language plpgsql
as $$
declare
  v_rerate_id uuid;
begin
  -- A call that ends at this moment may have read the prices as they were: waits for those on their way, after whom
  -- everybody sees the new ones.
  lock table archon_mcp_quotas in exclusive mode;
  insert into archon_mcp_rerates (rerated_at, from_at, to_at, models, by)
  values (
    clock_timestamp(), p_from,
    -- Later calls have the new prices.
    least(p_to, greatest(clock_timestamp(), p_from + interval '1 microsecond')),
    (select array_agg(distinct model order by model) from unnest(p_models) as model), p_by
  )
  returning rerate_id into v_rerate_id;
  return v_rerate_id;
end
$$;

-- Prices the next p_limit calls anew, and moves the budgets by the difference, so that callers wait for a step and
-- never for the whole. Open calls get today's prices when they end, and one that nobody closed was charged its
-- estimate. Locks are taken in the ledger's order: quotas (shared), calls by id, budgets by key, roll-ups by key.
create function archon_mcp_rerate_step(p_rerate_id uuid, p_limit integer) returns archon_mcp_rerates
language plpgsql
-- As the ledger, with which it shares functions and so their plans.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_rerate archon_mcp_rerates;
  v_calls uuid[];
  v_at timestamptz[];
  v_seen integer;
  v_rated archon_mcp_rated_call[];
  v_ids uuid[];
  v_rolled archon_mcp_rolled_call[];
  v_changed bigint := 0;
  v_before numeric := 0;
  v_after numeric := 0;
  -- What changes budgets: one entry for each call and budget that counts it.
  v_key text[];
  v_key_at timestamptz[];
  v_key_used numeric[];
  v_key_excess numeric[];
  v_key_excess_calls integer[];
  v_made text[];
begin
  lock table archon_mcp_quotas in row share mode;
  -- One step at a time: then nobody else changes what calls that have ended cost.
  lock table archon_mcp_rerates in exclusive mode;
  select * into v_rerate from archon_mcp_rerates as known where known.rerate_id = p_rerate_id;
  if v_rerate.rerate_id is null or v_rerate.finished_at is not null then
    return v_rerate;
  end if;

  select array_agg(page.request_id order by page.timestamp, page.request_id),
         array_agg(page.timestamp order by page.timestamp, page.request_id)
  into v_calls, v_at
  from (
    select call.request_id, call.timestamp
    from archon_mcp_requests as call
    where call.timestamp >= coalesce(v_rerate.reached_at, v_rerate.from_at)
      and call.timestamp < v_rerate.to_at
      and (v_rerate.reached_id is null or (call.timestamp, call.request_id) > (v_rerate.reached_at, v_rerate.reached_id))
      and call.kind is not null
      and call.status <> 'open'
      and not call.hold_expired
    order by call.timestamp, call.request_id
    limit p_limit
  ) as page;
  v_seen := coalesce(cardinality(v_calls), 0);
  if v_seen > 0 then
    v_rerate.reached_id := v_calls[v_seen];
    v_rerate.reached_at := v_at[v_seen];
    -- Looked up once: prices may change while this goes on.
    select array_agg(rated) into v_rated from archon_mcp_rated_calls(v_calls, v_rerate.models) as rated;
  end if;

  if v_rated is not null then
    v_ids := array(select rated.request_id from unnest(v_rated) as rated);
    perform from archon_mcp_requests as call
    where call.request_id = any (v_ids)
    order by call.request_id
    for no key update;
    v_rolled := array(select archon_mcp_rolled(call, -1) from archon_mcp_requests as call where call.request_id = any (v_ids));

    -- A model's budget counts the model's lines, any other the whole call; what was beyond the estimate, the latter.
    select array_agg(moved.key), array_agg(moved.at), array_agg(moved.used), array_agg(moved.excess),
           array_agg(moved.excess_calls)
    into v_key, v_key_at, v_key_used, v_key_excess, v_key_excess_calls
    from (
      select counting.quota_id || ' ' || counting.holder as key, call.timestamp as at, amount.used, amount.excess,
             amount.excess_calls
      from unnest(v_rated) as rated
      cross join lateral (
        select * from archon_mcp_requests as known where known.request_id = rated.request_id offset 0
      ) as call
      cross join lateral archon_mcp_quotas_of('budget', call.user_id, call.department, call.tool_name) as counting
      cross join lateral (
        select * from archon_mcp_quotas as known where known.quota_id = counting.quota_id offset 0
      ) as quota
      cross join lateral (
        select rated.cost - rated.cost_before as used,
               greatest(rated.cost - call.reserved_cost, 0) - greatest(rated.cost_before - call.reserved_cost, 0)
                 as excess,
               (rated.cost > call.reserved_cost)::integer - (rated.cost_before > call.reserved_cost)::integer
                 as excess_calls
        where quota.metric = 'cost' and quota.models is null
        union all
        select sum(line.cost - line.cost_before), 0, 0
        from unnest(rated.lines) as line
        where quota.metric = 'cost' and quota.models is not null and line.model = any (quota.models)
        union all
        select rated.unpriced::integer - call.unpriced::integer, 0, 0
        where quota.metric = 'unpriced' and quota.models is null
        union all
        -- Lines that did not change may hold it where it was.
        select max(coalesce(now.unpriced, line.unpriced)::integer) - max(line.unpriced::integer), 0, 0
        from archon_mcp_usage as line
        left join unnest(rated.lines) as now on now.model = line.model
        where quota.metric = 'unpriced' and quota.models is not null
          and line.request_id = call.request_id and line.model = any (quota.models)
      ) as amount
      where archon_mcp_counts(call.method)
        and amount.used <> 0
    ) as moved;

    -- The roll-ups are moved here, and not by the triggers of other writers.
    perform set_config('archon_mcp.rollups', 'moved', true);
    update archon_mcp_usage as line
    set cost = rated.cost, unpriced = rated.unpriced
    from unnest(v_rated) as call
    cross join lateral unnest(call.lines) as rated
    where line.request_id = rated.request_id
      and line.model = rated.model;
    with changed as (
      update archon_mcp_requests as call
      set cost = rated.cost, estimated_cost = round(least(rated.cost, 9999), 6), tool_cost = rated.tool_cost,
          unpriced = rated.unpriced
      from unnest(v_rated) as rated
      where call.request_id = rated.request_id
      returning rated.cost_before, rated.cost
    )
    select count(*), coalesce(sum(changed.cost_before), 0), coalesce(sum(changed.cost), 0)
    into v_changed, v_before, v_after
    from changed;

    if v_key is not null then
      -- Also those that are missing: somebody else may be making one at this moment, and see the calls as they were.
      v_made := archon_mcp_make_budgets(array_agg(left(missing.key, 36)::uuid), array_agg(substr(missing.key, 38)), null)
      from (
        select distinct key from unnest(v_key) as key
        where not exists (select from archon_mcp_budgets as known where known.key = key)
      ) as missing;
      perform from archon_mcp_budgets as known
      where known.key = any (v_key)
      order by known.key
      for no key update;
      update archon_mcp_budgets as budget
      set used = budget.used + moved.used,
          excess = budget.excess + moved.excess,
          excess_calls = budget.excess_calls + moved.excess_calls
      from (
        select change.key, sum(change.used) as used, sum(change.excess) as excess,
               sum(change.excess_calls) as excess_calls
        from unnest(v_key, v_key_at, v_key_used, v_key_excess, v_key_excess_calls)
          as change (key, at, used, excess, excess_calls)
        cross join lateral (
          select * from archon_mcp_budgets as known where known.key = change.key offset 0
        ) as standing
        -- Those that were made here have counted the calls as they are now.
        where change.key <> all (coalesce(v_made, '{}'))
          and change.at >= standing.starts_at and change.at < standing.ends_at
        group by change.key
      ) as moved
      where budget.key = any (v_key)
        and budget.key = moved.key;
    end if;

    perform archon_mcp_move_rollups(
      v_rolled
      || array(select archon_mcp_rolled(call, 1) from archon_mcp_requests as call where call.request_id = any (v_ids))
    );
    perform set_config('archon_mcp.rollups', '', true);
  end if;

  update archon_mcp_rerates as known
  set calls = known.calls + v_changed,
      cost_before = known.cost_before + v_before,
      cost_after = known.cost_after + v_after,
      reached_at = v_rerate.reached_at,
      reached_id = v_rerate.reached_id,
      finished_at = case when v_seen < p_limit then clock_timestamp() end
  where known.rerate_id = p_rerate_id
  returning * into v_rerate;
  return v_rerate;
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
        'archon_mcp_rated_calls', 'archon_mcp_rerate', 'archon_mcp_rerate_step'
      )
  loop
    execute format('revoke all on function %s from public, anon, authenticated', routine);
    execute format('grant execute on function %s to service_role', routine);
  end loop;
end
$$;

-- What an earlier way down set aside.
insert into archon_mcp_rerates
select (jsonb_populate_record(null::archon_mcp_rerates, taken.content)).*
from archon_mcp_take_back(7, 'archon_mcp_rerates') as taken
on conflict do nothing;

select archon_mcp_remember('archon_mcp_rerates');

-- migrate:down
lock table archon_mcp_rerates;
select archon_mcp_refuse_additions('archon_mcp_rerates');
select archon_mcp_set_aside_rows(7, 'archon_mcp_rerates');
drop function archon_mcp_rerate_step;
drop function archon_mcp_rerate;
drop function archon_mcp_rated_calls;
drop type archon_mcp_rated_call;
drop type archon_mcp_rated_line;
drop table archon_mcp_rerates;
