-- Sessions, requests and prices in the shape of Archon's migrations 001, 013 and 014, so that a program written
-- for an Archon database finds its tables here. What is ours alone comes with the next steps.

-- migrate:up
create table archon_mcp_sessions (
  session_id uuid primary key default gen_random_uuid(),
  client_type varchar(50) not null default 'Unknown',
  client_version varchar(50),
  client_capabilities jsonb,
  connected_at timestamptz not null default now(),
  disconnected_at timestamptz,
  last_activity timestamptz not null default now(),
  status varchar(20) not null default 'active',
  metadata jsonb default '{}',
  total_duration integer,
  disconnect_reason varchar(100),
  user_id uuid,
  user_email varchar(255),
  user_name varchar(255),
  constraint valid_status check (status in ('active', 'idle', 'disconnected'))
);
comment on column archon_mcp_sessions.status is 'active, idle (no call for 5 minutes), disconnected';
comment on column archon_mcp_sessions.total_duration is 'seconds from connected_at to disconnected_at';

create index idx_archon_mcp_sessions_connected on archon_mcp_sessions (connected_at desc);
create index idx_archon_mcp_sessions_user_email on archon_mcp_sessions (user_email);
create index idx_archon_mcp_sessions_user_activity
  on archon_mcp_sessions (user_id, last_activity desc) where user_id is not null;
-- Live sessions are few beside the history: listings and the sweep read only this part.
create index archon_mcp_sessions_live on archon_mcp_sessions (last_activity) where disconnected_at is null;

create table archon_mcp_requests (
  request_id uuid primary key default gen_random_uuid(),
  session_id uuid not null references archon_mcp_sessions (session_id) on delete cascade,
  method varchar(100) not null,
  tool_name varchar(100),
  prompt_tokens integer default 0,
  completion_tokens integer default 0,
  total_tokens integer generated always as (prompt_tokens + completion_tokens) stored,
  estimated_cost numeric(10, 6) default 0,
  timestamp timestamptz not null default now(),
  duration_ms integer,
  status varchar(20) not null default 'success',
  error_message text,
  constraint valid_status check (status in ('success', 'error', 'timeout'))
);
create index idx_archon_mcp_requests_timestamp on archon_mcp_requests (timestamp desc);
create index idx_archon_mcp_requests_session_timestamp on archon_mcp_requests (session_id, timestamp desc);

create table archon_llm_pricing (
  id serial primary key,
  model_name varchar(100) not null,
  provider varchar(50) not null,
  input_price_per_1k numeric(10, 6) not null,
  output_price_per_1k numeric(10, 6) not null,
  effective_date date not null default current_date,
  notes text,
  constraint archon_llm_pricing_once unique (model_name, provider, effective_date)
);

revoke all on archon_mcp_sessions, archon_mcp_requests, archon_llm_pricing from public, anon, authenticated;
revoke all on sequence archon_llm_pricing_id_seq from public, anon, authenticated;
grant select, insert, update, delete
  on archon_mcp_sessions, archon_mcp_requests, archon_llm_pricing to service_role;
grant usage on sequence archon_llm_pricing_id_seq to service_role;

-- migrate:down
drop table archon_llm_pricing;
drop table archon_mcp_requests;
drop table archon_mcp_sessions;
