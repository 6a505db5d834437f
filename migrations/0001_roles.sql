-- The three roles that Supabase brings and PostgREST expects. Roles belong to the whole cluster: they may be
-- there already, another database may be making them at this moment, and the way down must leave them.

-- migrate:up
do $$
declare
  wanted text;
  missing text[] := '{}';
begin
  foreach wanted in array array['anon', 'authenticated', 'service_role'] loop
    continue when exists (select from pg_roles where rolname = wanted);
    begin
      execute format('create role %I nologin', wanted);
    exception
      when duplicate_object or unique_violation then null; -- made by somebody else since the look above
      when insufficient_privilege then missing := missing || format('create role %I nologin;', wanted);
    end;
  end loop;
  if cardinality(missing) > 0 then
    raise exception 'this login may not create the roles that are missing'
      using hint = 'Have an administrator run: ' || array_to_string(missing, ' ');
  end if;
end
$$;

-- The runner made this table; readers of /health and of the start check see it through service_role.
revoke all on archon_mcp_migrations from public, anon, authenticated;
alter table archon_mcp_migrations enable row level security;
create policy archon_mcp_migrations_service on archon_mcp_migrations for select to service_role using (true);
grant select on archon_mcp_migrations to service_role;

-- migrate:down
revoke select on archon_mcp_migrations from service_role;
drop policy archon_mcp_migrations_service on archon_mcp_migrations;
alter table archon_mcp_migrations disable row level security;
