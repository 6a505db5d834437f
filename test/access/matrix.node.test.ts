// Every role x every table, view and function x own, own department, other department, anonymous, erased: in SQL, as
// PostgREST asks. What is there is read from the catalog, so that nothing is without a row here.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { type Asker, CALLERS, type Name, NAMES, type People, populate, STAFF } from './people.ts'
import { type Owned, type RuleName, RULES } from './rules.ts'

let database: TestDatabase
let people: People
beforeAll(async () => {
  database = await createTestDatabase()
  people = await populate(database)
}, 60_000)
afterAll(() => database[Symbol.asyncDispose]())

interface Table {
  rule: RuleName
  /** Whose a row is: an id, and a department. */
  user?: string
  department?: string
  holds?: string
  /** What tells its rows apart, where not all columns may be read. */
  key?: string
}
const departmentNow = (user: string) =>
  `(select coalesce(k.assigned_department, k.claimed_department) from archon_mcp_users as k where k.user_id = ${user})`
const ofCall = (column: string) =>
  `(select c.${column} from archon_mcp_requests as c where c.request_id = t.request_id)`
const ofSession = (column: string) =>
  `(select s.${column} from archon_mcp_sessions as s where s.session_id = t.session_id)`
const holderId = `(case when t.holder like 'user %' then substr(t.holder, 6)::uuid end)`
const LIMIT = {
  user: holderId,
  department: departmentNow(holderId),
  holds: `case when t.holder = 'everyone' then 'everyone' when t.holder like 'department %' then substr(t.holder, 12) end`,
}

/** What `authenticated` may select, and whose rows then. */
const TABLES: Record<string, Table> = {
  archon_llm_pricing: { rule: 'known' },
  archon_mcp_access_tokens: { rule: 'own', user: 't.user_id', key: 't.token_id' },
  archon_mcp_audit: { rule: 'admins' },
  archon_mcp_budgets: { rule: 'limits', ...LIMIT },
  archon_mcp_duration_days: { rule: 'records', department: 't.department' },
  archon_mcp_ended_sessions: { rule: 'records', user: 't.user_id', department: 't.department' },
  archon_mcp_memberships: { rule: 'records', user: 't.user_id', department: 't.department' },
  archon_mcp_quarters: { rule: 'records', department: 't.department' },
  archon_mcp_quotas: { rule: 'limits', ...LIMIT },
  archon_mcp_rebuilds: { rule: 'everybodys' },
  archon_mcp_refusals: { rule: 'records', user: 't.user_id', department: departmentNow('t.user_id') },
  archon_mcp_repairs: { rule: 'everybodys' },
  archon_mcp_requests: { rule: 'calls', user: 't.user_id', department: 't.department' },
  archon_mcp_rerates: { rule: 'everybodys' },
  archon_mcp_retention: { rule: 'admins' },
  archon_mcp_session_totals: {
    rule: 'records',
    user: ofSession('user_id'),
    department: ofSession('department'),
  },
  archon_mcp_sessions: { rule: 'records', user: 't.user_id', department: 't.department' },
  archon_mcp_tool_days: { rule: 'records', department: 't.department' },
  archon_mcp_tool_prices: { rule: 'known' },
  archon_mcp_usage: { rule: 'calls', user: ofCall('user_id'), department: ofCall('department') },
  archon_mcp_user_days: { rule: 'records', user: 't.user_id', department: 't.department' },
  archon_mcp_user_totals: { rule: 'records', user: 't.user_id', department: 't.department' },
  archon_mcp_users: {
    rule: 'records',
    user: 't.user_id',
    department: 'coalesce(t.assigned_department, t.claimed_department)',
  },
  archon_mcp_watermark: { rule: 'known' },
}
/** What nobody reads through an exposed API. */
const HIDDEN = ['archon_mcp_adopted', 'archon_mcp_migrations', 'archon_mcp_rate_cells']
const VIEWS = ['archon_mcp_session_stats', 'archon_mcp_user_stats']

const WRITES = ['insert', 'update', 'delete', 'truncate', 'references', 'trigger']

describe('every table and view', () => {
  it('has a row here, and grants to authenticated select alone and to anon nothing', async () => {
    const relations = await database.owner<{ name: string; reads: boolean; other: boolean; anon: boolean }[]>`
      select class.relname as name,
             has_any_column_privilege('authenticated', class.oid, 'select') as reads,
             has_table_privilege('authenticated', class.oid, ${WRITES.join(',')})
               or has_any_column_privilege('authenticated', class.oid, 'insert, update, references') as other,
             has_table_privilege('anon', class.oid, ${`select,${WRITES.join(',')}`})
               or has_any_column_privilege('anon', class.oid, 'select, insert, update, references') as anon
      from pg_class as class
      where class.relnamespace = 'public'::regnamespace and class.relkind in ('r', 'v', 'm', 'p', 'f')
      order by class.relname collate "C"`
    const mine = [...Object.keys(TABLES), ...VIEWS, ...HIDDEN].toSorted()
    expect([...relations]).toEqual(
      mine.map((name) => ({ name, reads: !HIDDEN.includes(name), other: false, anon: false })),
    )
  })

  it('is under row-level security', async () => {
    const open = await database.owner`
      select relname from pg_class
      where relnamespace = 'public'::regnamespace
        and (relkind = 'r' and not relrowsecurity
          or relkind = 'v' and not coalesce('security_invoker=true' = any (reloptions), false))`
    expect([...open]).toEqual([])
  })
})

const nameOf = (id: string | null): Owned['name'] =>
  id === null ? null : (NAMES.find((name) => name !== 'Erna' && people.id(name) === id) ?? 'somebody')

describe.each(Object.entries(TABLES))('%s', (table, { rule, user, department, holds, key }) => {
  it(`shows: ${rule}`, async () => {
    const all = await database.owner.unsafe<
      { key: string; user_id: string | null; department: string | null; holds: string | null }[]
    >(`
      select ${key ?? 't'}::text as key, ${user ?? 'null::uuid'} as user_id, ${department ?? 'null'} as department,
             ${holds ?? 'null'} as holds
      from ${table} as t`)
    expect(all.length).toBeGreaterThan(0)
    const seen: Record<string, string[]> = {}
    const due: Record<string, string[]> = {}
    for (const who of CALLERS) {
      const rows = await people.as(who, (tx) =>
        tx.unsafe<{ key: string }[]>(`select ${key ?? 't'}::text as key from ${table} as t`),
      )
      const told = (keys: string[]) =>
        keys
          .map((each) => {
            const row = all.find((one) => one.key === each)
            return `${nameOf(row?.user_id ?? null) ?? '-'} ${row?.department ?? '-'} ${row?.holds ?? '-'} ${each}`
          })
          .toSorted()
      seen[who] = told(rows.map((row) => row.key))
      due[who] = told(
        all
          .filter((row) =>
            RULES[rule](who, { name: nameOf(row.user_id), department: row.department, holds: row.holds }),
          )
          .map((row) => row.key),
      )
    }
    expect(seen).toEqual(due)
    // The owner, and a program, see all.
    const [program] = await database.sql.unsafe(`select count(*)::integer as rows from ${table}`)
    expect(program).toEqual({ rows: all.length })
  })
})

it.each(['archon_mcp_users', 'archon_mcp_sessions', 'archon_mcp_requests', 'archon_mcp_user_days'])(
  'the rule of %s is asked once for a query, and its body stands in place of a call for each row',
  async (table) => {
    const plan = await people.as('Mona', (tx) =>
      tx.unsafe<{ 'QUERY PLAN': string }[]>(`explain (costs off) select from ${table}`),
    )
    const text = plan.map((line) => line['QUERY PLAN']).join('\n')
    expect(text).toContain('InitPlan')
    expect(text).not.toMatch(/SubPlan|archon_mcp_sees|archon_mcp_caller/)
  },
)

describe('every function', () => {
  /** What reports and an exposed API may call. */
  const CALLABLE = `
    archon_mcp_call_sums archon_mcp_caller archon_mcp_instant archon_mcp_manages archon_mcp_quotas_of
    archon_mcp_seen_spent archon_mcp_sees archon_mcp_sees_every_call archon_mcp_sees_everyone
    archon_mcp_window archon_mcp_window_start get_active_mcp_clients
    get_disconnected_sessions get_mcp_usage_by_tool get_mcp_usage_summary get_user_activity_summary
    get_user_sessions`
  /** Those that run with the owner's rights: each asks who calls it, or is for the server's login alone. */
  const WITH_OWNERS_RIGHTS = [
    'archon_mcp_call_sums',
    'archon_mcp_caller',
    'archon_mcp_erase_user',
    'archon_mcp_retain',
    'archon_mcp_seen_spent',
    'archon_mcp_store_names',
  ]

  it('is callable by nobody through an exposed API, but for those listed here', async () => {
    const functions = await database.owner<{ name: string; anon: boolean; called: boolean }[]>`
      select proname as name, bool_or(has_function_privilege('anon', oid, 'execute')) as anon,
             bool_or(has_function_privilege('authenticated', oid, 'execute')) as called
      from pg_proc
      where pronamespace = 'public'::regnamespace
      group by proname
      order by proname collate "C"`
    expect(functions.filter(({ called }) => called).map(({ name }) => name)).toEqual(
      CALLABLE.trim().split(/\s+/),
    )
    expect(functions.filter(({ anon }) => anon)).toEqual([])
  })

  it("runs with the caller's rights, but for those listed here, which look nowhere but in this schema", async () => {
    const definers = await database.owner`
      select proname as name, proconfig::text as config from pg_proc
      where pronamespace = 'public'::regnamespace and prosecdef
      order by proname collate "C"`
    expect([...definers]).toEqual(
      WITH_OWNERS_RIGHTS.map((name) => ({
        name,
        config: expect.stringContaining('search_path=public, pg_temp'),
      })),
    )
  })

  it.each(['archon_mcp_enable_rls()', 'archon_mcp_disable_rls()'])('%s is for the owner', async (call) => {
    await expect(database.sql.unsafe(`select ${call}`)).rejects.toMatchObject({ code: '42501' })
    await expect(people.as('Ada', (tx) => tx.unsafe(`select ${call}`))).rejects.toMatchObject({
      code: '42501',
    })
  })
})

/** Sessions and calls, whose they are: everybody has one of each, but for Eve, who has one in each department. */
const OWNED: Owned[] = [
  ...NAMES.filter((name) => name !== 'Erna').map((name) => ({ name, department: departmentOf(name) })),
  { name: 'Eve', department: 'Research' },
  { name: 'somebody', department: 'Sales' },
  { name: null, department: null },
]
function departmentOf(name: Name): string | null {
  const staff: { department?: string; role?: string } = STAFF[name]
  return staff.department ?? null
}
const count = (rule: RuleName, who: Asker, of: Owned[] = OWNED): number =>
  of.filter((row) => RULES[rule](who, row)).length

describe.each(CALLERS)('to %s', (who) => {
  const one = async <T>(sql: string): Promise<T> => {
    const [row] = await people.as(who, (tx) => tx.unsafe<[{ value: T }]>(`select (${sql}) as value`))
    return row.value
  }

  it("the seed's functions tell of what they see", async () => {
    const live = await one<number>('select count(*)::integer from get_active_mcp_clients()')
    const ended = await one<number>('select count(*)::integer from get_disconnected_sessions()')
    expect(live + ended).toBe(count('records', who))
    for (const name of NAMES.filter((each) => each !== 'Erna')) {
      const theirs = OWNED.filter((row) => row.name === name)
      expect(await one(`select count(*)::integer from get_user_sessions('${people.id(name)}')`)).toBe(
        count('records', who, theirs),
      )
      expect(
        await one(`select sum(total_requests)::integer from get_user_activity_summary('${people.id(name)}')`),
      ).toBe(count('records', who, theirs) || null)
    }
  })

  it('sums are of what they see, and to finance of everybody', async () => {
    const calls = count('records', who)
    expect(await one("select calls::integer from archon_mcp_call_sums('{}', null, null)")).toBe(calls)
    expect(await one("select total_requests::integer from get_mcp_usage_summary('-infinity', now())")).toBe(
      calls,
    )
    expect(
      await one("select sum(request_count)::integer from get_mcp_usage_by_tool('-infinity', now())"),
    ).toBe(
      // A call by HTTP has no tool.
      count(
        'records',
        who,
        OWNED.filter(({ name }) => name !== null),
      ) || null,
    )
    expect(await one('select sum(total_requests)::integer from archon_mcp_user_stats')).toBe(
      count(
        'records',
        who,
        OWNED.filter(({ name }) => name !== null),
      ) || null,
    )
    // Whoever says that they are somebody else is not heard.
    const feigned = `archon_mcp_call_sums('{}', null, null, p_role => 'admin', p_viewer => '${people.id('Ada')}')`
    expect(await one(`select calls::integer from ${feigned}`)).toBe(calls)
  })

  it('what was spent is told of limits that they see', async () => {
    const holders: { holder: string; row: Owned; used: number }[] = [
      { holder: 'everyone', row: { name: null, department: null, holds: 'everyone' }, used: OWNED.length },
      { holder: 'department Research', row: { name: null, department: null, holds: 'Research' }, used: 2 },
      { holder: `user ${people.id('Bob')}`, row: { name: 'Bob', department: 'Sales' }, used: 1 },
    ]
    for (const { holder, row, used } of holders) {
      const spent = `archon_mcp_seen_spent('${holder}', 'requests', null, null, '-infinity', 'infinity')`
      expect(await one(`select used::integer from ${spent}`)).toBe(RULES.limits(who, row) ? used : null)
    }
  })
})
