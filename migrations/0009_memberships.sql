-- Which department a user belonged to, and when. The department that counts is what an admin set, or else what the
-- newest token says; whoever changes it in archon_mcp_users opens a new membership from that moment on. Costs are
-- allocated by the department that each call carries: this is the history beside it, and what a report can tell.

-- migrate:up

-- A user's memberships follow one another without a gap and never overlap, by constraints alone: each ends where
-- another of theirs begins, no two end at the same moment, and so exactly one is without an end.
create table archon_mcp_memberships (
  user_id uuid not null references archon_mcp_users on update cascade on delete cascade,
  -- Null while they belong to none.
  department varchar(255),
  starts_at timestamptz not null,
  -- When the next one begins; null for the one that holds now.
  ends_at timestamptz,
  primary key (user_id, starts_at),
  constraint archon_mcp_memberships_order check (starts_at < ends_at),
  constraint archon_mcp_memberships_once unique nulls not distinct (user_id, ends_at),
  constraint archon_mcp_memberships_next
    foreign key (user_id, ends_at) references archon_mcp_memberships (user_id, starts_at)
    deferrable initially deferred
);
comment on table archon_mcp_memberships is 'departments of users with dates; written when archon_mcp_users changes';

revoke all on archon_mcp_memberships from public, anon, authenticated;
alter table archon_mcp_memberships enable row level security;
create policy archon_mcp_memberships_service on archon_mcp_memberships to service_role using (true) with check (true);
grant select, insert, update, delete on archon_mcp_memberships to service_role;

-- Ends the membership that holds now and begins another. Whoever calls it holds the user's row.
create function archon_mcp_move_user(p_user_id uuid, p_department text, p_at timestamptz) returns void
language plpgsql
as $$
declare
  v_at timestamptz;
begin
  update archon_mcp_memberships as current
  -- Clocks of two transactions may lie the other way round than their changes.
  set ends_at = greatest(p_at, current.starts_at + interval '1 microsecond')
  where current.user_id = p_user_id and current.ends_at is null
  returning current.ends_at into v_at;
  insert into archon_mcp_memberships (user_id, department, starts_at)
  values (p_user_id, p_department, coalesce(v_at, p_at));
end
$$;

create function archon_mcp_follow_department() returns trigger
language plpgsql
as $$
begin
  perform archon_mcp_move_user(
    new.user_id, coalesce(new.assigned_department, new.claimed_department),
    -- The beginning of the transaction: a call that brings the news is admitted in it, and belongs to the new one.
    case tg_op when 'INSERT' then new.created_at else now() end
  );
  return null;
end
$$;

do $$
declare
  routine regprocedure;
begin
  for routine in
    select oid::regprocedure from pg_proc
    where pronamespace = current_schema()::regnamespace
      and proname in ('archon_mcp_move_user', 'archon_mcp_follow_department')
  loop
    execute format('revoke all on function %s from public, anon, authenticated', routine);
    execute format('grant execute on function %s to service_role', routine);
  end loop;
end
$$;

-- Nobody is changed between the look at the users and the triggers.
lock table archon_mcp_users in share row exclusive mode;

-- What an earlier way down set aside.
insert into archon_mcp_memberships
select kept.*
from archon_mcp_take_back(9, 'archon_mcp_memberships') as taken
cross join jsonb_populate_record(null::archon_mcp_memberships, taken.content) as kept
where exists (select from archon_mcp_users as known where known.user_id = kept.user_id);
-- Of the time before there is what calls say: a membership begins with the first call that carries another department.
insert into archon_mcp_memberships (user_id, department, starts_at, ends_at)
select change.user_id, change.department, change.at,
       lead(change.at) over (partition by change.user_id order by change.at)
from (
  select seen.user_id, seen.department, seen.at,
         row_number() over (partition by seen.user_id order by seen.at) = 1
           or seen.department is distinct from lag(seen.department) over (partition by seen.user_id order by seen.at)
           as is_new
  from (
    -- From the moment at which they were made, as their first call says, or else their row.
    select known.user_id, known.created_at as at, coalesce(
             (
               select coalesce(call.department, '')
               from archon_mcp_requests as call
               where call.user_id = known.user_id and call.kind is not null and call.timestamp >= known.created_at
               order by call.timestamp, call.request_id
               limit 1
             ),
             known.assigned_department, known.claimed_department
           ) as department
    from archon_mcp_users as known
    union all
    (
      select distinct on (call.user_id, call.timestamp) call.user_id, call.timestamp, coalesce(call.department, '')
      from archon_mcp_requests as call
      join archon_mcp_users as known on known.user_id = call.user_id
      where call.kind is not null and call.timestamp > known.created_at
      order by call.user_id, call.timestamp, call.request_id
    )
  ) as seen
) as change
where change.is_new
  and not exists (select from archon_mcp_memberships as known where known.user_id = change.user_id);
update archon_mcp_memberships set department = null where department = '';
-- What changed since.
select archon_mcp_move_user(known.user_id, coalesce(known.assigned_department, known.claimed_department), now())
from archon_mcp_users as known
join archon_mcp_memberships as current on current.user_id = known.user_id and current.ends_at is null
where current.department is distinct from coalesce(known.assigned_department, known.claimed_department);

create trigger archon_mcp_users_joined
  after insert on archon_mcp_users
  for each row execute function archon_mcp_follow_department();
create trigger archon_mcp_users_moved
  after update of assigned_department, claimed_department on archon_mcp_users
  for each row
  when (coalesce(new.assigned_department, new.claimed_department)
    is distinct from coalesce(old.assigned_department, old.claimed_department))
  execute function archon_mcp_follow_department();

select archon_mcp_remember('archon_mcp_memberships');

-- migrate:down
lock table archon_mcp_users, archon_mcp_memberships;
select archon_mcp_refuse_additions('archon_mcp_memberships');
select archon_mcp_set_aside_rows(9, 'archon_mcp_memberships');
drop trigger archon_mcp_users_moved on archon_mcp_users;
drop trigger archon_mcp_users_joined on archon_mcp_users;
drop function archon_mcp_follow_department;
drop function archon_mcp_move_user;
drop table archon_mcp_memberships;
