import { connect, type Queryable, type Sql } from './client.ts'
import { type DatabaseState, databaseState } from './schema-version.ts'

/** What a look at the database from a server's own login tells. */
export interface DatabaseFacts {
  /** Of the login. */
  name: string
  /** Superuser, or above policies: none holds for it. */
  mighty: boolean
  /** Owns tables of the kit, and so may change them and is above their policies. */
  owns: boolean
  /** Of the roles `service_role` and `authenticated`, those whose rights it lacks. */
  missingRoles: string[]
  schema: DatabaseState
  /** Tables of the kit without row-level security. */
  openTables: string[]
  serverVersion: number
  /** Milliseconds by which the database's clock is ahead of this one's; less than 0 when behind. */
  clockAheadMs: number
  /** Connections change hands between transactions. */
  pooled: boolean
  /** A read answered what a write had changed since. */
  cached: boolean
}

const OLDEST_SERVER = 150_000

/** Postgres 15 is the oldest with security_invoker views. */
export const isTooOld = ({ serverVersion }: Pick<DatabaseFacts, 'serverVersion'>): boolean =>
  serverVersion < OLDEST_SERVER

const backend = async (sql: Queryable): Promise<unknown> =>
  (await sql`select pg_backend_pid() as pid`)[0]?.['pid']

/**
 * Whether connections change hands between transactions: while one client is in a transaction another is served by
 * a second backend, and afterwards by the first, which a pooler gives away again before others.
 */
async function isPooled(url: string): Promise<boolean> {
  const [holder, other] = [connect(url, { max: 1 }), connect(url, { max: 1 })]
  try {
    const [held, others] = await holder.begin(async (tx) => [await backend(tx), await backend(other)])
    return (await backend(other)) !== others || (await backend(holder)) !== held
  } finally {
    await Promise.all([holder.end({ timeout: 2 }), other.end({ timeout: 2 })])
  }
}

/**
 * Whether somebody in between answers reads from a cache, as Hyperdrive does unless told otherwise: then budgets and
 * sessions would be judged by what was. It writes and reads a row that means nothing.
 */
export async function readsAreCached(sql: Sql): Promise<boolean> {
  const key = `a look for caches ${crypto.randomUUID()}`
  const write = (at: string) => sql`
    insert into archon_mcp_rate_cells (key, empty_at) values (${key}, ${at}::timestamptz)
    on conflict on constraint archon_mcp_rate_cells_pkey do update set empty_at = excluded.empty_at`
  const read = async (): Promise<unknown> =>
    (
      await sql`select cell.empty_at::text as at from archon_mcp_rate_cells as cell where cell.key = ${key}`
    )[0]?.['at']
  await write('2000-01-01')
  const before = await read()
  await write('2000-01-02')
  const after = await read()
  await sql`delete from archon_mcp_rate_cells where key = ${key}`
  return before === after
}

/**
 * Looks at the database as a server with this address would find it.
 * @throws whatever the client throws when the database is out of reach.
 */
export async function databaseFacts(url: string): Promise<DatabaseFacts> {
  const sql = connect(url, { max: 1 })
  try {
    const [login] = await sql<{ name: string; mighty: boolean; missing: string[]; version: number }[]>`
      select current_user as name, login.rolsuper or login.rolbypassrls as mighty,
             to_json(array(
               select wanted.name
               from unnest(array['service_role', 'authenticated']) as wanted (name)
               left join pg_roles as role on role.rolname = wanted.name
               where role.oid is null or not pg_has_role(role.oid, 'member')
             )) as missing,
             current_setting('server_version_num')::integer as version
      from pg_roles as login
      where login.rolname = current_user`
    const [tables] = await sql<{ owns: boolean; open: string[] }[]>`
      select coalesce(bool_or(pg_has_role(class.relowner, 'usage')), false) as owns,
             to_json(coalesce(array_agg(class.relname::text order by class.relname)
               filter (where not class.relrowsecurity), '{}')) as open
      from pg_class as class
      where class.relkind in ('r', 'p')
        and class.relnamespace = current_schema()::regnamespace
        and (class.relname like 'archon_mcp_%' or class.relname = 'archon_llm_pricing')`
    const schema = await databaseState(sql)
    const askedAt = Date.now()
    const [clock] = await sql<{ at: Date }[]>`select clock_timestamp() as at`
    const answeredAt = Date.now()
    return {
      name: login?.name ?? '',
      mighty: login?.mighty === true,
      owns: tables?.owns === true,
      missingRoles: login?.missing ?? [],
      schema,
      openTables: tables?.open ?? [],
      serverVersion: login?.version ?? 0,
      clockAheadMs: (clock?.at.getTime() ?? answeredAt) - (askedAt + answeredAt) / 2,
      pooled: await isPooled(url),
      cached: schema.state === 'current' && (await readsAreCached(sql)),
    }
  } finally {
    await sql.end({ timeout: 2 })
  }
}
