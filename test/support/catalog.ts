import type { Sql } from '../../src/db/client.ts'

/** Every object and every row of a schema, each as a line of text, in an order that depends on nothing else. */
export interface Contents {
  catalog: string[]
  rows: string[]
}

// A list of rights that was never touched is null, and means the default one.
const rights = (acl: string, standard: string): string => `
  (select string_agg(grantee || ' ' || privileges, ', ' order by grantee)
   from (
     select case item.grantee when 0 then 'public' else pg_get_userbyid(item.grantee) end as grantee,
            string_agg(
              item.privilege_type || case when item.is_grantable then '*' else '' end, ' ' order by item.privilege_type
            ) as privileges
     from aclexplode(coalesce(${acl}, ${standard})) as item
     group by item.grantee
   ) as granted)`

const CATALOG = `
with tables as (
  select oid, relname, relkind, relowner, relacl, reloptions, relrowsecurity, relforcerowsecurity
  from pg_class
  where relnamespace = 'public'::regnamespace and relname <> all ($1::text[])
), lines as (
  select concat_ws(' | ', case relkind when 'S' then 'sequence' when 'v' then 'view' else 'table' end, relname,
                   pg_get_userbyid(relowner), reloptions::text,
                   'rls ' || relrowsecurity, 'forced ' || relforcerowsecurity,
                   ${rights('relacl', `acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner)`)}) as line
  from tables
  where relkind in ('r', 'p', 'v', 'm', 'S')
  union all
  select concat_ws(' | ', 'column', relname,
                   row_number() over (partition by relname order by attribute.attnum), attribute.attname,
                   format_type(attribute.atttypid, attribute.atttypmod), 'not null ' || attribute.attnotnull,
                   'generated ' || attribute.attgenerated::text, 'identity ' || attribute.attidentity::text,
                   'default ' || pg_get_expr(standard.adbin, standard.adrelid),
                   'rights ' || ${rights('attribute.attacl', 'null')})
  from tables
  join pg_attribute as attribute on attribute.attrelid = tables.oid
  left join pg_attrdef as standard on standard.adrelid = attribute.attrelid and standard.adnum = attribute.attnum
  where relkind in ('r', 'p', 'v', 'm') and attribute.attnum > 0 and not attribute.attisdropped
  union all
  select concat_ws(' | ', 'constraint', relname, conname, pg_get_constraintdef(pg_constraint.oid),
                   'validated ' || convalidated)
  from tables
  join pg_constraint on conrelid = tables.oid
  union all
  select concat_ws(' | ', 'index', pg_get_indexdef(indexrelid), 'valid ' || indisvalid)
  from tables
  join pg_index on indrelid = tables.oid
  union all
  select concat_ws(' | ', 'view definition', relname, pg_get_viewdef(oid))
  from tables
  where relkind in ('v', 'm')
  union all
  select concat_ws(' | ', 'trigger', pg_get_triggerdef(pg_trigger.oid), 'enabled ' || tgenabled::text)
  from tables
  join pg_trigger on tgrelid = tables.oid
  where not tgisinternal
  union all
  select concat_ws(' | ', 'policy', relname, polname, 'command ' || polcmd::text, 'permissive ' || polpermissive,
                   (select string_agg(case role when 0 then 'public' else pg_get_userbyid(role) end, ' ' order by role)
                    from unnest(polroles) as role),
                   'using ' || pg_get_expr(polqual, polrelid), 'check ' || pg_get_expr(polwithcheck, polrelid))
  from tables
  join pg_policy on polrelid = tables.oid
  union all
  select concat_ws(' | ', 'function', pg_get_functiondef(oid), pg_get_userbyid(proowner),
                   ${rights('proacl', `acldefault('f', proowner)`)})
  from pg_proc
  where pronamespace = 'public'::regnamespace and prokind <> 'a'
  union all
  select concat_ws(' | ', 'type', typname)
  from pg_type
  where typnamespace = 'public'::regnamespace and typtype in ('d', 'e')
  union all
  select concat_ws(' | ', 'comment', object.type, object.identity, description)
  from (
    select classoid, objoid, objsubid, description from pg_description where objoid >= 16384
  ) as said
  cross join pg_identify_object(classoid, objoid, objsubid) as object
  where object.identity ~ '\\mpublic\\.'
)
select line from lines order by line collate "C"`

const ignored = (line: string, tables: readonly string[]): boolean =>
  tables.some((table) => line.startsWith('comment') && line.includes(`public.${table}`))

/**
 * What the schema `public` of a database holds. The record of applied migrations is left out.
 * @param except tables to leave out as well.
 */
export async function contentsOf(owner: Sql, except: readonly string[] = []): Promise<Contents> {
  const left = ['archon_mcp_migrations', ...except]
  const out = [...left, ...left.map((table) => `${table}_pkey`)]
  const lines = await owner.unsafe<{ line: string }[]>(CATALOG, [`{${out.join(',')}}`])
  const tables = await owner<{ name: string }[]>`
    select relname as name from pg_class
    where relnamespace = 'public'::regnamespace and relkind = 'r' and relname <> all (${`{${out.join(',')}}`}::text[])
    order by relname`
  const rows: string[] = []
  for (const { name } of tables) {
    const content = await owner<{ line: string }[]>`
      select to_jsonb(content)::text as line from ${owner(name)} as content order by to_jsonb(content)::text collate "C"`
    rows.push(...content.map(({ line }) => `${name} ${line}`))
  }
  return { catalog: lines.map(({ line }) => line).filter((line) => !ignored(line, left)), rows }
}
