import type { Queryable } from '../db/client.ts'
import { comesAfter, cutPage, type PageRequest, type Position, positionColumns } from './position.ts'
import { type McpQuota, quotaOf, type QuotaRow } from './quota-rows.ts'
import {
  currentPeriod,
  nearestHolders,
  quotasCounting,
  refusedCalls,
  standingColumns,
  standingOf,
} from './quota-standing.ts'
import { refusalsVisibleTo, type ReportCaller, usersOfDepartment } from './visible-to.ts'

/** Which quotas to list. */
export interface QuotasFilter {
  quotaId?: string | undefined
  kind?: 'budget' | 'rate' | undefined
  scope?: McpQuota['scope'] | undefined
  /** Those that are this user's, or this department's, alone. */
  userId?: string | undefined
  department?: string | undefined
}

/** Longer than any list: for those that are read whole. */
const ALL: PageRequest = { limit: 10_000, after: null }

/**
 * Members read what holds themselves; managers besides what holds users of their department; finance, admins and
 * programs everything. `own` are the quotas that count the caller's calls.
 */
function readableBy(sql: Queryable, { role, department }: ReportCaller) {
  switch (role) {
    case 'admin':
    case 'finance':
    case 'service':
      return sql`true`
    case 'manager':
      return sql`(
        own.quota_id is not null
        or quota.scope = 'each_user'
        or quota.holder in (
          select 'user ' || managed.user_id from (${usersOfDepartment(sql, department)}) as managed
        )
      )`
    case 'member':
      return sql`own.quota_id is not null`
  }
}

function filtered(sql: Queryable, { quotaId, kind, scope, userId, department }: QuotasFilter) {
  return sql`
    true
    ${quotaId === undefined ? sql`` : sql`and quota.quota_id = ${quotaId}`}
    ${kind === undefined ? sql`` : sql`and quota.kind = ${kind}`}
    ${scope === undefined ? sql`` : sql`and quota.scope = ${scope}`}
    ${userId === undefined ? sql`` : sql`and quota.holder = ${`user ${userId}`}`}
    ${department === undefined ? sql`` : sql`and quota.holder = ${`department ${department}`}`}`
}

/**
 * Which quotas are there that a caller may read, and where does each stand? Newest first.
 * @param now the moment to look at; null is the database's clock.
 * @returns a page of them, and how many there are in all.
 */
export async function listQuotas(
  sql: Queryable,
  caller: ReportCaller,
  filter: QuotasFilter,
  { limit, after }: PageRequest,
  now: Date | null = null,
): Promise<{ quotas: McpQuota[]; total: number; next: Position | null }> {
  const { role, userId, department } = caller
  const found = await sql<({ total: string } & (QuotaRow & Position))[]>`
    with own as (${quotasCounting(sql, userId, department)}),
    wanted as (
      select quota.*, coalesce(own.holder, case when quota.scope not like 'each%' then quota.holder end) as line
      from archon_mcp_quotas as quota
      left join own on own.quota_id = quota.quota_id
      where ${readableBy(sql, caller)}
        and ${filtered(sql, filter)}
    )
    select totals.total, page.*
    from (select count(*) as total from wanted) as totals
    left join (
      select quota.quota_id, quota.kind, quota.scope, quota.subject, quota.metric, trim_scale(quota.amount) as amount,
             quota.window_unit as window, quota.timezone, quota.anchor_day, quota.anchor_hour, quota.window_seconds,
             quota.burst, to_json(quota.tools) as tools, to_json(quota.models) as models, quota.mode,
             to_json(quota.warn_at) as warn_at, quota.created_at, quota.updated_at, quota.line,
             nullif(period.starts_at, '-infinity') as window_start, nullif(period.ends_at, 'infinity') as resets_at,
             ${standingColumns(sql)}, trim_scale(standing.excess) as excess, standing.excess_calls,
             ${refusedCalls(
               sql,
               now,
               sql`(quota.scope not like 'each%' or ${refusalsVisibleTo(sql, caller)})`,
             )} as refused,
             ${role === 'member' ? sql`null` : nearestHolders(sql, caller, now)} as holders,
             ${positionColumns(sql, 'quota.created_at', 'quota.quota_id')}
      from (
        select *
        from wanted
        where ${comesAfter(sql, after, 'wanted.created_at', 'wanted.quota_id')}
        order by wanted.created_at desc, wanted.quota_id desc
        limit ${limit + 1}
      ) as quota
      cross join lateral ${currentPeriod(sql, now)}
      cross join ${standingOf(sql, now, 'quota.line')}
    ) as page on true
    order by page.micros desc, page.id desc`
  // A page without rows still has a total.
  const rows = found.filter(({ quota_id }) => quota_id !== null)
  const page = cutPage(rows, limit)
  return {
    quotas: page.rows.map((row) => quotaOf(row, role !== 'member')),
    total: Number(found[0]?.total),
    next: page.next,
  }
}

/** What is this quota, and where does it stand? Null for one that is not there or that the caller may not read. */
export async function quotaById(
  sql: Queryable,
  caller: ReportCaller,
  quotaId: string,
  now: Date | null = null,
): Promise<McpQuota | null> {
  const { quotas } = await listQuotas(sql, caller, { quotaId }, ALL, now)
  return quotas[0] ?? null
}

/** Which limits hold a user, and what is left of each? Newest first. */
export async function quotasOfUser(
  sql: Queryable,
  userId: string,
  department: string | null,
  now: Date | null = null,
): Promise<McpQuota[]> {
  const { quotas } = await listQuotas(sql, { role: 'member', userId, department }, {}, ALL, now)
  return quotas
}
