-- Quotas: what an administrator allows. A budget is an amount of requests, tokens or cost in a calendar window; a
-- rate is a number of calls in some seconds. Where each holder of a budget stands is a row of its own, which the
-- ledger locks, judges and moves in the statement that admits the calls.

-- migrate:up
create table archon_mcp_quotas (
  quota_id uuid primary key default gen_random_uuid(),
  kind text not null default 'budget' constraint archon_mcp_quotas_kind check (kind in ('budget', 'rate')),
  scope text not null
    constraint archon_mcp_quotas_scope check (scope in ('user', 'department', 'everyone', 'each_user', 'each_department')),
  -- A user's id, or a department; null where the scope says all.
  subject text,
  -- Whose calls it counts: 'user ' or 'department ' and the subject, or the scope itself.
  holder text not null
    constraint archon_mcp_quotas_holder
      check (holder = case when subject is null then scope else scope || ' ' || subject end),
  -- `unpriced`: calls with a model that had no price, known when they have ended.
  metric text constraint archon_mcp_quotas_metric check (metric in ('requests', 'tokens', 'cost', 'unpriced')),
  -- Requests, tokens, USD or unpriced calls; of a rate, calls.
  amount numeric(30, 10) not null constraint archon_mcp_quotas_amount check (amount >= 0),
  window_unit text
    constraint archon_mcp_quotas_window check (window_unit in ('minute', 'hour', 'day', 'week', 'month', 'total')),
  -- Where the calendar is read, and when its windows begin: day of the week (Monday is 1) or of the month, and hour.
  timezone text not null default 'UTC',
  anchor_day integer,
  anchor_hour integer,
  window_seconds integer,
  burst integer,
  -- Sorted; null for all.
  tools text[], -- `github/*` is every tool of the server that is recorded as github
  models text[],
  mode text not null default 'enforce' constraint archon_mcp_quotas_mode check (mode in ('observe', 'warn', 'enforce')),
  -- Shares of the amount at which callers and reports are warned.
  warn_at numeric[] not null default '{0.8,0.95}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint archon_mcp_quotas_subject check ((subject is not null) = (scope in ('user', 'department'))),
  constraint archon_mcp_quotas_shape check (
    case kind
      when 'budget' then metric is not null and window_unit is not null and window_seconds is null and burst is null
        -- No call is unpriced before it has ended: to allow none would refuse every call.
        and (metric <> 'unpriced' or amount >= 1)
      else metric is null and window_unit is null and window_seconds > 0 and burst > 0 and amount >= 1 and models is null
    end
  ),
  constraint archon_mcp_quotas_once
    unique nulls not distinct (kind, holder, metric, window_unit, tools, models)
);
create index archon_mcp_quotas_by_holder on archon_mcp_quotas (holder, kind);

-- Where a holder of a budget stands in the current window, or in the last one that had a call. Derived from the
-- calls: a row that is missing is made from them.
create table archon_mcp_budgets (
  -- The quota's id and the holder.
  key text primary key,
  quota_id uuid not null references archon_mcp_quotas on delete cascade,
  holder text not null,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  -- What ended calls used, and what open ones reserve.
  used numeric(30, 10) not null,
  held numeric(30, 10) not null,
  -- What calls used beyond their estimates, and how many did; it is part of what is used.
  excess numeric(30, 10) not null,
  excess_calls bigint not null
) with (fillfactor = 50);
create index archon_mcp_budgets_by_quota on archon_mcp_budgets (quota_id, holder);
create index archon_mcp_budgets_by_holder on archon_mcp_budgets (holder);

-- A refused call is no row, but a count.
create table archon_mcp_refusals (
  quarter timestamptz not null,
  user_id uuid,
  code text not null,
  -- Null for a limit that is configured where the server starts.
  quota_id uuid,
  -- False for a quota that only observes or warns: what it would have refused.
  enforced boolean not null,
  calls bigint not null,
  constraint archon_mcp_refusals_once unique nulls not distinct (quarter, user_id, code, quota_id, enforced)
);
create index archon_mcp_refusals_by_quota on archon_mcp_refusals (quota_id, quarter) where quota_id is not null;

-- What was found wrong with a budget and set right.
create table archon_mcp_repairs (
  repaired_at timestamptz not null default now(),
  quota_id uuid not null,
  holder text not null,
  starts_at timestamptz not null,
  used_before numeric(30, 10) not null,
  held_before numeric(30, 10) not null,
  used_after numeric(30, 10) not null,
  held_after numeric(30, 10) not null
);

do $$
declare
  v_table text;
begin
  foreach v_table in array array[
    'archon_mcp_quotas', 'archon_mcp_budgets', 'archon_mcp_refusals', 'archon_mcp_repairs'
  ] loop
    execute format('revoke all on %I from public, anon, authenticated', v_table);
    execute format('alter table %I enable row level security', v_table);
    execute format('create policy %I on %I to service_role using (true) with check (true)', v_table || '_service', v_table);
    execute format('grant select, insert, update, delete on %I to service_role', v_table);
  end loop;
end
$$;

-- Whether a limit counts a call.
create function archon_mcp_counts(p_method text) returns boolean
language sql
immutable
as $$
  select p_method not in ('initialize', 'server/discover', 'ping', 'subscriptions/listen')
$$;

-- The first moment at which clocks in a zone show a time of the day, or are past it. Where they are set back they
-- show it twice, and Postgres would take the second; where they are set forward over it (Chatham's go from 2:45 to
-- 3:45) it would count on as if they had not been.
create function archon_mcp_instant(p_local timestamp, p_zone text) returns timestamptz
language sql
stable
as $$
  select case
    when early.at at time zone p_zone = p_local then least(early.at, late.at)
    when late.at at time zone p_zone = p_local then late.at
    else (
      select min(minute)
      from generate_series(late.at - ((late.at at time zone p_zone) - p_local), late.at, interval '1 minute') as minute
      where minute at time zone p_zone >= p_local
    )
  end
  from (select p_local at time zone p_zone as at) as late
  cross join lateral (select late.at - interval '6 hours' as at) as before
  cross join lateral (
    select (p_local - ((before.at at time zone p_zone) - (before.at at time zone 'UTC'))) at time zone 'UTC' as at
  ) as early
$$;

-- The calendar window in which a moment lies: from starts_at up to, and not with, ends_at.
create function archon_mcp_window(
  p_unit text, p_zone text, p_day integer, p_hour integer, p_at timestamptz,
  out starts_at timestamptz, out ends_at timestamptz
)
language plpgsql
stable
as $$
declare
  v_local timestamp := p_at at time zone p_zone;
  v_label timestamp;
  v_step interval;
  v_day integer;
  v_hour constant interval := make_interval(hours => coalesce(p_hour, 0));
begin
  if p_unit is null or p_at is null then
    return;
  end if;
  if p_unit = 'total' then
    starts_at := '-infinity';
    ends_at := 'infinity';
    return;
  end if;
  if p_unit in ('minute', 'hour') then
    -- From where clocks show a full hour to where they next do. In a zone that is set by half an hour (Lord Howe)
    -- that is an hour and a half on the day of the change; hence the second look.
    v_step := ('1 ' || p_unit)::interval;
    starts_at := p_at - (v_local - date_trunc(p_unit, v_local));
    v_local := starts_at at time zone p_zone;
    starts_at := starts_at - (v_local - date_trunc(p_unit, v_local));
    ends_at := starts_at + v_step;
    v_local := ends_at at time zone p_zone;
    if v_local <> date_trunc(p_unit, v_local) then
      ends_at := ends_at + (date_trunc(p_unit, v_local) + v_step - v_local);
    end if;
    return;
  end if;
  v_label := date_trunc(p_unit, v_local);
  v_step := ('1 ' || p_unit)::interval;
  v_day := coalesce(p_day, 1) - 1;
  starts_at := archon_mcp_window_start(p_unit, v_label, v_day, v_hour, p_zone);
  while starts_at > p_at loop
    v_label := v_label - v_step;
    starts_at := archon_mcp_window_start(p_unit, v_label, v_day, v_hour, p_zone);
  end loop;
  loop
    ends_at := archon_mcp_window_start(p_unit, v_label + v_step, v_day, v_hour, p_zone);
    exit when ends_at > p_at;
    v_label := v_label + v_step;
    starts_at := ends_at;
  end loop;
end
$$;

-- When the window of a calendar day, week or month begins. A month that has no 29th to 31st takes its last day.
create function archon_mcp_window_start(
  p_unit text, p_label timestamp, p_days integer, p_hour interval, p_zone text
) returns timestamptz
language sql
stable
as $$
  select archon_mcp_instant(
    p_label + p_hour + make_interval(days => case p_unit
      when 'day' then 0
      when 'week' then p_days
      else least(p_days, extract(day from p_label + interval '1 month' - interval '1 day')::integer - 1)
    end),
    p_zone
  )
$$;

-- What a holder's calls of a period used and reserve, as a quota counts it, from the calls themselves. A call
-- belongs to the window in which it was admitted.
create function archon_mcp_spent(
  p_holder text, p_metric text, p_tools text[], p_models text[], p_from timestamptz, p_to timestamptz,
  out used numeric, out held numeric, out excess numeric, out excess_calls bigint
)
language sql
stable
set enable_seqscan = off
as $$
  with holder as (
    select split_part(p_holder, ' ', 1) as scope, substr(p_holder, strpos(p_holder, ' ') + 1) as subject
  ), calls as (
    select call.* from archon_mcp_requests as call
    where (select scope from holder) = 'user'
      and call.user_id = (select case scope when 'user' then subject::uuid end from holder)
      and call.timestamp >= p_from and call.timestamp < p_to
    union all
    select call.* from archon_mcp_requests as call
    where (select scope from holder) = 'department'
      and call.department = (select subject from holder)
      and call.timestamp >= p_from and call.timestamp < p_to
    union all
    select call.* from archon_mcp_requests as call
    where (select scope from holder) = 'everyone'
      and call.timestamp >= p_from and call.timestamp < p_to
  ), amounts as (
    select call.status = 'open' as open,
           case p_metric when 'requests' then call.counted::integer when 'tokens' then call.total_tokens
             when 'unpriced' then call.unpriced::integer else call.cost end as used,
           case p_metric when 'requests' then call.counted::integer when 'tokens' then call.reserved_tokens
             when 'cost' then call.reserved_cost end as reserved
    from calls as call
    where p_models is null
      and call.kind is not null
      and archon_mcp_counts(call.method)
      and (p_tools is null or array[call.tool_name, regexp_replace(call.tool_name, '/.*', '/*')]::text[] && p_tools)
    union all
    -- Models are known when a call has ended, and hold nothing before.
    select false,
           case p_metric when 'requests' then max(call.counted::integer)
             when 'tokens' then sum(line.prompt_tokens + line.completion_tokens)
             when 'unpriced' then max(line.unpriced::integer) else sum(line.cost) end,
           null
    from calls as call
    join archon_mcp_usage as line on line.request_id = call.request_id and line.model = any (p_models)
    where p_models is not null
      and call.kind is not null
      and archon_mcp_counts(call.method)
      and (p_tools is null or array[call.tool_name, regexp_replace(call.tool_name, '/.*', '/*')]::text[] && p_tools)
    group by call.request_id
  )
  select coalesce(sum(amount.used) filter (where not amount.open), 0),
         coalesce(sum(amount.reserved) filter (where amount.open), 0),
         coalesce(sum(amount.used - amount.reserved) filter (where not amount.open and amount.used > amount.reserved), 0),
         count(*) filter (where not amount.open and amount.used > amount.reserved)
  from amounts as amount
$$;

-- Makes budgets that are missing, from what their windows already hold.
create function archon_mcp_make_budgets(p_quota_ids uuid[], p_holders text[], p_now timestamptz) returns text[]
language sql
as $$
  with made as (
    insert into archon_mcp_budgets (key, quota_id, holder, starts_at, ends_at, used, held, excess, excess_calls)
    select missing.quota_id || ' ' || missing.holder, missing.quota_id, missing.holder,
           period.starts_at, period.ends_at, spent.used, spent.held, spent.excess, spent.excess_calls
    from (
      select distinct wanted.quota_id, wanted.holder from unnest(p_quota_ids, p_holders) as wanted (quota_id, holder)
      order by wanted.quota_id, wanted.holder
    ) as missing
    join archon_mcp_quotas as quota on quota.quota_id = missing.quota_id
    cross join lateral archon_mcp_window(
      quota.window_unit, quota.timezone, quota.anchor_day, quota.anchor_hour, coalesce(p_now, clock_timestamp())
    ) as period
    cross join lateral archon_mcp_spent(
      missing.holder, quota.metric, quota.tools, quota.models, period.starts_at, period.ends_at
    ) as spent
    order by 1
    on conflict do nothing
    returning key
  )
  select array_agg(key) from made
$$;

-- Creates a quota, or changes the one with that id, or else the one of the same kind, holder, metric, window and
-- narrowing. What was used stays: the windows are counted anew from the calls.
create function archon_mcp_put_quota(
  p_now timestamptz, p_quota_id uuid, p_kind text, p_scope text, p_subject text, p_metric text, p_amount numeric,
  p_window_unit text, p_timezone text, p_anchor_day integer, p_anchor_hour integer, p_window_seconds integer,
  p_burst integer, p_tools text[], p_models text[], p_mode text, p_warn_at numeric[],
  out quota archon_mcp_quotas, out created boolean
)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_holder constant text := case when p_subject is null then p_scope else p_scope || ' ' || p_subject end;
  v_tools constant text[] := (select array_agg(distinct tool order by tool) from unnest(p_tools) as tool);
  v_models constant text[] := (select array_agg(distinct model order by model) from unnest(p_models) as model);
  v_known archon_mcp_quotas;
begin
  if not exists (select from pg_timezone_names where name = p_timezone) then
    raise exception 'time zone "%" is not known', p_timezone using errcode = 'invalid_parameter_value';
  end if;
  -- Every statement of the ledger holds this table in row share mode: the lock waits for those on their way, and
  -- those that come after see the change; who only reads the table waits for nobody. Nobody judges by the old quota while its budgets are counted anew.
  lock table archon_mcp_quotas in exclusive mode;
  select * into v_known
  from archon_mcp_quotas as known
  where known.quota_id = p_quota_id
     or ((known.kind, known.holder) = (p_kind, v_holder)
       and (known.metric, known.window_unit, known.tools, known.models)
         is not distinct from (p_metric, p_window_unit, v_tools, v_models))
  order by known.quota_id is not distinct from p_quota_id desc
  limit 1;
  created := v_known.quota_id is null;
  insert into archon_mcp_quotas as known
    (quota_id, kind, scope, subject, holder, metric, amount, window_unit, timezone, anchor_day, anchor_hour,
     window_seconds, burst, tools, models, mode, warn_at, created_at, updated_at)
  values
    (coalesce(v_known.quota_id, p_quota_id, gen_random_uuid()), p_kind, p_scope, p_subject, v_holder, p_metric, p_amount,
     p_window_unit, p_timezone, p_anchor_day, p_anchor_hour, p_window_seconds, p_burst, v_tools, v_models, p_mode,
     p_warn_at, coalesce(p_now, now()), coalesce(p_now, now()))
  on conflict (quota_id) do update
  set kind = excluded.kind, scope = excluded.scope, subject = excluded.subject, holder = excluded.holder,
      metric = excluded.metric, amount = excluded.amount, window_unit = excluded.window_unit,
      timezone = excluded.timezone, anchor_day = excluded.anchor_day, anchor_hour = excluded.anchor_hour,
      window_seconds = excluded.window_seconds, burst = excluded.burst, tools = excluded.tools,
      models = excluded.models, mode = excluded.mode, warn_at = excluded.warn_at, updated_at = excluded.updated_at
  returning * into quota;

  -- A holder with a quota of their own leaves the one of each, and comes back to it.
  delete from archon_mcp_budgets as budget
  where budget.quota_id = quota.quota_id
     or budget.holder in (v_known.holder, v_holder);
  -- Now rather than with somebody's call, where it is kept for one.
  if quota.kind = 'budget' and quota.scope not like 'each%' then
    perform archon_mcp_make_budgets(array[quota.quota_id], array[v_holder], coalesce(p_now, clock_timestamp()));
  end if;
end
$$;

create function archon_mcp_remove_quota(p_quota_id uuid) returns boolean
language plpgsql
as $$
declare
  v_holder text;
begin
  lock table archon_mcp_quotas in exclusive mode;
  delete from archon_mcp_quotas where quota_id = p_quota_id returning holder into v_holder;
  if not found then
    return false;
  end if;
  delete from archon_mcp_budgets where holder = v_holder;
  return true;
end
$$;

-- Compares each budget with its calls; with p_fix sets right what differs, and keeps a record of it. A budget is
-- locked while it is looked at, so that the answer is right under load too.
create function archon_mcp_check_budgets(p_fix boolean)
returns table (
  quota_id uuid, holder text, starts_at timestamptz, used numeric, held numeric, calls_used numeric, calls_held numeric
)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_key text;
  v_budget archon_mcp_budgets;
  v_quota archon_mcp_quotas;
  v_spent record;
begin
  -- First, as the ledger does: whoever changes a quota holds it when they come to its budgets.
  lock table archon_mcp_quotas in row share mode;
  for v_key in select budget.key from archon_mcp_budgets as budget order by budget.key loop
    select * into v_budget from archon_mcp_budgets as budget where budget.key = v_key for update;
    continue when not found;
    select * into v_quota from archon_mcp_quotas as quota where quota.quota_id = v_budget.quota_id;
    select * into v_spent
    from archon_mcp_spent(
      v_budget.holder, v_quota.metric, v_quota.tools, v_quota.models, v_budget.starts_at, v_budget.ends_at
    );
    continue when (v_budget.used, v_budget.held) = (v_spent.used, v_spent.held);
    if p_fix then
      update archon_mcp_budgets as budget
      set used = v_spent.used, held = v_spent.held, excess = v_spent.excess, excess_calls = v_spent.excess_calls
      where budget.key = v_key;
      insert into archon_mcp_repairs
      values (clock_timestamp(), v_budget.quota_id, v_budget.holder, v_budget.starts_at, v_budget.used,
              v_budget.held, v_spent.used, v_spent.held);
    end if;
    return query select v_budget.quota_id, v_budget.holder, v_budget.starts_at, v_budget.used, v_budget.held,
                        v_spent.used, v_spent.held;
  end loop;
end
$$;

-- The calls that a quota would have refused: those of a period again, in their order, each refused whole or charged
-- with what it really used.
create function archon_mcp_preview_quota(
  p_kind text, p_scope text, p_subject text, p_metric text, p_amount numeric, p_window_unit text, p_timezone text,
  p_anchor_day integer, p_anchor_hour integer, p_window_seconds integer, p_burst integer, p_tools text[],
  p_models text[], p_from timestamptz, p_to timestamptz
) returns table (holder text, user_id uuid, starts_at timestamptz, refused_at timestamptz)
language plpgsql
stable
as $$
#variable_conflict use_column
declare
  -- A window that had begun before counts what it held.
  v_from constant timestamptz := case p_kind when 'rate' then p_from - make_interval(secs => p_window_seconds) else (
    select period.starts_at
    from archon_mcp_window(p_window_unit, p_timezone, p_anchor_day, p_anchor_hour, p_from) as period
  ) end;
  v_interval constant interval := make_interval(secs => p_window_seconds / p_amount);
  v_call record;
  v_empty_at timestamptz;
  v_ends_at timestamptz;
  v_used numeric;
begin
  -- As a put would: Postgres itself takes words for zones that are none.
  if not exists (select from pg_timezone_names where name = p_timezone) then
    raise exception 'time zone "%" is not known', p_timezone using errcode = 'invalid_parameter_value';
  end if;
  for v_call in
    select call.user_id, call.timestamp as at, whose.holder,
           case
             when p_models is not null then coalesce(modelled.amount, 0)
             when p_metric = 'tokens' then call.total_tokens
             when p_metric = 'cost' then call.cost
             when p_metric = 'unpriced' then call.unpriced::integer
             else 1
           end as amount
    from archon_mcp_requests as call
    cross join lateral (
      select case
        when p_scope in ('user', 'each_user') then 'user ' || call.user_id
        when p_scope in ('department', 'each_department') then 'department ' || call.department
        else 'everyone'
      end as holder
    ) as whose
    left join lateral (
      select case p_metric
        when 'tokens' then sum(line.prompt_tokens + line.completion_tokens)
        when 'cost' then sum(line.cost)
        when 'unpriced' then max(line.unpriced::integer)
        else least(count(*), 1)
      end as amount
      from archon_mcp_usage as line
      where line.request_id = call.request_id and line.model = any (p_models)
    ) as modelled on p_models is not null
    where call.timestamp >= v_from and call.timestamp < p_to
      and call.kind is not null
      and call.counted
      and whose.holder is not null
      and (p_subject is null or whose.holder = p_scope || ' ' || p_subject)
      and (p_tools is null or array[call.tool_name, regexp_replace(call.tool_name, '/.*', '/*')]::text[] && p_tools)
    order by whose.holder, call.timestamp, call.request_id
  loop
    if v_call.holder is distinct from holder then
      holder := v_call.holder;
      v_empty_at := null;
      v_ends_at := null;
    end if;
    if p_kind = 'rate' then
      v_empty_at := greatest(v_empty_at, v_call.at) + v_interval;
      continue when v_empty_at <= v_call.at + p_burst * v_interval;
      v_empty_at := v_empty_at - v_interval;
    else
      if v_ends_at is null or v_call.at >= v_ends_at then
        select period.starts_at, period.ends_at into starts_at, v_ends_at
        from archon_mcp_window(p_window_unit, p_timezone, p_anchor_day, p_anchor_hour, v_call.at) as period;
        v_used := 0;
      end if;
      -- What is known only afterwards stops the next call.
      if v_used < p_amount
        and (p_models is not null or p_metric = 'unpriced' or v_used + v_call.amount <= p_amount) then
        v_used := v_used + v_call.amount;
        continue;
      end if;
    end if;
    continue when v_call.at < p_from;
    user_id := v_call.user_id;
    refused_at := v_call.at;
    return next;
  end loop;
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
        'archon_mcp_counts', 'archon_mcp_instant', 'archon_mcp_window', 'archon_mcp_window_start', 'archon_mcp_spent',
        'archon_mcp_make_budgets', 'archon_mcp_put_quota', 'archon_mcp_remove_quota',
        'archon_mcp_check_budgets', 'archon_mcp_preview_quota'
      )
  loop
    execute format('revoke all on function %s from public, anon, authenticated', routine);
    execute format('grant execute on function %s to service_role', routine);
  end loop;
end
$$;

-- What an earlier way down set aside. Budgets are made anew from the calls.
insert into archon_mcp_quotas
select (jsonb_populate_record(null::archon_mcp_quotas, taken.content)).*
from archon_mcp_take_back(4, 'archon_mcp_quotas') as taken
on conflict do nothing;
insert into archon_mcp_refusals
select (jsonb_populate_record(null::archon_mcp_refusals, taken.content)).*
from archon_mcp_take_back(4, 'archon_mcp_refusals') as taken
on conflict do nothing;
insert into archon_mcp_repairs
select (jsonb_populate_record(null::archon_mcp_repairs, taken.content)).*
from archon_mcp_take_back(4, 'archon_mcp_repairs') as taken;

select archon_mcp_remember(made)
from unnest(array['archon_mcp_quotas', 'archon_mcp_budgets', 'archon_mcp_refusals', 'archon_mcp_repairs']) as made;

-- migrate:down
lock table archon_mcp_quotas, archon_mcp_budgets, archon_mcp_refusals, archon_mcp_repairs;
select archon_mcp_refuse_additions(made)
from unnest(array['archon_mcp_quotas', 'archon_mcp_budgets', 'archon_mcp_refusals', 'archon_mcp_repairs']) as made;
select archon_mcp_set_aside_rows(4, kept)
from unnest(array['archon_mcp_quotas', 'archon_mcp_refusals', 'archon_mcp_repairs']) as kept;
drop function archon_mcp_preview_quota;
drop function archon_mcp_check_budgets;
drop function archon_mcp_remove_quota;
drop function archon_mcp_put_quota;
drop function archon_mcp_make_budgets;
drop function archon_mcp_spent;
drop function archon_mcp_window;
drop function archon_mcp_window_start;
drop function archon_mcp_instant;
drop function archon_mcp_counts;
drop table archon_mcp_repairs;
drop table archon_mcp_refusals;
drop table archon_mcp_budgets;
drop table archon_mcp_quotas;
