-- The ledger: one statement that closes the calls which have ended and judges and opens the ones that wait, for
-- everything an instance has gathered at that moment; and the sweep, which closes what nobody came back for.
-- Locks are taken in one order everywhere: quotas (shared), ended calls by id, users, sessions by id, rate cells by
-- key, budgets by key, new calls, refusals by key, roll-ups by key. The sweep skips what is locked.

-- migrate:up

-- Where rate limits stand: one row for each limit and whom it holds.
create table archon_mcp_rate_cells (
  key text primary key,
  -- The moment at which the calls so far have been worked off.
  empty_at timestamptz not null
) with (fillfactor = 50);
revoke all on archon_mcp_rate_cells from public, anon, authenticated;
alter table archon_mcp_rate_cells enable row level security;
create policy archon_mcp_rate_cells_service on archon_mcp_rate_cells to service_role using (true) with check (true);
grant select, insert, update, delete on archon_mcp_rate_cells to service_role;

-- A call that has ended, and by how much it moves the budgets that it was charged to.
create type archon_mcp_ended as (
  request_id uuid, user_id uuid, department text, tool text, at timestamptz, counted boolean,
  used_requests integer, held_requests integer,
  used_tokens bigint, held_tokens bigint, excess_tokens bigint,
  used_cost numeric, held_cost numeric, excess_cost numeric,
  used_unpriced integer
);
-- What a model's tokens in a call come to, and what a call adds to the roll-ups (sign 1) or takes away (-1).
create type archon_mcp_rolled_line as (
  model text, prompt_tokens integer, completion_tokens integer, cached_tokens integer, reasoning_tokens integer,
  cost numeric, unpriced boolean
);
create type archon_mcp_rolled_call as (
  sign integer, at timestamptz, user_id uuid, session_id uuid, department text, client_type text, tool text,
  success integer, timeout integer, prompt_tokens integer, completion_tokens integer, cost numeric,
  tool_priced boolean, unpriced integer, estimated integer, duration_ms integer,
  -- Sorted by model; null for none.
  lines archon_mcp_rolled_line[],
  -- Known to be one line that accounts for the whole call.
  one_line boolean
);
-- What one call that has ended moves.
create type archon_mcp_closed as (ended archon_mcp_ended, counts boolean, rolled archon_mcp_rolled_call);
-- What a request wants of a rate, and of the budgets.
create type archon_mcp_rate_want as (
  request integer, key text, calls integer, amount integer, window_seconds integer, burst integer, mode text, quota_id uuid
);
create type archon_mcp_budget_want as (
  request integer, user_id uuid, department text, tool text, tokens bigint, cost numeric, judged boolean
);
-- What was decided, and which limit to tell of: the one that refuses, or the one that is nearest to it.
create type archon_mcp_rate_verdict as (
  request integer, retry_ms bigint, refused boolean, quota_id uuid, amount integer, window_seconds integer,
  remaining integer, reset_ms integer, observed uuid[]
);
create type archon_mcp_budget_verdict as (
  request integer, retry_ms bigint, refused boolean, quota_id uuid, scope text, metric text, window_unit text,
  amount numeric, remaining numeric, starts_at timestamptz, ends_at timestamptz, warning numeric,
  -- Refused only because of what calls in flight hold.
  held boolean,
  elsewhere text, observed uuid[], at timestamptz
);

-- What a model's tokens cost on a day, in USD; null for a model without a price. Cached tokens are part of the prompt.
create function archon_mcp_priced(
  p_model text, p_prompt_tokens integer, p_completion_tokens integer, p_cached_tokens integer, p_on date
) returns numeric
language sql
stable
as $$
  select (
    (p_prompt_tokens - p_cached_tokens) * price.input_price_per_1k
    + p_cached_tokens * coalesce(price.cached_price_per_1k, price.input_price_per_1k)
    + p_completion_tokens * price.output_price_per_1k
  ) / 1000
  from archon_llm_pricing as price
  where price.model_name = p_model and price.effective_date <= p_on
  order by price.effective_date desc, price.id desc
  limit 1
$$;

-- What a call of a tool costs by itself at a moment.
create function archon_mcp_tool_priced(p_tool text, p_at timestamptz) returns numeric
language sql
stable
as $$
  select price.price
  from archon_mcp_tool_prices as price
  where price.tool_name = p_tool and price.effective_at <= p_at
  order by price.effective_at desc
  limit 1
$$;

-- The quotas that count a call. A user's or department's own takes the place of the one for each of them that has
-- the same metric, window and narrowing.
create function archon_mcp_quotas_of(p_kind text, p_user uuid, p_department text, p_tool text)
returns table (
  quota_id uuid, holder text, metric text, models text[], amount numeric, window_seconds integer, burst integer, mode text
)
language sql
stable
as $$
  select quota.quota_id,
         case
           when quota.scope in ('user', 'each_user') then 'user ' || p_user
           when quota.scope in ('department', 'each_department') then 'department ' || p_department
           else quota.holder
         end,
         quota.metric, quota.models, quota.amount, quota.window_seconds, quota.burst, quota.mode
  from archon_mcp_quotas as quota
  where quota.kind = p_kind
    and quota.holder = any (array[
      'everyone', 'user ' || p_user, 'department ' || p_department,
      case when p_user is not null then 'each_user' end, case when p_department is not null then 'each_department' end
    ])
    and (quota.tools is null or array[p_tool, regexp_replace(p_tool, '/.*', '/*')] && quota.tools)
    and not (quota.scope like 'each%' and exists (
      select from archon_mcp_quotas as own
      where own.kind = p_kind
        and own.holder = case quota.scope when 'each_user' then 'user ' || p_user else 'department ' || p_department end
        and (own.metric, own.window_unit, own.tools, own.models)
          is not distinct from (quota.metric, quota.window_unit, quota.tools, quota.models)
    ))
$$;

-- Rates, in the order of the requests: a cell holds the moment at which it is empty again, each call moves it by
-- window / amount, and it may lie burst calls ahead (the generic cell rate algorithm of ATM, ITU-T I.371). A request
-- is taken whole or not at all.
create function archon_mcp_judge_rates(p_now timestamptz, p_wants archon_mcp_rate_want[])
returns setof archon_mcp_rate_verdict
language plpgsql
as $$
#variable_conflict use_column
declare
  v_keys text[];
  v_key text[];
  v_empty_at timestamptz[];
  v_cell integer[];     -- by want
  v_want archon_mcp_rate_want;
  v_answer archon_mcp_rate_verdict;
  v_interval interval;
  v_after timestamptz;
  v_wait interval;
  v_wait_ms bigint;
  v_first integer := 1;
  v_last integer;
  v_left integer;
begin
  select array_agg(distinct want.key) into v_keys from unnest(p_wants) as want;
  if (select count(*) from archon_mcp_rate_cells as known where known.key = any (v_keys)) < cardinality(v_keys) then
    insert into archon_mcp_rate_cells (key, empty_at)
    select missing.key, p_now
    from unnest(v_keys) as missing (key)
    order by missing.key
    on conflict do nothing;
  end if;
  select array_agg(cell.key), array_agg(cell.empty_at)
  into v_key, v_empty_at
  from (
    select known.key, known.empty_at
    from archon_mcp_rate_cells as known
    where known.key = any (v_keys)
    order by known.key
    for update
  ) as cell;
  v_cell := array(
    select array_position(v_key, want.key) from unnest(p_wants) with ordinality as want order by want.ordinality
  );

  while v_first <= cardinality(p_wants) loop
    v_answer := null;
    v_answer.request := p_wants[v_first].request;
    v_last := v_first;
    while v_last < cardinality(p_wants) and p_wants[v_last + 1].request = v_answer.request loop
      v_last := v_last + 1;
    end loop;
    for v_place in v_first..v_last loop
      v_want := p_wants[v_place];
      v_interval := make_interval(secs => v_want.window_seconds::double precision / v_want.amount);
      v_wait := greatest(v_empty_at[v_cell[v_place]], p_now) + v_want.calls * v_interval
        - p_now - v_want.burst * v_interval;
      continue when v_wait <= interval '0';
      if v_want.mode <> 'enforce' then
        v_answer.observed := v_answer.observed || v_want.quota_id;
      else
        -- More calls than may ever come at once: no time makes room for them.
        v_wait_ms := case when v_want.calls <= v_want.burst then ceil(extract(epoch from v_wait) * 1000) end;
        continue when v_answer.refused and coalesce(v_wait_ms, 1e15) <= coalesce(v_answer.retry_ms, 1e15);
        v_answer.refused := true;
        v_answer.retry_ms := v_wait_ms;
        v_answer.quota_id := v_want.quota_id;
        v_answer.amount := v_want.amount;
        v_answer.window_seconds := v_want.window_seconds;
      end if;
    end loop;
    for v_place in v_first..v_last loop
      v_want := p_wants[v_place];
      v_interval := make_interval(secs => v_want.window_seconds::double precision / v_want.amount);
      v_after := greatest(v_empty_at[v_cell[v_place]], p_now);
      if v_answer.refused is null then
        v_after := v_after + v_want.calls * v_interval;
        v_empty_at[v_cell[v_place]] := v_after;
      end if;
      continue when v_want.mode = 'observe'
        or (v_answer.refused and v_want.quota_id is distinct from v_answer.quota_id);
      v_left := greatest(
        floor(v_want.burst - extract(epoch from v_after - p_now) / extract(epoch from v_interval) + 0.001), 0
      );
      if v_answer.remaining is null or v_left < v_answer.remaining then
        v_answer.remaining := v_left;
        v_answer.reset_ms := ceil(extract(epoch from v_after - p_now) * 1000);
        v_answer.quota_id := v_want.quota_id;
        v_answer.amount := v_want.amount;
        v_answer.window_seconds := v_want.window_seconds;
      end if;
    end loop;
    return next v_answer;
    v_first := v_last + 1;
  end loop;

  if cardinality(v_key) = 1 then
    update archon_mcp_rate_cells as cell
    set empty_at = v_empty_at[1]
    where cell.key = v_key[1]
      and cell.empty_at <> v_empty_at[1];
    return;
  end if;
  update archon_mcp_rate_cells as cell
  set empty_at = moved.empty_at
  from unnest(v_key, v_empty_at) as moved (key, empty_at)
  where cell.key = any (v_key)
    and cell.key = moved.key
    and cell.empty_at <> moved.empty_at;
end
$$;

-- The key of the cell of a rate that the server is configured with.
create function archon_mcp_rate_key(
  p_limit integer, p_window_seconds integer, p_key text, p_per text, p_user uuid, p_department text, p_name text
) returns text
language sql
stable
as $$
  select concat_ws(
    ' ',
    p_limit || '/' || p_window_seconds || 's',
    case
      when p_key is not null then 'key ' || p_key
      when p_per = 'department' and p_department is not null then 'department ' || p_department
      else 'user ' || p_user
    end,
    case when p_per = 'user-and-tool' then 'tool ' || p_name end
  )
$$;

-- One want alone, for which there is room: as archon_mcp_judge_rates() would. Null where there is none, or it only
-- observes; then that function says.
create function archon_mcp_take_rate(p_now timestamptz, p_want archon_mcp_rate_want) returns archon_mcp_rate_verdict
language plpgsql
as $$
declare
  v_interval constant interval := make_interval(secs => p_want.window_seconds::double precision / p_want.amount);
  v_ahead interval;
begin
  update archon_mcp_rate_cells as cell
  set empty_at = greatest(cell.empty_at, p_now) + p_want.calls * v_interval
  where cell.key = p_want.key
    and p_want.mode <> 'observe'
    and greatest(cell.empty_at, p_now) + p_want.calls * v_interval - p_now <= p_want.burst * v_interval
  returning cell.empty_at - p_now into v_ahead;
  if v_ahead is null then
    return null;
  end if;
  return row(
    p_want.request, null, null, p_want.quota_id, p_want.amount, p_want.window_seconds,
    greatest(floor(p_want.burst - extract(epoch from v_ahead) / extract(epoch from v_interval) + 0.001), 0),
    ceil(extract(epoch from v_ahead) * 1000), null
  )::archon_mcp_rate_verdict;
end
$$;

-- Budgets: what ended calls held is let go and what they used is counted; then requests are judged in their order,
-- each by every budget that counts its calls, and what is admitted is held. All under locks that are taken in the
-- order of the keys, before anything is read.
create function archon_mcp_move_budgets(
  p_now timestamptz, p_ended archon_mcp_ended[], p_wants archon_mcp_budget_want[]
) returns setof archon_mcp_budget_verdict
language plpgsql
as $$
#variable_conflict use_column
declare
  v_request integer[];
  v_request_key text[];
  v_request_need numeric[];
  v_request_judged boolean[];
  v_ended_key text[];
  v_ended_at timestamptz[];
  v_ended_used numeric[];
  v_ended_held numeric[];
  v_ended_excess numeric[];
  v_keys text[];
  v_missing boolean;
  v_missing_quota uuid[];
  v_missing_holder text[];
  v_made text[];
  -- The budgets, by key.
  v_key text[];
  v_starts_at timestamptz[];
  v_ends_at timestamptz[];
  v_used numeric[];
  v_held numeric[];
  v_excess numeric[];
  v_excess_calls bigint[];
  v_quota archon_mcp_quotas[];
  v_at timestamptz;
  v_period record;
  v_budget integer;
  v_places integer[];
  v_first integer := 1;
  v_last integer;
  v_left numeric;
  v_wait_ms bigint;
  v_share numeric;
  v_tightest numeric;
  v_answer archon_mcp_budget_verdict;
begin
  if cardinality(p_wants) > 0 then
    select array_agg(need.request order by need.request, need.key), array_agg(need.key order by need.request, need.key),
           array_agg(need.amount order by need.request, need.key), array_agg(need.judged order by need.request, need.key)
    into v_request, v_request_key, v_request_need, v_request_judged
    from (
      select want.request, quota.quota_id || ' ' || quota.holder as key, bool_and(want.judged) as judged,
             sum(case
               when quota.models is not null or quota.metric = 'unpriced' then 0
               when quota.metric = 'requests' then 1
               when quota.metric = 'tokens' then want.tokens
               else want.cost
             end) as amount
      from unnest(p_wants) as want
      cross join lateral archon_mcp_quotas_of('budget', want.user_id, want.department, want.tool) as quota
      group by 1, 2
    ) as need;
  end if;

  if cardinality(p_ended) > 0 then
    select array_agg(change.key), array_agg(change.at), array_agg(change.used), array_agg(change.held),
           array_agg(change.excess)
    into v_ended_key, v_ended_at, v_ended_used, v_ended_held, v_ended_excess
    from (
      select quota.quota_id || ' ' || quota.holder as key, ended.at, amount.used, amount.held, amount.excess
      from unnest(p_ended) as ended
      cross join lateral archon_mcp_quotas_of('budget', ended.user_id, ended.department, ended.tool) as quota
      cross join lateral (
        select case quota.metric when 'requests' then ended.used_requests when 'tokens' then ended.used_tokens
                 when 'unpriced' then ended.used_unpriced else ended.used_cost end as used,
               case quota.metric when 'requests' then ended.held_requests when 'tokens' then ended.held_tokens
                 when 'unpriced' then 0 else ended.held_cost end as held,
               case quota.metric when 'tokens' then ended.excess_tokens when 'cost' then ended.excess_cost
                 else 0 end as excess
        where quota.models is null
        union all
        select case quota.metric when 'tokens' then sum(line.prompt_tokens + line.completion_tokens)
                 when 'cost' then sum(line.cost) when 'unpriced' then max(line.unpriced::integer)
                 else least(count(*), ended.counted::integer) end, 0, 0
        from archon_mcp_usage as line
        where line.request_id = ended.request_id and line.model = any (quota.models)
      ) as amount
    ) as change
    where change.used <> 0 or change.held <> 0;
  end if;

  -- Those of ended calls too: somebody else may be making one at this moment, and see the call as it was.
  select array_agg(wanted.key), count(*) > count(known.key)
  into v_keys, v_missing
  from (select distinct key from unnest(v_request_key || v_ended_key) as key) as wanted
  left join archon_mcp_budgets as known on known.key = wanted.key;
  if v_keys is null then
    return;
  end if;
  if v_missing then
    select array_agg(left(missing.key, 36)::uuid), array_agg(substr(missing.key, 38))
    into v_missing_quota, v_missing_holder
    from unnest(v_keys) as missing (key)
    where not exists (select from archon_mcp_budgets as known where known.key = missing.key);
    -- The rows of the ended calls say already what they used.
    v_made := archon_mcp_make_budgets(v_missing_quota, v_missing_holder, p_now);
  end if;

  select array_agg(budget.key), array_agg(budget.starts_at), array_agg(budget.ends_at), array_agg(budget.used),
         array_agg(budget.held), array_agg(budget.excess), array_agg(budget.excess_calls),
         array_agg((select quota from archon_mcp_quotas as quota where quota.quota_id = budget.quota_id))
  into v_key, v_starts_at, v_ends_at, v_used, v_held, v_excess, v_excess_calls, v_quota
  from (
    select * from archon_mcp_budgets as known
    where known.key = any (v_keys)
    order by known.key
    for no key update
  ) as budget;
  if v_key is null then
    return;
  end if;

  -- The clock is read again now that nobody else moves them, so that windows follow one another for everybody.
  v_at := greatest(
    coalesce(p_now, clock_timestamp()), (select max(at) from unnest(v_starts_at) as at where at > '-infinity')
  );
  if v_request is not null then
    for v_budget in 1..cardinality(v_key) loop
      if v_ends_at[v_budget] <= v_at then
        v_period := archon_mcp_window(
          v_quota[v_budget].window_unit, v_quota[v_budget].timezone, v_quota[v_budget].anchor_day,
          v_quota[v_budget].anchor_hour, v_at
        );
        v_starts_at[v_budget] := v_period.starts_at;
        v_ends_at[v_budget] := v_period.ends_at;
        v_used[v_budget] := 0;
        v_held[v_budget] := 0;
        v_excess[v_budget] := 0;
        v_excess_calls[v_budget] := 0;
      end if;
    end loop;
  end if;

  for v_place in 1..coalesce(cardinality(v_ended_key), 0) loop
    v_budget := array_position(v_key, v_ended_key[v_place]);
    -- A call of a window that is over moves nothing.
    continue when v_ended_key[v_place] = any (v_made)
      or v_ended_at[v_place] < v_starts_at[v_budget] or v_ended_at[v_place] >= v_ends_at[v_budget];
    v_used[v_budget] := v_used[v_budget] + v_ended_used[v_place];
    v_held[v_budget] := v_held[v_budget] - v_ended_held[v_place];
    if v_ended_excess[v_place] > 0 then
      v_excess[v_budget] := v_excess[v_budget] + v_ended_excess[v_place];
      v_excess_calls[v_budget] := v_excess_calls[v_budget] + 1;
    end if;
  end loop;

  v_places := array(
    select array_position(v_key, need.key) from unnest(v_request_key) with ordinality as need (key, place)
    order by need.place
  );
  while v_first <= cardinality(v_request) loop
    v_answer := null;
    v_answer.request := v_request[v_first];
    v_answer.at := v_at;
    v_last := v_first;
    while v_last < cardinality(v_request) and v_request[v_last + 1] = v_answer.request loop
      v_last := v_last + 1;
    end loop;
    v_tightest := null;
    for v_place in v_first..v_last loop
      v_budget := v_places[v_place];
      v_left := v_quota[v_budget].amount - v_used[v_budget] - v_held[v_budget];
      continue when v_left > 0 and v_request_need[v_place] <= v_left;
      continue when not v_request_judged[v_place];
      if v_quota[v_budget].mode <> 'enforce' then
        v_answer.observed := v_answer.observed || v_quota[v_budget].quota_id;
      else
        -- Where only what others hold is in the way, it may come free at any moment.
        v_wait_ms := case
          -- More than there ever is.
          when v_request_need[v_place] > v_quota[v_budget].amount then null
          when v_used[v_budget] < v_quota[v_budget].amount
            and v_used[v_budget] + v_request_need[v_place] <= v_quota[v_budget].amount then 1000
          when v_ends_at[v_budget] < 'infinity'
            then ceil(extract(epoch from v_ends_at[v_budget] - v_at) * 1000)
        end;
        if v_tightest is null or coalesce(v_wait_ms, 1e15) > coalesce(v_answer.retry_ms, 1e15) then
          v_tightest := v_budget;
          v_answer.refused := true;
          v_answer.retry_ms := v_wait_ms;
          v_answer.held := v_used[v_budget] < v_quota[v_budget].amount
            and v_used[v_budget] + v_request_need[v_place] <= v_quota[v_budget].amount;
        end if;
      end if;
    end loop;
    v_share := -1;
    for v_place in v_first..v_last loop
      v_budget := v_places[v_place];
      if v_answer.refused is null then
        v_held[v_budget] := v_held[v_budget] + v_request_need[v_place];
        if v_quota[v_budget].mode <> 'observe'
          and v_used[v_budget] + v_held[v_budget] > v_share * greatest(v_quota[v_budget].amount, 1e-10) then
          v_tightest := v_budget;
          v_share := (v_used[v_budget] + v_held[v_budget]) / greatest(v_quota[v_budget].amount, 1e-10);
        end if;
      end if;
    end loop;
    if v_tightest is not null then
      v_answer.quota_id := v_quota[v_tightest].quota_id;
      v_answer.scope := v_quota[v_tightest].scope;
      v_answer.metric := v_quota[v_tightest].metric;
      v_answer.window_unit := v_quota[v_tightest].window_unit;
      v_answer.amount := v_quota[v_tightest].amount;
      v_answer.remaining := greatest(v_quota[v_tightest].amount - v_used[v_tightest] - v_held[v_tightest], 0);
      v_answer.starts_at := nullif(v_starts_at[v_tightest], '-infinity');
      v_answer.ends_at := nullif(v_ends_at[v_tightest], 'infinity');
      v_answer.warning := (
        select max(share) from unnest(v_quota[v_tightest].warn_at) as share
        where v_used[v_tightest] + v_held[v_tightest] >= share * v_quota[v_tightest].amount
      );
      if v_answer.refused then
        v_answer.elsewhere := (
          select jsonb_agg(jsonb_build_object(
            'scope', v_quota[budget].scope, 'metric', v_quota[budget].metric, 'window', v_quota[budget].window_unit,
            'tools', v_quota[budget].tools, 'models', v_quota[budget].models,
            'remaining', trim_scale(greatest(v_quota[budget].amount - v_used[budget] - v_held[budget], 0))::text
          ))
          from unnest(v_places[v_first:v_last]) as budget
          where budget <> v_tightest and v_quota[budget].mode = 'enforce'
        );
      end if;
    end if;
    return next v_answer;
    v_first := v_last + 1;
  end loop;

  if cardinality(v_key) <= 3 then
    for v_budget in 1..cardinality(v_key) loop
      update archon_mcp_budgets as budget
      set starts_at = v_starts_at[v_budget], ends_at = v_ends_at[v_budget], used = v_used[v_budget],
          held = v_held[v_budget], excess = v_excess[v_budget], excess_calls = v_excess_calls[v_budget]
      where budget.key = v_key[v_budget]
        and (budget.starts_at, budget.used, budget.held, budget.excess_calls)
          is distinct from (v_starts_at[v_budget], v_used[v_budget], v_held[v_budget], v_excess_calls[v_budget]);
    end loop;
    return;
  end if;
  update archon_mcp_budgets as budget
  set starts_at = moved.starts_at, ends_at = moved.ends_at, used = moved.used, held = moved.held,
      excess = moved.excess, excess_calls = moved.excess_calls
  from unnest(v_key, v_starts_at, v_ends_at, v_used, v_held, v_excess, v_excess_calls)
    as moved (key, starts_at, ends_at, used, held, excess, excess_calls)
  where budget.key = any (v_key)
    and budget.key = moved.key
    and (budget.starts_at, budget.used, budget.held, budget.excess_calls)
      is distinct from (moved.starts_at, moved.used, moved.held, moved.excess_calls);
end
$$;

-- One call alone that has ended: as archon_mcp_move_budgets() would move the budgets. False when one is missing;
-- then nothing was moved, and that function makes it.
create function archon_mcp_settle_budgets(p_ended archon_mcp_ended) returns boolean
language plpgsql
as $$
declare
  v_key text[];
  v_used numeric[];
  v_held numeric[];
  v_excess numeric[];
  v_missing boolean;
begin
  select array_agg(change.key), array_agg(change.used), array_agg(change.held), array_agg(change.excess),
         bool_or(not exists (select from archon_mcp_budgets as known where known.key = change.key))
  into v_key, v_used, v_held, v_excess, v_missing
  from (
    select quota.quota_id || ' ' || quota.holder as key,
           case
             when quota.models is not null then (
               select case quota.metric when 'tokens' then sum(line.prompt_tokens + line.completion_tokens)
                        when 'cost' then sum(line.cost) when 'unpriced' then max(line.unpriced::integer)
                        else least(count(*), p_ended.counted::integer) end
               from archon_mcp_usage as line
               where line.request_id = p_ended.request_id and line.model = any (quota.models)
             )
             when quota.metric = 'requests' then p_ended.used_requests
             when quota.metric = 'tokens' then p_ended.used_tokens
             when quota.metric = 'unpriced' then p_ended.used_unpriced
             else p_ended.used_cost
           end as used,
           case
             when quota.models is not null or quota.metric = 'unpriced' then 0
             when quota.metric = 'requests' then p_ended.held_requests
             when quota.metric = 'tokens' then p_ended.held_tokens
             else p_ended.held_cost
           end as held,
           case
             when quota.models is not null then 0
             when quota.metric = 'tokens' then p_ended.excess_tokens
             when quota.metric = 'cost' then p_ended.excess_cost
             else 0
           end as excess
    from archon_mcp_quotas_of('budget', p_ended.user_id, p_ended.department, p_ended.tool) as quota
    order by 1
  ) as change
  where change.used <> 0 or change.held <> 0;
  if v_missing then
    return false;
  end if;
  for v_place in 1..coalesce(cardinality(v_key), 0) loop
    -- A call of a window that is over moves nothing.
    update archon_mcp_budgets as budget
    set used = budget.used + v_used[v_place],
        held = budget.held - v_held[v_place],
        excess = budget.excess + v_excess[v_place],
        excess_calls = budget.excess_calls + (v_excess[v_place] > 0)::integer
    where budget.key = v_key[v_place]
      and p_ended.at >= budget.starts_at
      and p_ended.at < budget.ends_at;
  end loop;
  return true;
end
$$;

-- One call alone that fits in every budget: as archon_mcp_move_budgets() would judge and hold it. Null where one is
-- missing, full or of a window that is over; then nothing was held, and that function says.
create function archon_mcp_hold_budgets(p_now timestamptz, p_want archon_mcp_budget_want)
returns archon_mcp_budget_verdict
language plpgsql
as $$
declare
  v_key text[];
  v_need numeric[];
  v_amount numeric[];
  v_warns boolean[];
  v_missing boolean;
  v_held integer := 0;
  v_taken numeric;
  v_starts_at timestamptz;
  v_ends_at timestamptz;
  v_at timestamptz := '-infinity';
  v_until timestamptz := 'infinity';
  v_share numeric := -1;
  v_tightest integer;
  v_answer archon_mcp_budget_verdict;
begin
  select array_agg(need.key), array_agg(need.need), array_agg(need.amount), array_agg(need.warns),
         bool_or(not exists (select from archon_mcp_budgets as known where known.key = need.key))
  into v_key, v_need, v_amount, v_warns, v_missing
  from (
    select quota.quota_id || ' ' || quota.holder as key, quota.amount, quota.mode <> 'observe' as warns,
           case
             when quota.models is not null or quota.metric = 'unpriced' then 0
             when quota.metric = 'requests' then 1
             when quota.metric = 'tokens' then p_want.tokens
             else p_want.cost
           end as need
    from archon_mcp_quotas_of('budget', p_want.user_id, p_want.department, p_want.tool) as quota
    order by 1
  ) as need;
  v_answer.request := p_want.request;
  if v_key is null then
    return v_answer;
  end if;
  if v_missing then
    return null;
  end if;

  for v_place in 1..cardinality(v_key) loop
    update archon_mcp_budgets as budget
    set held = budget.held + v_need[v_place]
    where budget.key = v_key[v_place]
      and budget.used + budget.held < v_amount[v_place]
      and budget.used + budget.held + v_need[v_place] <= v_amount[v_place]
    returning budget.used + budget.held, budget.starts_at, budget.ends_at
    into v_taken, v_starts_at, v_ends_at;
    exit when not found;
    v_held := v_place;
    v_at := greatest(v_at, v_starts_at);
    v_until := least(v_until, v_ends_at);
    if v_warns[v_place] and v_taken > v_share * greatest(v_amount[v_place], 1e-10) then
      v_tightest := v_place;
      v_share := v_taken / greatest(v_amount[v_place], 1e-10);
    end if;
  end loop;
  -- The clock is read now that nobody else moves them, so that windows follow one another for everybody.
  v_at := greatest(v_at, coalesce(p_now, clock_timestamp()));
  if v_held < cardinality(v_key) or v_at >= v_until then
    for v_place in 1..v_held loop
      update archon_mcp_budgets as budget set held = budget.held - v_need[v_place] where budget.key = v_key[v_place];
    end loop;
    return null;
  end if;

  if v_tightest is not null then
    select quota.quota_id, quota.scope, quota.metric, quota.window_unit, quota.amount,
           greatest(quota.amount - budget.used - budget.held, 0), nullif(budget.starts_at, '-infinity'),
           nullif(budget.ends_at, 'infinity'),
           (
             select max(share) from unnest(quota.warn_at) as share
             where budget.used + budget.held >= share * quota.amount
           )
    into v_answer.quota_id, v_answer.scope, v_answer.metric, v_answer.window_unit, v_answer.amount,
         v_answer.remaining, v_answer.starts_at, v_answer.ends_at, v_answer.warning
    from archon_mcp_budgets as budget
    join archon_mcp_quotas as quota on quota.quota_id = budget.quota_id
    where budget.key = v_key[v_tightest];
  end if;
  v_answer.at := v_at;
  return v_answer;
end
$$;

-- How many of the calls of a request limits count.
create function archon_mcp_counted(o_request integer[], o_method text[], r_rate_calls integer[], p_request bigint)
returns bigint
language sql
immutable
as $$
  select count(*) + coalesce(r_rate_calls[p_request], 0)
  from unnest(o_request, o_method) as waiting (request, method)
  where waiting.request = p_request and archon_mcp_counts(waiting.method)
$$;

-- Adds to the counts of refused calls, by the quarter of an hour.
create function archon_mcp_count_refusals(
  p_quarter timestamptz[], p_user uuid[], p_code text[], p_quota uuid[], p_enforced boolean[], p_calls bigint[]
) returns void
language sql
as $$
  insert into archon_mcp_refusals as counted (quarter, user_id, code, quota_id, enforced, calls)
  select date_bin('15 minutes', refused.quarter, timestamptz 'epoch'), refused.user_id, refused.code, refused.quota_id,
         refused.enforced, sum(refused.calls)
  from unnest(p_quarter, p_user, p_code, p_quota, p_enforced, p_calls)
    as refused (quarter, user_id, code, quota_id, enforced, calls)
  group by 1, 2, 3, 4, 5
  order by 1, 2, 3, 4, 5
  on conflict on constraint archon_mcp_refusals_once do update
  set calls = counted.calls + excluded.calls
$$;

-- Why a user's token is refused, or null. `iat` counts whole seconds: a token of the very second of the cut is
-- refused too.
create function archon_mcp_why_refused(p_user archon_mcp_users, p_issued_at timestamptz) returns text
language sql
immutable
as $$
  select case
    when p_user.blocked_at is not null then 'blocked'
    when p_user.revoked_at is not null
      and coalesce(p_issued_at, '-infinity') <= p_user.revoked_at then 'invalid_token'
  end
$$;

-- Whether a token says of its user what is to be kept. The newest one's word on department and role is, and on e-mail
-- and name where it has one. That it says the same is kept too, or an older token could still overwrite it. A null
-- role: it says nothing new.
create function archon_mcp_is_news(
  p_user archon_mcp_users, p_email text, p_name text, p_department text, p_role text, p_claims_at timestamptz,
  p_now timestamptz
) returns boolean
language sql
immutable
as $$
  select p_role is not null
    and coalesce(p_claims_at, p_now) >= coalesce(p_user.claims_at, '-infinity')
    and (p_user.email, p_user.name, p_user.claimed_department, p_user.claimed_role,
         greatest(p_user.claims_at, p_claims_at)) is distinct from
        (coalesce(p_email, p_user.email), coalesce(p_name, p_user.name), p_department, p_role, p_user.claims_at)
$$;

-- Closes a call that is open and used one model at most: what the ledger does for many at once, by values, since most
-- ends on Workers come alone and a statement for many costs three times as much. Null when it is not open.
create function archon_mcp_close_call(
  p_id uuid, p_status text, p_duration_ms integer, p_error text, p_session uuid, p_round boolean, p_bytes integer,
  p_counted_prompt_tokens integer, p_counted_completion_tokens integer,
  p_model text, p_prompt_tokens integer, p_completion_tokens integer, p_cached_tokens integer,
  p_reasoning_tokens integer, p_cost numeric
) returns archon_mcp_closed
language plpgsql
as $$
declare
  v_at timestamptz;
  v_tool text;
  v_held_request integer;
  v_price numeric;
  v_lines archon_mcp_rolled_line[];
  v_line archon_mcp_rolled_line;
  v_tool_cost numeric := 0;
  v_closed archon_mcp_closed;
begin
  select call.timestamp, call.tool_name, call.counted::integer
  into v_at, v_tool, v_held_request
  from archon_mcp_requests as call
  where call.request_id = p_id and call.status = 'open'
  for no key update;
  if not found then
    return null;
  end if;

  if p_model is not null then
    if p_cost is null then
      v_price := archon_mcp_priced(
        p_model, p_prompt_tokens, p_completion_tokens, p_cached_tokens, (v_at at time zone 'UTC')::date
      );
    end if;
    insert into archon_mcp_usage as line
      (request_id, model, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, cost, told, unpriced)
    values
      (p_id, p_model, p_prompt_tokens, p_completion_tokens, p_cached_tokens, p_reasoning_tokens,
       least(coalesce(p_cost, v_price, 0), 9999999999), p_cost is not null,
       p_cost is null and v_price is null and p_prompt_tokens + p_completion_tokens > 0)
    on conflict do nothing
    returning line.model, line.prompt_tokens, line.completion_tokens, line.cached_tokens, line.reasoning_tokens,
              line.cost, line.unpriced
    into v_line;
    if found then
      v_lines := array[v_line];
    end if;
  end if;

  if v_held_request = 1 and not p_round then
    select price.price into v_tool_cost
    from archon_mcp_tool_prices as price
    where price.tool_name = v_tool and price.effective_at <= v_at
    order by price.effective_at desc
    limit 1;
  end if;

  update archon_mcp_requests as call
  set status = p_status,
      duration_ms = p_duration_ms,
      error_message = p_error,
      session_id = coalesce(call.session_id, p_session),
      client_type = coalesce(
        call.client_type,
        (select session.client_type from archon_mcp_sessions as session where session.session_id = p_session)
      ),
      response_bytes = p_bytes,
      prompt_tokens = coalesce(v_line.prompt_tokens, p_counted_prompt_tokens, 0),
      completion_tokens = coalesce(v_line.completion_tokens, p_counted_completion_tokens, 0),
      estimated = v_lines is null and p_counted_prompt_tokens is not null,
      unpriced = coalesce(v_line.unpriced, false),
      tool_cost = coalesce(v_tool_cost, 0),
      cost = least(coalesce(v_line.cost, 0) + coalesce(v_tool_cost, 0), 9999999999),
      estimated_cost = round(least(coalesce(v_line.cost, 0) + coalesce(v_tool_cost, 0), 9999), 6),
      counted = call.counted and not p_round,
      hold_expires_at = null
  where call.request_id = p_id
  returning row(
      call.request_id, call.user_id, call.department, call.tool_name, call.timestamp, call.counted,
      call.counted::integer, v_held_request, call.total_tokens, call.reserved_tokens,
      greatest(call.total_tokens - call.reserved_tokens, 0), call.cost, call.reserved_cost,
      greatest(call.cost - call.reserved_cost, 0), call.unpriced::integer
    )::archon_mcp_ended,
    archon_mcp_counts(call.method),
    row(
      1, call.timestamp, call.user_id, call.session_id, call.department, call.client_type,
      coalesce(nullif(call.tool_name, ''), call.method), (call.status = 'success')::integer,
      (call.status = 'timeout')::integer, call.prompt_tokens, call.completion_tokens, call.cost, call.tool_cost <> 0,
      call.unpriced::integer, call.estimated::integer, call.duration_ms, v_lines,
      v_lines is not null and call.cost = v_line.cost
    )::archon_mcp_rolled_call
  into v_closed.ended, v_closed.counts, v_closed.rolled;
  return v_closed;
end
$$;

-- Arrays of one prefix belong together, element by element:
--   c_  calls that have ended, by id (c_round: it asked for input, and the client comes again with the same request;
--       c_prompt_tokens and c_completion_tokens: as texts were counted, for when nothing was reported)
--   l_  what those used, by model (l_call counts into c_; l_cost null: as the model is priced)
--   f_  refusals that the instance remembered and gave by itself
--   u_  callers, each once (u_role null: by an access token of ours, which says nothing new of its user)
--   r_  requests that wait (r_caller counts into u_, null for nobody; r_rate_calls: calls that are limited but not
--       opened, of r_rate_key or of the user; r_rates and r_budgets: what administrators set is judged, not only counted)
--   o_  the calls of those requests (o_request counts into r_)
-- One row comes back for each request: verdict is 'admitted' or the code of the refusal.
create function archon_mcp_ledger(
  p_again boolean,              -- sent again after a lost answer: calls that are found were admitted
  p_now timestamptz,            -- null: the database's clock, the one clock that all instances share
  c_id uuid[], c_status text[], c_duration_ms integer[], c_error text[], c_session uuid[], c_round boolean[],
  c_bytes integer[], c_prompt_tokens integer[], c_completion_tokens integer[],
  l_call integer[], l_model text[], l_prompt_tokens integer[], l_completion_tokens integer[],
  l_cached_tokens integer[], l_reasoning_tokens integer[], l_cost numeric[],
  f_quarter timestamptz[], f_user uuid[], f_code text[], f_quota uuid[], f_calls bigint[],
  u_issuer text[], u_subject text[], u_first_id uuid[], u_fallback_id uuid[],
  u_email text[], u_name text[], u_department text[], u_role text[], u_claims_at timestamptz[],
  r_caller integer[], r_issued_at timestamptz[], r_access_token uuid[], r_session uuid[], r_derived_key text[], r_client text[],
  r_recorded_session uuid[], r_timeout_seconds integer[],
  r_idle_after_seconds integer[], r_max_sessions integer[], r_max_in_flight integer[],
  r_rate_limit integer[], r_rate_window_seconds integer[], r_rate_burst integer[], r_rate_per text[],
  r_rate_key text[], r_rate_calls integer[], r_rates boolean[], r_budgets boolean[],
  o_request integer[], o_id uuid[], o_method text[], o_tool text[], o_kind text[], o_hold_seconds integer[],
  o_bytes integer[], o_tokens bigint[], o_cost numeric[]
) returns table (
  request integer, verdict text, user_id uuid, email text, name text, department text, role text, session_id uuid,
  retry_ms bigint, quota_id uuid, counted_calls bigint,
  rate_limit integer, rate_window_seconds integer, rate_remaining integer, rate_reset_ms integer,
  budget_scope text, budget_metric text, budget_window text, budget_limit numeric, budget_left numeric,
  budget_starts_at timestamptz, budget_ends_at timestamptz, budget_warning numeric, budget_held boolean, elsewhere text
)
language plpgsql
-- `= any($array)` in plpgsql is planned anew at every call without this.
set plan_cache_mode = force_generic_plan
-- A group is small and finds its rows by key. A plan that was made while the tables were small would go on reading
-- them, or an index, from end to end when they have grown (1 ms a session instead of 0.06 at 10,000 live ones).
-- Hence these; and hence look-ups in subqueries that no join can turn around: scalar ones, and those of `offset 0`.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(p_now, clock_timestamp());
  v_user uuid[];        -- by caller
  v_changed uuid[];
  -- By request: its user as their row has them, and why they are refused, or null.
  v_user_id uuid[];
  v_email text[];
  v_name text[];
  v_department text[];
  v_role text[];
  v_refusal text[];
  -- By request: what names its derived session, and the session.
  v_key text[];
  v_session uuid[];
  v_client_type text[];
  v_stale uuid[];
  v_missing boolean;
  v_due boolean;        -- of the one request whose session lives: whether last_activity is to be written
  v_again integer[];    -- requests whose calls are on record already
  v_bounded boolean;    -- whether anybody's calls in flight are limited
  v_in_flight integer[] := '{}'; -- by caller
  v_calls integer;
  v_open integer;
  v_place integer;
  v_rates boolean;      -- whether there is any quota of that kind
  v_budgets boolean;
  v_closed archon_mcp_closed;
  v_ended archon_mcp_ended[];
  v_rolled archon_mcp_rolled_call[];
  v_wants archon_mcp_rate_want[];
  v_needs archon_mcp_budget_want[];
  v_judged record;
  v_limited record;
  v_alone boolean;      -- whether one request with one call waits, as each does on Workers
  v_taken archon_mcp_rate_verdict;
  v_held archon_mcp_budget_verdict;
  v_over integer[] := '{}'; -- requests that a budget refuses
  v_observed boolean := false; -- whether a quota that only observes or warns would have refused any
  v_sessions_ended uuid[] := '{}';
  -- By request: what the answer says.
  v_retry_ms bigint[] := '{}';
  v_rate archon_mcp_rate_verdict[] := '{}';
  v_budget archon_mcp_budget_verdict[] := '{}';
begin
  -- Every statement holds this lock to its end: who changes a quota waits for those on their way.
  lock table archon_mcp_quotas in row share mode;
  -- One end alone asks for its own at once.
  if cardinality(r_caller) > 0 or cardinality(c_id) > 1 then
    select exists (select from archon_mcp_quotas as quota where quota.kind = 'rate'),
           exists (select from archon_mcp_quotas as quota where quota.kind = 'budget')
    into v_rates, v_budgets;
  end if;
  -- The roll-ups are moved at the end, and not by the triggers of other writers.
  perform set_config('archon_mcp.rollups', 'moved', true);

  -- Calls that have ended. One that the sweep closed meanwhile is corrected.
  if cardinality(c_id) = 1 and cardinality(l_call) <= 1 then
    v_closed := archon_mcp_close_call(
      c_id[1], c_status[1], c_duration_ms[1], c_error[1], c_session[1], c_round[1], c_bytes[1], c_prompt_tokens[1],
      c_completion_tokens[1], l_model[1], l_prompt_tokens[1], l_completion_tokens[1], l_cached_tokens[1],
      l_reasoning_tokens[1], l_cost[1]
    );
    if (v_closed.rolled).sign = 1 then
      v_rolled := array[v_closed.rolled];
      if v_closed.counts then
        v_ended := array[v_closed.ended];
      end if;
    end if;
  end if;
  if v_rolled is null and cardinality(c_id) > 0 then
    with ended as (
      select call.*, ending.place
      from unnest(c_id) with ordinality as ending (id, place)
      cross join lateral (
        select known.request_id, known.user_id, known.department, known.tool_name, known.timestamp, known.status,
               known.counted, known.total_tokens, known.cost, known.reserved_tokens, known.reserved_cost,
               case when known.status <> 'open' then archon_mcp_rolled(known, -1) end as was
        from archon_mcp_requests as known
        where known.request_id = ending.id
          and (known.status = 'open' or known.hold_expired)
        for no key update
      ) as call
    ), priced as (
      select ended.request_id, line.*,
             case when line.cost is null then archon_mcp_priced(
               line.model, line.prompt_tokens, line.completion_tokens, line.cached_tokens, (ended.timestamp at time zone 'UTC')::date
             ) end as price
      from unnest(
        l_call, l_model, l_prompt_tokens, l_completion_tokens, l_cached_tokens, l_reasoning_tokens, l_cost
      ) as line (call, model, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, cost)
      join ended on ended.place = line.call
    ), used as (
      insert into archon_mcp_usage
        (request_id, model, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, cost, told, unpriced)
      select line.request_id, line.model, sum(line.prompt_tokens), sum(line.completion_tokens),
             sum(line.cached_tokens), sum(line.reasoning_tokens),
             -- What the column holds; a tool that says more is mistaken.
             least(sum(coalesce(line.cost, line.price, 0)), 9999999999), bool_or(line.cost is not null),
             bool_or(line.cost is null and line.price is null and line.prompt_tokens + line.completion_tokens > 0)
      from priced as line
      group by line.request_id, line.model
      on conflict do nothing
      returning request_id, model, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, cost, unpriced
    ), totals as (
      select line.request_id, sum(line.prompt_tokens)::integer as prompt_tokens,
             sum(line.completion_tokens)::integer as completion_tokens, sum(line.cost) as cost,
             bool_or(line.unpriced) as unpriced,
             array_agg(row(
               line.model, line.prompt_tokens, line.completion_tokens, line.cached_tokens, line.reasoning_tokens,
               line.cost, line.unpriced
             )::archon_mcp_rolled_line order by line.model) as lines,
             count(*) = 1 as one_line
      from used as line
      group by line.request_id
    ), figures as (
      select ended.*,
             -- Counted texts stand in for a report.
             coalesce(total.prompt_tokens, c_prompt_tokens[ended.place], 0) as prompt_tokens,
             coalesce(total.completion_tokens, c_completion_tokens[ended.place], 0) as completion_tokens,
             total.request_id is null and c_prompt_tokens[ended.place] is not null as estimated,
             coalesce(total.unpriced, false) as unpriced, coalesce(total.cost, 0) as model_cost, total.lines,
             coalesce(total.one_line, false) as one_line,
             own.cost as tool_cost
      from ended
      left join totals as total on total.request_id = ended.request_id
      -- archon_mcp_tool_priced(), written here: a function with a limit would be planned anew at every call.
      cross join lateral (
        select coalesce((
          select price.price
          from archon_mcp_tool_prices as price
          where ended.counted and not c_round[ended.place]
            and price.tool_name = ended.tool_name and price.effective_at <= ended.timestamp
          order by price.effective_at desc
          limit 1
        ), 0) as cost
        offset 0
      ) as own
    ), closed as (
      update archon_mcp_requests as call
      set status = c_status[ended.place],
          duration_ms = c_duration_ms[ended.place],
          error_message = c_error[ended.place],
          session_id = coalesce(call.session_id, c_session[ended.place]),
          client_type = coalesce(
            call.client_type,
            (select session.client_type from archon_mcp_sessions as session
             where session.session_id = c_session[ended.place])
          ),
          response_bytes = c_bytes[ended.place],
          prompt_tokens = ended.prompt_tokens,
          completion_tokens = ended.completion_tokens,
          estimated = ended.estimated,
          unpriced = ended.unpriced,
          tool_cost = ended.tool_cost,
          cost = least(ended.model_cost + ended.tool_cost, 9999999999),
          -- What Archon's readers look at, and its column holds.
          estimated_cost = round(least(ended.model_cost + ended.tool_cost, 9999), 6),
          counted = call.counted and not c_round[ended.place],
          hold_expires_at = null,
          hold_expired = false
      from figures as ended
      where call.request_id = any (c_id)
        and call.request_id = ended.request_id
      returning row(
        call.request_id, call.user_id, call.department, call.tool_name, call.timestamp, call.counted,
        call.counted::integer - case when ended.status = 'open' then 0 else ended.counted::integer end,
        case when ended.status = 'open' then ended.counted::integer else 0 end,
        call.total_tokens - case when ended.status = 'open' then 0 else ended.total_tokens end,
        case when ended.status = 'open' then ended.reserved_tokens else 0 end,
        greatest(call.total_tokens - ended.reserved_tokens, 0),
        call.cost - case when ended.status = 'open' then 0 else ended.cost end,
        case when ended.status = 'open' then ended.reserved_cost else 0 end,
        greatest(call.cost - ended.reserved_cost, 0),
        -- One that the sweep closed was not known to be.
        call.unpriced::integer
      )::archon_mcp_ended as ended, archon_mcp_counts(call.method) as counts,
      row(
        1, call.timestamp, call.user_id, call.session_id, call.department, call.client_type,
        coalesce(nullif(call.tool_name, ''), call.method), (call.status = 'success')::integer,
        (call.status = 'timeout')::integer, call.prompt_tokens, call.completion_tokens, call.cost, call.tool_cost <> 0,
        call.unpriced::integer, call.estimated::integer, call.duration_ms, ended.lines,
        ended.one_line and call.cost = ended.model_cost
      )::archon_mcp_rolled_call as rolled, ended.was
    )
    select array_agg(closed.ended) filter (where closed.counts),
           array_agg(closed.rolled) || array_agg(closed.was) filter (where (closed.was).sign is not null)
    into v_ended, v_rolled
    from closed;
  end if;

  if cardinality(r_caller) = 0 then
    if v_ended is not null and (v_budgets or cardinality(v_ended) = 1)
      and (cardinality(v_ended) > 1 or not archon_mcp_settle_budgets(v_ended[1])) then
      perform archon_mcp_move_budgets(p_now, v_ended, '{}');
    end if;
    if cardinality(f_quarter) > 0 then
      perform archon_mcp_count_refusals(
        f_quarter, f_user, f_code, f_quota, array_fill(true, array[cardinality(f_quarter)]), f_calls
      );
    end if;
    if v_rolled is not null then
      perform archon_mcp_move_rollups(v_rolled);
    end if;
    perform set_config('archon_mcp.rollups', '', true);
    return;
  end if;

  -- One request of somebody who is known and of whom nothing new is told: all about them at one look.
  if cardinality(r_caller) = 1 then
    select array[known.user_id], array[known.user_id], array[known.email], array[known.name],
           array[coalesce(known.assigned_department, known.claimed_department)],
           array[coalesce(known.assigned_role, known.claimed_role)],
           array[archon_mcp_why_refused(known, r_issued_at[1])],
           array[known.user_id || ' ' || r_derived_key[1]]
    into v_user, v_user_id, v_email, v_name, v_department, v_role, v_refusal, v_key
    from archon_mcp_users as known
    where known.issuer = u_issuer[r_caller[1]]
      and known.subject = u_subject[r_caller[1]]
      and not archon_mcp_is_news(known, u_email[1], u_name[1], u_department[1], u_role[1], u_claims_at[1], v_now);
  end if;

  -- Users: at first sight with the first id, or with the fallback where somebody else has that one.
  if v_user is null and cardinality(u_issuer) > 0 then
    for attempt in 1..3 loop
      select array_agg(
               (
                 select known.user_id from archon_mcp_users as known
                 where known.issuer = seen.issuer and known.subject = seen.subject
               )
               order by seen.place
             )
      into v_user
      from unnest(u_issuer, u_subject) with ordinality as seen (issuer, subject, place);
      -- Whom an access token names is not made: they were there when it was.
      exit when array_position(v_user, null) is null or not exists (
        select from unnest(v_user, u_role) as seen (user_id, role) where seen.user_id is null and seen.role is not null
      );
      -- Both ids are somebody else's: such a caller is refused, and never taken for nobody.
      if attempt = 3 then
        raise exception 'a user could not be made: both ids are taken';
      end if;
      insert into archon_mcp_users
        (user_id, issuer, subject, email, name, claimed_department, claimed_role, claims_at, created_at)
      select case attempt when 1 then seen.first_id else seen.fallback_id end,
             seen.issuer, seen.subject, seen.email, seen.name, seen.department, seen.role, seen.claims_at, v_now
      from unnest(
        v_user, u_issuer, u_subject, u_first_id, u_fallback_id, u_email, u_name, u_department, u_role, u_claims_at
      ) as seen (user_id, issuer, subject, first_id, fallback_id, email, name, department, role, claims_at)
      where seen.user_id is null
        and seen.role is not null
      order by seen.issuer, seen.subject
      on conflict do nothing;
    end loop;

    select array_agg(known.user_id)
    into v_changed
    from unnest(v_user, u_email, u_name, u_department, u_role, u_claims_at)
      as seen (user_id, email, name, department, role, claims_at)
    cross join lateral (
      select * from archon_mcp_users as known where known.user_id = seen.user_id offset 0
    ) as known
    where archon_mcp_is_news(
      known, seen.email, seen.name, seen.department, seen.role, seen.claims_at, v_now
    );
    if v_changed is not null then
      perform from archon_mcp_users as known
      where known.user_id = any (v_changed)
      order by known.user_id
      for no key update;
      update archon_mcp_users as known
      set email = coalesce(seen.email, known.email),
          name = coalesce(seen.name, known.name),
          claimed_department = seen.department,
          claimed_role = seen.role,
          claims_at = coalesce(seen.claims_at, v_now)
      from unnest(v_user, u_email, u_name, u_department, u_role, u_claims_at)
        as seen (user_id, email, name, department, role, claims_at)
      where known.user_id = any (v_changed)
        and known.user_id = seen.user_id
        and seen.role is not null
        -- Looked at again now that nobody else can write it.
        and coalesce(seen.claims_at, v_now) >= coalesce(known.claims_at, '-infinity');
    end if;
  end if;

  -- Counting a user's calls in flight is exact only when nobody else opens one meanwhile.
  v_bounded := array_remove(r_max_in_flight, null) <> '{}';
  if v_bounded then
    perform from archon_mcp_users as known
    where known.user_id = any (array(
      select v_user[waiting.caller]
      from unnest(r_caller, r_max_in_flight) as waiting (caller, max_in_flight)
      where waiting.max_in_flight is not null
    ))
    order by known.user_id
    for no key update;
  end if;

  if v_user_id is null then
    select array_agg(known.user_id order by waiting.place),
           array_agg(known.email order by waiting.place),
           array_agg(known.name order by waiting.place),
           array_agg(coalesce(known.assigned_department, known.claimed_department) order by waiting.place),
           array_agg(coalesce(known.assigned_role, known.claimed_role) order by waiting.place),
           array_agg(archon_mcp_why_refused(known, waiting.issued_at) order by waiting.place),
           array_agg(coalesce(known.user_id::text, '') || ' ' || waiting.derived_key order by waiting.place)
    into v_user_id, v_email, v_name, v_department, v_role, v_refusal, v_key
    from unnest(r_caller, r_issued_at, r_derived_key) with ordinality as waiting (caller, issued_at, derived_key, place)
    left join lateral (
      select * from archon_mcp_users as known where known.user_id = v_user[waiting.caller] offset 0
    ) as known on true;
  end if;
  -- An access token is looked at each time, whatever an instance remembers of it; one that is gone took its user along.
  if array_remove(r_access_token, null) <> '{}' then
    v_refusal := array(
      select case
               when waiting.refusal is null and waiting.token_id is not null and not exists (
                 select from archon_mcp_access_tokens as token
                 where token.token_id = waiting.token_id and token.revoked_at is null and token.expires_at > v_now
               ) then 'invalid_token'
               else waiting.refusal
             end
      from unnest(v_refusal, r_access_token) with ordinality as waiting (refusal, token_id, place)
      order by waiting.place
    );
  end if;

  -- Sessions. One whose time is over ends here and now, so that a late sweep changes nothing for a client; a
  -- derived one that is missing is made; then the look is taken again.
  -- A session counts when it lives and is the caller's own. That of one request is looked for by itself, and the rest
  -- is for when it is not there, or its time is over.
  if cardinality(r_caller) = 1 and v_refusal[1] is null then
    if r_session[1] is not null then
      select array[named.session_id], array[named.client_type],
             named.last_activity < v_now - interval '1 second' or named.status = 'idle'
      into v_session, v_client_type, v_due
      from archon_mcp_sessions as named
      where named.session_id = r_session[1]
        and named.user_id is not distinct from v_user_id[1]
        and named.derived_key is null
        and coalesce(named.disconnected_at, 'infinity') = 'infinity'
        and named.last_activity >= v_now - make_interval(secs => named.timeout_seconds);
    elsif v_key[1] is not null then
      select array[derived.session_id], array[derived.client_type],
             derived.last_activity < v_now - interval '1 second' or derived.status = 'idle'
      into v_session, v_client_type, v_due
      from archon_mcp_sessions as derived
      where derived.derived_key = v_key[1]
        and derived.disconnected_at is null
        and derived.last_activity >= v_now - make_interval(secs => derived.timeout_seconds);
    end if;
  end if;
  for attempt in 1..2 loop
    exit when v_due is not null;
    -- A derived one has no id on the wire.
    select array_agg(session.session_id order by waiting.place),
           array_agg(session.client_type order by waiting.place),
           array_agg(session.session_id) filter (
             where session.last_activity < v_now - make_interval(secs => session.timeout_seconds)
           ),
           bool_or(waiting.key is not null and waiting.refusal is null and session.session_id is null)
    into v_session, v_client_type, v_stale, v_missing
    from unnest(r_session, v_user_id, v_refusal, v_key) with ordinality
      as waiting (session, user_id, refusal, key, place)
    left join lateral (
      select named.session_id, named.client_type, named.last_activity, named.timeout_seconds
      from archon_mcp_sessions as named
      where named.session_id = waiting.session
        and waiting.refusal is null
        and named.user_id is not distinct from waiting.user_id
        and named.derived_key is null
        -- Not `is null`, which would admit the index of live sessions where only the primary key will do.
        and coalesce(named.disconnected_at, 'infinity') = 'infinity'
      union all
      select derived.session_id, derived.client_type, derived.last_activity, derived.timeout_seconds
      from archon_mcp_sessions as derived
      where derived.derived_key = waiting.key
        and waiting.refusal is null
        and derived.disconnected_at is null
    ) as session on true;
    exit when attempt = 2 or (v_stale is null and not v_missing);

    -- At most so many sessions each: whoever opens one for a user does it alone.
    perform from archon_mcp_users as known
    where known.user_id = any (array(
        select wanted.user_id
        from unnest(v_user_id, v_key, r_max_sessions) as wanted (user_id, key, max_sessions)
        where wanted.key is not null and wanted.max_sessions is not null
      ))
    order by known.user_id
    for no key update;

    if v_stale is not null then
      v_sessions_ended := archon_mcp_end_stale_sessions(v_stale, v_now);
    end if;
    insert into archon_mcp_sessions
      (user_id, user_email, user_name, client_type, client_name, client_version, client_capabilities, metadata,
       era, protocol_version, derived_key, timeout_seconds, idle_after_seconds, connected_at, last_activity)
    select missing.user_id, missing.email, missing.name,
           client ->> 'client_type', client ->> 'client_name', client ->> 'client_version',
           nullif(client -> 'capabilities', 'null'), coalesce(nullif(client -> 'metadata', 'null'), '{}'),
           '2026-07-28', client ->> 'protocol_version', missing.key, missing.timeout_seconds,
           missing.idle_after_seconds, v_now, v_now
    from (
      select distinct on (wanted.key)
             wanted.key, wanted.user_id, wanted.email, wanted.name, wanted.client::jsonb as client,
             wanted.timeout_seconds, wanted.idle_after_seconds
      from unnest(
        v_user_id, v_email, v_name, v_refusal, v_key, v_session, r_client, r_timeout_seconds, r_idle_after_seconds
      ) as wanted (user_id, email, name, refusal, key, session, client, timeout_seconds, idle_after_seconds)
      where wanted.key is not null
        and wanted.refusal is null
        and (wanted.session is null or wanted.session = any (v_stale))
      order by wanted.key
    ) as missing
    order by missing.key
    on conflict do nothing;
    for v_limited in
      select wanted.user_id, min(wanted.max_sessions) as max_sessions
      from unnest(v_user_id, v_refusal, v_key, r_max_sessions) as wanted (user_id, refusal, key, max_sessions)
      where wanted.key is not null and wanted.refusal is null
      group by wanted.user_id
      having min(wanted.max_sessions) is not null
      order by wanted.user_id
    loop
      v_sessions_ended := v_sessions_ended || archon_mcp_replace_sessions(
        v_limited.user_id, v_limited.max_sessions,
        array(
          select session.session_id from archon_mcp_sessions as session
          where session.derived_key = any (v_key) and session.disconnected_at is null
        ),
        v_now
      );
    end loop;
  end loop;

  -- One write a second keeps last_activity true enough; one a call would rewrite its indexes each time.
  if coalesce(v_due, true) then
    perform from archon_mcp_sessions as session
    where session.session_id = any (v_session)
      and (session.last_activity < v_now - interval '1 second' or session.status = 'idle')
    order by session.session_id
    for no key update;
    if found then
      update archon_mcp_sessions as session
      set last_activity = greatest(session.last_activity, v_now),
          status = 'active'
      where session.session_id = any (v_session)
        and coalesce(session.disconnected_at, 'infinity') = 'infinity'
        and (session.last_activity < v_now - interval '1 second' or session.status = 'idle');
    end if;
  end if;

  if p_again then
    select array_agg(distinct waiting.request)
    into v_again
    from unnest(o_request, o_id) as waiting (request, id)
    join archon_mcp_requests as call on call.request_id = waiting.id;
  end if;

  if v_due is null or p_again then
    v_refusal := array(
      select case
               when waiting.place = any (v_again) then null
               when waiting.refusal is null and waiting.wanted is not null and waiting.session is null
                 then 'session_not_found'
               else waiting.refusal
             end
      from unnest(v_refusal, r_session, v_session) with ordinality as waiting (refusal, wanted, session, place)
      order by waiting.place
    );
  end if;

  -- Calls in flight, in the order of the requests. Discovery and the like count nothing: a refused one would cost
  -- a client its connection, and a subscription stays open by its nature.
  if v_bounded then
    for v_place in
      select waiting.place
      from unnest(r_caller, r_max_in_flight, v_refusal) with ordinality as waiting (caller, max_in_flight, refusal, place)
      where waiting.caller is not null and waiting.max_in_flight is not null and waiting.refusal is null
      order by waiting.place
    loop
      select count(*) into v_calls
      from unnest(o_request, o_method) as waiting (request, method)
      where waiting.request = v_place and archon_mcp_counts(waiting.method);
      continue when v_calls = 0 or v_place = any (v_again);
      if v_in_flight[r_caller[v_place]] is null then
        select count(*) into v_open
        from archon_mcp_requests as call
        where call.user_id = v_user_id[v_place]
          and call.status = 'open'
          and call.hold_expires_at > v_now
          and archon_mcp_counts(call.method);
        v_in_flight[r_caller[v_place]] := v_open;
      end if;
      if v_in_flight[r_caller[v_place]] + v_calls > r_max_in_flight[v_place] then
        v_refusal[v_place] := 'too_many_calls';
      else
        v_in_flight[r_caller[v_place]] := v_in_flight[r_caller[v_place]] + v_calls;
      end if;
    end loop;
  end if;

  v_alone := cardinality(r_caller) = 1 and cardinality(o_id) = 1 and r_rate_calls[1] is null and v_again is null;
  -- The rate that is configured, unless an administrator's is in its place, and what administrators set besides.
  if v_alone and not v_rates then
    if r_rate_limit[1] is not null and v_refusal[1] is null and archon_mcp_counts(o_method[1])
      and coalesce(r_rate_key[1], v_user_id[1]::text) is not null then
      v_wants := array[row(
        1,
        archon_mcp_rate_key(
          r_rate_limit[1], r_rate_window_seconds[1], r_rate_key[1], r_rate_per[1], v_user_id[1], v_department[1],
          coalesce(o_tool[1], o_method[1])
        ),
        1, r_rate_limit[1], r_rate_window_seconds[1], r_rate_burst[1], 'enforce', null
      )::archon_mcp_rate_want];
      v_taken := archon_mcp_take_rate(v_now, v_wants[1]);
    end if;
  else
    select array_agg(row(
             wanted.request, wanted.key, wanted.calls, wanted.amount, wanted.window_seconds, wanted.burst, wanted.mode,
             wanted.quota_id
           )::archon_mcp_rate_want order by wanted.request, wanted.key)
    into v_wants
    from (
      select limited.request, rate.key, sum(limited.calls)::integer as calls, rate.amount, rate.window_seconds, rate.burst,
             rate.mode, rate.quota_id
      from (
        select waiting.request, waiting.tool, coalesce(waiting.tool, waiting.method) as name, 1 as calls
        from unnest(o_request, o_method, o_tool) as waiting (request, method, tool)
        where archon_mcp_counts(waiting.method)
        union all
        select waiting.request, null, '', waiting.calls
        from unnest(r_rate_calls) with ordinality as waiting (calls, request)
        where waiting.calls > 0
      ) as limited
      cross join lateral (
        select archon_mcp_rate_key(
                 r_rate_limit[limited.request], r_rate_window_seconds[limited.request], r_rate_key[limited.request],
                 r_rate_per[limited.request], v_user_id[limited.request], v_department[limited.request], limited.name
               ) as key,
               r_rate_limit[limited.request] as amount, r_rate_window_seconds[limited.request] as window_seconds,
               r_rate_burst[limited.request] as burst, 'enforce' as mode, null::uuid as quota_id
        where r_rate_limit[limited.request] is not null
          and coalesce(r_rate_key[limited.request], v_user_id[limited.request]::text) is not null
          and not (v_rates and r_rates[limited.request] and r_rate_key[limited.request] is null and exists (
            select from archon_mcp_quotas_of('rate', v_user_id[limited.request], v_department[limited.request], null) as own
            where split_part(own.holder, ' ', 1) = case
              when r_rate_per[limited.request] = 'department' and v_department[limited.request] is not null
                then 'department' else 'user'
            end
          ))
        union all
        select quota.quota_id || ' ' || quota.holder, quota.amount::integer, quota.window_seconds, quota.burst,
               quota.mode, quota.quota_id
        from archon_mcp_quotas_of('rate', v_user_id[limited.request], v_department[limited.request], limited.tool) as quota
        where v_rates and r_rates[limited.request]
      ) as rate
      where v_refusal[limited.request] is null
        and (v_again is null or limited.request <> all (v_again))
      group by 1, 2, 4, 5, 6, 7, 8
    ) as wanted;
  end if;
  if v_taken.request is not null then
    v_rate[1] := v_taken;
  elsif v_wants is not null then
    for v_judged in select * from archon_mcp_judge_rates(v_now, v_wants) loop
      v_rate[v_judged.request] := v_judged;
      v_observed := v_observed or v_judged.observed is not null;
      if v_judged.refused then
        v_refusal[v_judged.request] := 'rate_limited';
        v_retry_ms[v_judged.request] := v_judged.retry_ms;
      end if;
    end loop;
  end if;

  -- Budgets, of calls that no other limit refuses.
  if v_budgets then
    select array_agg(row(
             waiting.request, v_user_id[waiting.request], v_department[waiting.request], waiting.tool, waiting.tokens,
             waiting.cost, r_budgets[waiting.request]
           )::archon_mcp_budget_want)
    into v_needs
    from unnest(o_request, o_method, o_tool, o_tokens, o_cost) as waiting (request, method, tool, tokens, cost)
    where archon_mcp_counts(waiting.method)
      and v_refusal[waiting.request] is null
      and (v_again is null or waiting.request <> all (v_again));
    if v_alone and v_needs is not null and v_ended is null then
      v_held := archon_mcp_hold_budgets(p_now, v_needs[1]);
    end if;
    if v_held.request is not null then
      v_budget[1] := v_held;
      v_now := coalesce(v_held.at, v_now);
    elsif v_needs is not null or v_ended is not null then
      for v_judged in select * from archon_mcp_move_budgets(p_now, v_ended, v_needs) loop
        v_budget[v_judged.request] := v_judged;
        v_observed := v_observed or v_judged.observed is not null;
        v_now := v_judged.at;
        if v_judged.refused then
          v_refusal[v_judged.request] := 'quota_exceeded';
          v_retry_ms[v_judged.request] := v_judged.retry_ms;
          v_over := v_over || v_judged.request;
        end if;
      end loop;
    end if;
  end if;
  -- All or nothing: what no budget admits has not used the rate.
  if v_over <> '{}' and v_wants is not null then
    update archon_mcp_rate_cells as cell
    set empty_at = cell.empty_at - back.moved
    from (
      select want.key, sum(want.calls * make_interval(secs => want.window_seconds::double precision / want.amount)) as moved
      from unnest(v_wants) as want
      where want.request = any (v_over)
      group by want.key
    ) as back
    where cell.key = any (array(select want.key from unnest(v_wants) as want))
      and cell.key = back.key;
    foreach v_place in array v_over loop
      v_rate[v_place].amount := null;
    end loop;
  end if;

  if v_alone then
    if v_refusal[1] is null then
      insert into archon_mcp_requests
        (request_id, session_id, user_id, department, client_type, kind, method, tool_name, status, timestamp, counted,
         request_bytes, reserved_tokens, reserved_cost, hold_expires_at)
      values
        (o_id[1], coalesce(v_session[1], r_recorded_session[1]), v_user_id[1], v_department[1],
         coalesce(
           v_client_type[1],
           (
             select session.client_type from archon_mcp_sessions as session
             where session.session_id = r_recorded_session[1]
           )
         ),
         o_kind[1], o_method[1], o_tool[1], 'open', v_now, archon_mcp_counts(o_method[1]), o_bytes[1],
         case when archon_mcp_counts(o_method[1]) then o_tokens[1] else 0 end,
         case when archon_mcp_counts(o_method[1]) then o_cost[1] else 0 end,
         v_now + make_interval(secs => o_hold_seconds[1]))
      on conflict (request_id) do nothing;
    end if;
  else
    insert into archon_mcp_requests
      (request_id, session_id, user_id, department, client_type, kind, method, tool_name, status, timestamp, counted,
       request_bytes, reserved_tokens, reserved_cost, hold_expires_at)
    select waiting.id, coalesce(v_session[waiting.request], r_recorded_session[waiting.request]),
           v_user_id[waiting.request], v_department[waiting.request],
           coalesce(
             v_client_type[waiting.request],
             (
               select session.client_type from archon_mcp_sessions as session
               where session.session_id = r_recorded_session[waiting.request]
             )
           ),
           waiting.kind, waiting.method, waiting.tool, 'open', v_now, counts.counts, waiting.bytes,
           case when counts.counts then waiting.tokens else 0 end, case when counts.counts then waiting.cost else 0 end,
           v_now + make_interval(secs => waiting.hold_seconds)
    from unnest(o_request, o_id, o_method, o_tool, o_kind, o_hold_seconds, o_bytes, o_tokens, o_cost)
      as waiting (request, id, method, tool, kind, hold_seconds, bytes, tokens, cost)
    cross join lateral (select archon_mcp_counts(waiting.method) as counts) as counts
    where v_refusal[waiting.request] is null
    on conflict (request_id) do nothing;
  end if;

  if cardinality(f_quarter) > 0 or v_observed or array_remove(v_refusal, null) <> '{}' then
    perform archon_mcp_count_refusals(
      array_agg(refused.quarter), array_agg(refused.user_id), array_agg(refused.code), array_agg(refused.quota_id),
      array_agg(refused.enforced), array_agg(refused.calls)
    )
    from (
      select told.quarter, told.user_id, told.code, told.quota_id, true as enforced, told.calls
      from unnest(f_quarter, f_user, f_code, f_quota, f_calls) as told (quarter, user_id, code, quota_id, calls)
      where v_again is null
      union all
      select v_now, v_user_id[judged.place], judged.code, judged.quota_id, judged.enforced,
             archon_mcp_counted(o_request, o_method, r_rate_calls, judged.place)
      from (
        select refused.place, refused.code,
               case refused.code
                 when 'rate_limited' then (v_rate[refused.place]).quota_id
                 when 'quota_exceeded' then (v_budget[refused.place]).quota_id
               end as quota_id,
               true as enforced
        from unnest(v_refusal) with ordinality as refused (code, place)
        where refused.code in ('rate_limited', 'too_many_calls', 'quota_exceeded')
        union all
        select place, 'rate_limited', observed.quota_id, false
        from generate_subscripts(v_rate, 1) as place
        cross join lateral unnest((v_rate[place]).observed) as observed (quota_id)
        union all
        select place, 'quota_exceeded', observed.quota_id, false
        from generate_subscripts(v_budget, 1) as place
        cross join lateral unnest((v_budget[place]).observed) as observed (quota_id)
      ) as judged
    ) as refused
    having count(*) > 0;
  end if;

  if v_sessions_ended <> '{}' then
    perform archon_mcp_move_ended_sessions(v_sessions_ended);
  end if;
  if v_rolled is not null then
    perform archon_mcp_move_rollups(v_rolled);
  end if;
  perform set_config('archon_mcp.rollups', '', true);

  return query
  select waiting.place::integer, coalesce(waiting.refusal, 'admitted'), waiting.user_id, waiting.email, waiting.name,
         waiting.department, waiting.role, coalesce(waiting.session, waiting.recorded), v_retry_ms[waiting.place],
         coalesce((v_budget[waiting.place]).quota_id, (v_rate[waiting.place]).quota_id),
         case when waiting.refusal is not null then archon_mcp_counted(o_request, o_method, r_rate_calls, waiting.place) end,
         (v_rate[waiting.place]).amount, (v_rate[waiting.place]).window_seconds, (v_rate[waiting.place]).remaining,
         (v_rate[waiting.place]).reset_ms,
         (v_budget[waiting.place]).scope, (v_budget[waiting.place]).metric, (v_budget[waiting.place]).window_unit,
         trim_scale((v_budget[waiting.place]).amount), trim_scale((v_budget[waiting.place]).remaining),
         (v_budget[waiting.place]).starts_at, (v_budget[waiting.place]).ends_at,
         (v_budget[waiting.place]).warning, (v_budget[waiting.place]).held, (v_budget[waiting.place]).elsewhere
  from unnest(v_refusal, v_user_id, v_email, v_name, v_department, v_role, v_session, r_recorded_session)
    with ordinality as waiting (refusal, user_id, email, name, department, role, session, recorded, place)
  order by waiting.place;
end
$$;

-- Ends those of the given sessions whose time is over, as of the moment at which it was: whoever notices it,
-- and however late, writes the same row. Returns those that it ended.
create function archon_mcp_end_stale_sessions(p_session_ids uuid[], p_now timestamptz) returns uuid[]
language sql
as $$
  with stale as (
    select session.session_id, session.last_activity + make_interval(secs => session.timeout_seconds) as ended_at
    from archon_mcp_sessions as session
    where session.session_id = any (p_session_ids)
      and coalesce(session.disconnected_at, 'infinity') = 'infinity'
    order by session.session_id
    for no key update
  ), ended as (
    update archon_mcp_sessions as session
    set status = 'disconnected',
        disconnect_reason = 'timeout',
        disconnected_at = stale.ended_at,
        total_duration = extract(epoch from stale.ended_at - session.connected_at)::integer
    from stale
    where session.session_id = stale.session_id
      and stale.ended_at < p_now
    returning session.session_id
  )
  select coalesce(array_agg(ended.session_id), '{}') from ended
$$;

-- Ends a user's sessions beyond the newest p_max, the one without a call for longest first, and last those that are
-- in use right now, whatever the clock says. Those whose time was over before make room by themselves. Returns those
-- that it ended.
create function archon_mcp_replace_sessions(
  p_user_id uuid, p_max integer, p_in_use uuid[], p_now timestamptz
) returns uuid[]
language plpgsql
as $$
declare
  v_stale uuid[];
  v_surplus uuid[];
begin
  v_stale := archon_mcp_end_stale_sessions(
    array(
      select session.session_id
      from archon_mcp_sessions as session
      where session.user_id = p_user_id
        and session.disconnected_at is null
        and session.last_activity < p_now - make_interval(secs => session.timeout_seconds)
    ),
    p_now
  );

  with surplus as (
    select session.session_id
    from archon_mcp_sessions as session
    where session.user_id = p_user_id
      and session.disconnected_at is null
    order by session.session_id = any (p_in_use) desc, session.last_activity desc, session.connected_at desc,
             session.session_id
    offset p_max
  ), locked as (
    select session.session_id
    from archon_mcp_sessions as session
    where session.session_id in (select surplus.session_id from surplus)
      and session.disconnected_at is null
    order by session.session_id
    for no key update
  ), ended as (
    update archon_mcp_sessions as session
    set status = 'disconnected',
        disconnect_reason = 'replaced',
        disconnected_at = p_now,
        total_duration = extract(epoch from p_now - session.connected_at)::integer
    from locked
    where session.session_id = locked.session_id
    returning session.session_id
  )
  select array_agg(ended.session_id) into v_surplus from ended;
  return v_stale || v_surplus;
end
$$;

-- Opens a session that has its id on the wire. False when the id is somebody else's or of a session that has ended;
-- sent again after a lost answer, it finds its own.
create function archon_mcp_open_session(
  p_now timestamptz, p_session_id uuid, p_user_id uuid, p_user_email text, p_user_name text, p_client_type text,
  p_client_name text, p_client_version text, p_capabilities jsonb, p_metadata jsonb, p_protocol_version text,
  p_timeout_seconds integer, p_idle_after_seconds integer, p_max_sessions integer
) returns boolean
language plpgsql
as $$
declare
  v_now constant timestamptz := coalesce(p_now, clock_timestamp());
begin
  if p_max_sessions is not null then
    perform from archon_mcp_users as known where known.user_id = p_user_id for no key update;
  end if;
  insert into archon_mcp_sessions
    (session_id, user_id, user_email, user_name, client_type, client_name, client_version, client_capabilities,
     metadata, era, protocol_version, timeout_seconds, idle_after_seconds, connected_at, last_activity)
  values
    (p_session_id, p_user_id, p_user_email, p_user_name, p_client_type, p_client_name, p_client_version,
     p_capabilities, p_metadata, '2025-11-25', p_protocol_version, p_timeout_seconds, p_idle_after_seconds,
     v_now, v_now)
  on conflict (session_id) do nothing;
  if not found then
    return exists (
      select from archon_mcp_sessions as session
      where session.session_id = p_session_id
        and session.user_id is not distinct from p_user_id
        and session.derived_key is null
        and session.disconnected_at is null
    );
  end if;
  if p_max_sessions is not null and p_user_id is not null then
    perform archon_mcp_replace_sessions(p_user_id, p_max_sessions, array[p_session_id], v_now);
  end if;
  return true;
end
$$;

-- Ends a session for a reason, unless its time was over before.
create function archon_mcp_end_session(p_now timestamptz, p_session_id uuid, p_reason text) returns boolean
language plpgsql
as $$
declare
  v_now constant timestamptz := coalesce(p_now, clock_timestamp());
begin
  perform archon_mcp_end_stale_sessions(array[p_session_id], v_now);
  update archon_mcp_sessions as session
  set status = 'disconnected',
      disconnect_reason = p_reason,
      disconnected_at = v_now,
      total_duration = extract(epoch from v_now - session.connected_at)::integer
  where session.session_id = p_session_id
    and session.disconnected_at is null;
  return found;
end
$$;

-- Closes what nobody came back for, a bounded step at a time, on any number of instances at once.
create function archon_mcp_sweep(p_now timestamptz, p_limit integer)
returns table (sessions_ended bigint, sessions_idled bigint, calls_expired bigint)
language plpgsql
-- As those of the ledger, with which it shares functions and so their plans.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_now constant timestamptz := coalesce(p_now, clock_timestamp());
  v_due uuid[];
  v_sessions_ended uuid[];
  v_expired archon_mcp_ended[];
  v_rolled archon_mcp_rolled_call[];
begin
  -- The roll-ups are moved at the end, and not by the triggers of other writers.
  perform set_config('archon_mcp.rollups', 'moved', true);
  select array_agg(due.session_id) into v_due
  from (
    select session.session_id
    from archon_mcp_sessions as session
    where session.disconnected_at is null
      and session.last_activity < v_now - make_interval(secs => session.timeout_seconds)
    order by session.last_activity
    limit p_limit
    for no key update skip locked
  ) as due;
  v_sessions_ended := archon_mcp_end_stale_sessions(coalesce(v_due, '{}'), v_now);
  sessions_ended := cardinality(v_sessions_ended);

  with due as (
    select session.session_id
    from archon_mcp_sessions as session
    where session.disconnected_at is null
      and session.status = 'active'
      and session.last_activity < v_now - make_interval(secs => session.idle_after_seconds)
      and session.last_activity >= v_now - make_interval(secs => session.timeout_seconds)
    order by session.last_activity
    limit p_limit
    for no key update skip locked
  )
  update archon_mcp_sessions as session
  set status = 'idle'
  from due
  where session.session_id = due.session_id;
  get diagnostics sessions_idled = row_count;

  -- A call that nobody closed is charged at its estimate.
  lock table archon_mcp_quotas in row share mode;
  with due as (
    select call.request_id
    from archon_mcp_requests as call
    where call.status = 'open' and call.hold_expires_at < v_now
    order by call.hold_expires_at
    limit p_limit
    for no key update skip locked
  ), expired as (
    update archon_mcp_requests as call
    set status = 'timeout',
        hold_expired = true,
        completion_tokens = call.reserved_tokens,
        cost = call.reserved_cost,
        estimated_cost = round(least(call.reserved_cost, 9999), 6),
        duration_ms = (extract(epoch from call.hold_expires_at - call.timestamp) * 1000)::integer,
        hold_expires_at = null
    from due
    where call.request_id = due.request_id
    returning row(
      call.request_id, call.user_id, call.department, call.tool_name, call.timestamp, call.counted,
      call.counted::integer, call.counted::integer, call.reserved_tokens, call.reserved_tokens, 0, call.reserved_cost, call.reserved_cost, 0,
      0
    )::archon_mcp_ended as ended, archon_mcp_counts(call.method) as counts, archon_mcp_rolled(call, 1) as rolled
  )
  select count(*), array_agg(expired.ended) filter (where expired.counts), array_agg(expired.rolled)
  into calls_expired, v_expired, v_rolled
  from expired;
  if v_expired is not null then
    perform archon_mcp_move_budgets(p_now, v_expired, '{}');
  end if;

  -- An empty cell says nothing.
  delete from archon_mcp_rate_cells as cell
  where cell.key in (
    select empty.key
    from archon_mcp_rate_cells as empty
    where empty.empty_at < v_now
    limit p_limit
    for update skip locked
  );

  if v_sessions_ended <> '{}' then
    perform archon_mcp_move_ended_sessions(v_sessions_ended);
  end if;
  if v_rolled is not null then
    perform archon_mcp_move_rollups(v_rolled);
  end if;
  perform set_config('archon_mcp.rollups', '', true);

  return next;
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
        'archon_mcp_ledger', 'archon_mcp_close_call', 'archon_mcp_why_refused', 'archon_mcp_is_news',
        'archon_mcp_priced', 'archon_mcp_tool_priced',
        'archon_mcp_quotas_of',
        'archon_mcp_rate_key', 'archon_mcp_take_rate', 'archon_mcp_judge_rates',
        'archon_mcp_settle_budgets', 'archon_mcp_hold_budgets', 'archon_mcp_move_budgets', 'archon_mcp_counted', 'archon_mcp_count_refusals',
        'archon_mcp_end_stale_sessions', 'archon_mcp_replace_sessions',
        'archon_mcp_open_session', 'archon_mcp_end_session', 'archon_mcp_sweep'
      )
  loop
    execute format('revoke all on function %s from public, anon, authenticated', routine);
    execute format('grant execute on function %s to service_role', routine);
  end loop;
end
$$;

-- migrate:down
drop function archon_mcp_sweep;
drop function archon_mcp_end_session;
drop function archon_mcp_open_session;
drop function archon_mcp_replace_sessions;
drop function archon_mcp_end_stale_sessions;
drop function archon_mcp_ledger;
drop function archon_mcp_close_call;
drop function archon_mcp_is_news;
drop function archon_mcp_why_refused;
drop function archon_mcp_count_refusals;
drop function archon_mcp_counted;
drop function archon_mcp_hold_budgets;
drop function archon_mcp_settle_budgets;
drop function archon_mcp_move_budgets;
drop function archon_mcp_take_rate;
drop function archon_mcp_rate_key;
drop function archon_mcp_judge_rates;
drop function archon_mcp_quotas_of;
drop function archon_mcp_tool_priced;
drop function archon_mcp_priced;
drop type archon_mcp_budget_verdict;
drop type archon_mcp_rate_verdict;
drop type archon_mcp_budget_want;
drop type archon_mcp_rate_want;
drop type archon_mcp_closed;
drop type archon_mcp_rolled_call;
drop type archon_mcp_rolled_line;
drop type archon_mcp_ended;
drop table archon_mcp_rate_cells;
