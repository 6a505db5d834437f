-- Personal access tokens: for clients that can only be given a fixed header. What is kept is the SHA-256 of 32 random
-- bytes, so that nobody who reads this table can use one. The ledger's statement looks at the row of the token at every
-- call; open streams are looked at every few seconds.

-- migrate:up
create table archon_mcp_access_tokens (
  token_id uuid primary key default gen_random_uuid(),
  token_hash bytea not null
    constraint archon_mcp_access_tokens_once unique
    constraint archon_mcp_access_tokens_hash check (octet_length(token_hash) = 32),
  -- Whose it is: a user's, or that of a program, by the name that an administrator gave it.
  user_id uuid references archon_mcp_users on update cascade on delete cascade,
  service varchar(100),
  name varchar(100) not null,
  scopes text[] not null default '{}',
  created_at timestamptz not null default now(),
  -- The user who made it; null for a program, and for the command line.
  created_by uuid,
  expires_at timestamptz not null,
  -- Written once in five minutes.
  last_used_at timestamptz,
  revoked_at timestamptz,
  constraint archon_mcp_access_tokens_owner check ((user_id is null) <> (service is null)),
  constraint archon_mcp_access_tokens_life
    check (expires_at > created_at and expires_at <= created_at + interval '366 days')
);
create index archon_mcp_access_tokens_by_user on archon_mcp_access_tokens (user_id, created_at desc);
create index archon_mcp_access_tokens_by_time on archon_mcp_access_tokens (created_at desc, token_id desc);
comment on table archon_mcp_access_tokens is 'personal access tokens, as SHA-256';

revoke all on archon_mcp_access_tokens from public, anon, authenticated;
alter table archon_mcp_access_tokens enable row level security;
create policy archon_mcp_access_tokens_service on archon_mcp_access_tokens to service_role using (true) with check (true);
grant select, insert, update, delete on archon_mcp_access_tokens to service_role;

-- Of streams that are open: the places of those whose user is blocked, cut off since or gone, or whose access token or
-- session was ended by somebody. Time ends a session too, but no stream in it: that has no calls by its nature.
create function archon_mcp_cut_off(
  p_user_id uuid[], p_issued_at timestamptz[], p_access_token uuid[], p_session_id uuid[]
) returns setof integer
language sql
stable
as $$
  select stream.place::integer
  from unnest(p_user_id, p_issued_at, p_access_token, p_session_id) with ordinality
    as stream (user_id, issued_at, access_token, session_id, place)
  where stream.user_id is not null and not exists (
      select from archon_mcp_users as known
      where known.user_id = stream.user_id
        and known.blocked_at is null
        and (known.revoked_at is null or stream.issued_at > known.revoked_at)
    )
    or stream.access_token is not null and not exists (
      select from archon_mcp_access_tokens as token
      where token.token_id = stream.access_token
        and token.revoked_at is null
        and token.expires_at > clock_timestamp()
    )
    or exists (
      select from archon_mcp_sessions as session
      where session.session_id = stream.session_id and session.disconnect_reason in ('revoked', 'admin', 'erased')
    )
$$;
revoke all on function archon_mcp_cut_off(uuid[], timestamptz[], uuid[], uuid[]) from public, anon, authenticated;
grant execute on function archon_mcp_cut_off(uuid[], timestamptz[], uuid[], uuid[]) to service_role;

-- What an earlier way down set aside, of users who are still there.
insert into archon_mcp_access_tokens
select kept.*
from archon_mcp_take_back(10, 'archon_mcp_access_tokens') as taken
cross join jsonb_populate_record(null::archon_mcp_access_tokens, taken.content) as kept
where kept.user_id is null
   or exists (select from archon_mcp_users as known where known.user_id = kept.user_id)
on conflict do nothing;

select archon_mcp_remember('archon_mcp_access_tokens');

-- migrate:down
lock table archon_mcp_access_tokens;
select archon_mcp_refuse_additions('archon_mcp_access_tokens');
select archon_mcp_set_aside_rows(10, 'archon_mcp_access_tokens');
drop function archon_mcp_cut_off;
drop table archon_mcp_access_tokens;
