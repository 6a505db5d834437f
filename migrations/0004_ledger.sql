-- The ledger: one statement that closes the calls which have ended and judges and opens the ones that wait, for
-- everything an instance has gathered at that moment; and the sweep, which closes what nobody came back for.
-- Locks are taken in one order everywhere: users, sessions by id, rate cells by key, requests. The sweep skips what
-- is locked.

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

-- Whether a limit counts a call.
create function archon_mcp_counts(p_method text) returns boolean
language sql
immutable
as $$
  select p_method not in ('initialize', 'server/discover', 'ping', 'subscriptions/listen')
$$;

-- Arrays of one prefix belong together, element by element:
--   c_  calls that have ended        u_  callers, each once
--   r_  requests that wait (r_caller counts into u_, null for nobody; r_rate_calls: calls that are limited but not
--       opened, of r_rate_key or of the user)
--   o_  the calls of those requests (o_request counts into r_)
-- One row comes back for each request: verdict is 'admitted' or the code of the refusal.
create function archon_mcp_ledger(
  p_again boolean,              -- sent again after a lost answer: calls that are found were admitted
  p_now timestamptz,            -- null: the database's clock, the one clock that all instances share
  c_id uuid[], c_status text[], c_duration_ms integer[], c_error text[], c_session uuid[],
  u_issuer text[], u_subject text[], u_first_id uuid[], u_fallback_id uuid[],
  u_email text[], u_name text[], u_department text[], u_role text[], u_claims_at timestamptz[],
  r_caller integer[], r_issued_at timestamptz[], r_session uuid[], r_derived_key text[], r_client text[],
  r_recorded_session uuid[], r_timeout_seconds integer[],
  r_idle_after_seconds integer[], r_max_sessions integer[], r_max_in_flight integer[],
  r_rate_limit integer[], r_rate_window_seconds integer[], r_rate_burst integer[], r_rate_per text[],
  r_rate_key text[], r_rate_calls integer[],
  o_request integer[], o_id uuid[], o_method text[], o_tool text[], o_kind text[], o_hold_seconds integer[]
) returns table (
  request integer, verdict text, user_id uuid, email text, name text, department text, role text, session_id uuid,
  remaining integer, reset_ms integer, retry_ms integer
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
  v_now constant timestamptz := coalesce(p_now, clock_timestamp());
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
  v_again integer[];    -- requests whose calls are on record already
  v_in_flight integer[] := '{}'; -- by caller
  v_calls integer;
  v_open integer;
  v_place integer;
  -- Cells of the rate limit: which request wants how many calls of which, and when each is empty again.
  v_want_request integer[];
  v_want_key text[];
  v_want_calls integer[];
  v_cell_key text[];
  v_cell_empty_at timestamptz[];
  v_remaining integer[] := '{}';
  v_reset_ms integer[] := '{}';
  v_retry_ms integer[] := '{}';
  v_cell integer;
  v_interval interval;
  v_empty_at timestamptz;
  v_wait interval;
begin
  -- Calls that have ended. One that the sweep closed meanwhile is corrected.
  if cardinality(c_id) > 0 then
    update archon_mcp_requests as call
    set status = ended.status,
        duration_ms = ended.duration_ms,
        error_message = ended.error,
        session_id = coalesce(call.session_id, ended.session),
        client_type = coalesce(
          call.client_type,
          (select session.client_type from archon_mcp_sessions as session where session.session_id = ended.session)
        ),
        hold_expires_at = null,
        hold_expired = false
    from unnest(c_id, c_status, c_duration_ms, c_error, c_session) as ended (id, status, duration_ms, error, session)
    where call.request_id = any (c_id)
      and call.request_id = ended.id
      and (call.status = 'open' or call.hold_expired);
  end if;

  if cardinality(r_caller) = 0 then
    return;
  end if;

  -- Users: at first sight with the first id, or with the fallback where somebody else has that one.
  if cardinality(u_issuer) > 0 then
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
      exit when array_position(v_user, null) is null;
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
      order by seen.issuer, seen.subject
      on conflict do nothing;
    end loop;

    -- The newest token's word on department and role is kept, and on e-mail and name where it has one. That it
    -- says the same is kept too, or an older token could still overwrite it.
    select array_agg(known.user_id)
    into v_changed
    from unnest(v_user, u_email, u_name, u_department, u_role, u_claims_at)
      as seen (user_id, email, name, department, role, claims_at)
    cross join lateral (
      select * from archon_mcp_users as known where known.user_id = seen.user_id offset 0
    ) as known
    where coalesce(seen.claims_at, v_now) >= coalesce(known.claims_at, '-infinity')
      and (known.email, known.name, known.claimed_department, known.claimed_role,
           greatest(known.claims_at, seen.claims_at)) is distinct from
          (coalesce(seen.email, known.email), coalesce(seen.name, known.name), seen.department, seen.role,
           known.claims_at);
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
        -- Looked at again now that nobody else can write it.
        and coalesce(seen.claims_at, v_now) >= coalesce(known.claims_at, '-infinity');
    end if;
  end if;

  -- Counting a user's calls in flight is exact only when nobody else opens one meanwhile.
  perform from archon_mcp_users as known
  where known.user_id in (
    select v_user[waiting.caller]
    from unnest(r_caller, r_max_in_flight) as waiting (caller, max_in_flight)
    where waiting.max_in_flight is not null
  )
  order by known.user_id
  for no key update;

  -- Cut off? `iat` counts whole seconds: a token of the very second of the cut is refused too.
  select array_agg(known.user_id order by waiting.place),
         array_agg(known.email order by waiting.place),
         array_agg(known.name order by waiting.place),
         array_agg(coalesce(known.assigned_department, known.claimed_department) order by waiting.place),
         array_agg(coalesce(known.assigned_role, known.claimed_role) order by waiting.place),
         array_agg(
           case
             when known.blocked_at is not null then 'blocked'
             when known.revoked_at is not null
               and coalesce(waiting.issued_at, '-infinity') <= known.revoked_at then 'invalid_token'
           end
           order by waiting.place
         ),
         array_agg(coalesce(known.user_id::text, '') || ' ' || waiting.derived_key order by waiting.place)
  into v_user_id, v_email, v_name, v_department, v_role, v_refusal, v_key
  from unnest(r_caller, r_issued_at, r_derived_key) with ordinality as waiting (caller, issued_at, derived_key, place)
  left join lateral (
    select * from archon_mcp_users as known where known.user_id = v_user[waiting.caller] offset 0
  ) as known on true;

  -- Sessions. One whose time is over ends here and now, so that a late sweep changes nothing for a client; a
  -- derived one that is missing is made; then the look is taken again.
  for attempt in 1..2 loop
    -- A session counts when it lives and is the caller's own. A derived one has no id on the wire.
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
    where known.user_id in (
        select wanted.user_id
        from unnest(v_user_id, v_key, r_max_sessions) as wanted (user_id, key, max_sessions)
        where wanted.key is not null and wanted.max_sessions is not null
      )
    order by known.user_id
    for no key update;

    if v_stale is not null then
      perform archon_mcp_end_stale_sessions(v_stale, v_now);
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
    perform archon_mcp_replace_sessions(
      limited.user_id, limited.max_sessions,
      array(
        select session.session_id from archon_mcp_sessions as session
        where session.derived_key = any (v_key) and session.disconnected_at is null
      ),
      v_now
    )
    from (
      select wanted.user_id, min(wanted.max_sessions) as max_sessions
      from unnest(v_user_id, v_refusal, v_key, r_max_sessions) as wanted (user_id, refusal, key, max_sessions)
      where wanted.key is not null and wanted.refusal is null
      group by wanted.user_id
      having min(wanted.max_sessions) is not null
      order by wanted.user_id
    ) as limited;
  end loop;

  -- One write a second keeps last_activity true enough; one a call would rewrite its indexes each time.
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

  if p_again then
    select array_agg(distinct waiting.request)
    into v_again
    from unnest(o_request, o_id) as waiting (request, id)
    join archon_mcp_requests as call on call.request_id = waiting.id;
  end if;

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

  -- Calls in flight, in the order of the requests. Discovery and the like count nothing: a refused one would cost
  -- a client its connection, and a subscription stays open by its nature.
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

  -- The rate: a cell holds the moment at which it is empty again, each call moves it by window / limit, and it may
  -- lie burst calls ahead (the generic cell rate algorithm of ATM, ITU-T I.371). A request is taken whole or not.
  select array_agg(wanted.request order by wanted.request), array_agg(wanted.key order by wanted.request),
         array_agg(wanted.calls order by wanted.request)
  into v_want_request, v_want_key, v_want_calls
  from (
    select limited.request,
           concat_ws(
             ' ',
             r_rate_limit[limited.request] || '/' || r_rate_window_seconds[limited.request] || 's',
             case
               when r_rate_key[limited.request] is not null then 'key ' || r_rate_key[limited.request]
               when r_rate_per[limited.request] = 'department' and v_department[limited.request] is not null
                 then 'department ' || v_department[limited.request]
               else 'user ' || v_user_id[limited.request]
             end,
             case when r_rate_per[limited.request] = 'user-and-tool' then 'tool ' || limited.tool end
           ) as key,
           sum(limited.calls)::integer as calls
    from (
      select waiting.request, coalesce(waiting.tool, waiting.method) as tool, 1 as calls
      from unnest(o_request, o_method, o_tool) as waiting (request, method, tool)
      where archon_mcp_counts(waiting.method)
      union all
      select waiting.request, '', waiting.calls
      from unnest(r_rate_calls) with ordinality as waiting (calls, request)
      where waiting.calls > 0
    ) as limited
    where r_rate_limit[limited.request] is not null
      and coalesce(r_rate_key[limited.request], v_user_id[limited.request]::text) is not null
      and v_refusal[limited.request] is null
      and (v_again is null or limited.request <> all (v_again))
    group by 1, 2
  ) as wanted;
  if v_want_request is not null then
    insert into archon_mcp_rate_cells (key, empty_at)
    select distinct wanted.key, v_now
    from unnest(v_want_key) as wanted (key)
    order by wanted.key
    on conflict do nothing;
    select array_agg(cell.key), array_agg(cell.empty_at)
    into v_cell_key, v_cell_empty_at
    from (
      select known.key, known.empty_at
      from archon_mcp_rate_cells as known
      where known.key = any (v_want_key)
      order by known.key
      for update
    ) as cell;

    for v_place in select distinct wanted.request from unnest(v_want_request) as wanted (request) order by 1 loop
      v_interval := make_interval(secs => r_rate_window_seconds[v_place]::double precision / r_rate_limit[v_place]);
      v_wait := interval '0';
      for v_want in 1..cardinality(v_want_request) loop
        continue when v_want_request[v_want] <> v_place;
        v_empty_at := greatest(v_cell_empty_at[array_position(v_cell_key, v_want_key[v_want])], v_now)
          + v_want_calls[v_want] * v_interval;
        v_wait := greatest(v_wait, v_empty_at - v_now - r_rate_burst[v_place] * v_interval);
      end loop;
      for v_want in 1..cardinality(v_want_request) loop
        continue when v_want_request[v_want] <> v_place;
        v_cell := array_position(v_cell_key, v_want_key[v_want]);
        if v_wait = interval '0' then
          v_cell_empty_at[v_cell] := greatest(v_cell_empty_at[v_cell], v_now) + v_want_calls[v_want] * v_interval;
        end if;
        v_empty_at := greatest(v_cell_empty_at[v_cell], v_now);
        v_remaining[v_place] := least(
          coalesce(v_remaining[v_place], r_rate_burst[v_place]),
          floor(r_rate_burst[v_place] - extract(epoch from v_empty_at - v_now) / extract(epoch from v_interval) + 0.001)::integer
        );
        v_reset_ms[v_place] := greatest(
          coalesce(v_reset_ms[v_place], 0), ceil(extract(epoch from v_empty_at - v_now) * 1000)::integer
        );
      end loop;
      if v_wait > interval '0' then
        v_refusal[v_place] := 'rate_limited';
        v_retry_ms[v_place] := ceil(extract(epoch from v_wait) * 1000)::integer;
      end if;
    end loop;

    update archon_mcp_rate_cells as cell
    set empty_at = moved.empty_at
    from unnest(v_cell_key, v_cell_empty_at) as moved (key, empty_at)
    where cell.key = any (v_cell_key)
      and cell.key = moved.key
      and cell.empty_at <> moved.empty_at;
  end if;

  insert into archon_mcp_requests
    (request_id, session_id, user_id, department, client_type, kind, method, tool_name, status, timestamp,
     hold_expires_at)
  select waiting.id, coalesce(v_session[waiting.request], r_recorded_session[waiting.request]),
         v_user_id[waiting.request], v_department[waiting.request],
         coalesce(
           v_client_type[waiting.request],
           (
             select session.client_type from archon_mcp_sessions as session
             where session.session_id = r_recorded_session[waiting.request]
           )
         ),
         waiting.kind, waiting.method, waiting.tool, 'open', v_now, v_now + make_interval(secs => waiting.hold_seconds)
  from unnest(o_request, o_id, o_method, o_tool, o_kind, o_hold_seconds)
    as waiting (request, id, method, tool, kind, hold_seconds)
  where v_refusal[waiting.request] is null
  on conflict (request_id) do nothing;

  return query
  select waiting.place::integer, coalesce(waiting.refusal, 'admitted'), waiting.user_id, waiting.email, waiting.name,
         waiting.department, waiting.role, coalesce(waiting.session, waiting.recorded),
         v_remaining[waiting.place], v_reset_ms[waiting.place], v_retry_ms[waiting.place]
  from unnest(v_refusal, v_user_id, v_email, v_name, v_department, v_role, v_session, r_recorded_session)
    with ordinality as waiting (refusal, user_id, email, name, department, role, session, recorded, place)
  order by waiting.place;
end
$$;

-- Ends those of the given sessions whose time is over, as of the moment at which it was: whoever notices it,
-- and however late, writes the same row.
create function archon_mcp_end_stale_sessions(p_session_ids uuid[], p_now timestamptz) returns bigint
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
    returning 1
  )
  select count(*) from ended
$$;

-- Ends a user's sessions beyond the newest p_max, the one without a call for longest first, and last those that are
-- in use right now, whatever the clock says. Those whose time was over before make room by themselves.
create function archon_mcp_replace_sessions(
  p_user_id uuid, p_max integer, p_in_use uuid[], p_now timestamptz
) returns bigint
language sql
as $$
  select archon_mcp_end_stale_sessions(
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
    returning 1
  )
  select count(*) from ended
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
as $$
declare
  v_now constant timestamptz := coalesce(p_now, clock_timestamp());
  v_due uuid[];
begin
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
  sessions_ended := archon_mcp_end_stale_sessions(coalesce(v_due, '{}'), v_now);

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

  with due as (
    select call.request_id
    from archon_mcp_requests as call
    where call.status = 'open' and call.hold_expires_at < v_now
    order by call.hold_expires_at
    limit p_limit
    for no key update skip locked
  )
  update archon_mcp_requests as call
  set status = 'timeout',
      hold_expired = true,
      duration_ms = (extract(epoch from call.hold_expires_at - call.timestamp) * 1000)::integer,
      hold_expires_at = null
  from due
  where call.request_id = due.request_id;
  get diagnostics calls_expired = row_count;

  -- An empty cell says nothing.
  delete from archon_mcp_rate_cells as cell
  where cell.key in (
    select empty.key
    from archon_mcp_rate_cells as empty
    where empty.empty_at < v_now
    limit p_limit
    for update skip locked
  );

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
        'archon_mcp_ledger', 'archon_mcp_counts', 'archon_mcp_end_stale_sessions', 'archon_mcp_replace_sessions',
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
drop function archon_mcp_counts;
drop table archon_mcp_rate_cells;
