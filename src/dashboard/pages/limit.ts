import { type Context, Hono } from 'hono'
import { type Queryable, resolveSql, type SqlSource } from '../../db/client.ts'
import { removeQuota } from '../../limits/quotas.ts'
import { choicesFor } from '../../reports/choices.ts'
import type { McpBudget, McpQuota } from '../../reports/quota-rows.ts'
import { quotaById } from '../../reports/quotas.ts'
import { isUuid } from '../../uuid.ts'
import { actor, adminsOnly, isAdmin } from '../admin.ts'
import { confirmPage } from '../components/confirm.ts'
import { details, facts } from '../components/facts.ts'
import { table } from '../components/table.ts'
import type { DashboardEnv } from '../env.ts'
import { count, moment } from '../format.ts'
import { html, type Html } from '../html.ts'
import { page } from '../layout.ts'
import { chosenZone } from '../period.ts'
import { readAs } from '../read.ts'
import { namesOf } from '../who.ts'
import { lookBack } from './limit-look-back.ts'
import { allowanceOf, amountCell, MODES, scopeOf, standingCell } from './limit-table.ts'
import { notFound } from './message.ts'
import { personCell } from './users.ts'

const idOf = (c: Context): string => (c.req.param('id') ?? '').toLowerCase()

/** A limit with the names of those it speaks of. */
async function read(c: Context<DashboardEnv>, sql: SqlSource) {
  const id = idOf(c)
  if (!isUuid(id)) return null
  return await readAs(c, sql, async (db: Queryable, caller) => {
    const quota = await quotaById(db, caller, id)
    if (quota === null) return null
    return { quota, names: namesOf(await choicesFor(db, caller)) }
  })
}

const titleOf = (quota: McpQuota, names: ReadonlyMap<string, string>): string =>
  `${scopeOf(quota, names)}: ${allowanceOf(quota)}`

function about(quota: McpQuota, timezone: string): Html {
  const budget = quota.kind === 'budget' ? quota : null
  return html`${facts([
    { title: 'Where it stands', value: standingCell(quota) },
    { title: 'Refused', value: count(quota.refused.enforced), note: 'in this window, or in 30 days' },
    { title: 'Would have been refused', value: count(quota.refused.observed), note: 'if it were enforced' },
    ...(budget?.excess_calls === undefined || budget.excess_calls === 0
      ? []
      : [
          {
            title: 'Beyond estimates',
            value: amountCell(budget.metric, budget.excess ?? 0),
            note: `by ${count(budget.excess_calls)} calls`,
          },
        ]),
  ])}
  ${details([
    ['Mode', MODES[quota.mode]],
    [
      'Warns at',
      quota.warn_at.length === 0
        ? '–'
        : quota.warn_at.map((share) => `${Number((share * 100).toFixed(2))}%`).join(', '),
    ],
    ['Tools', quota.tools?.join(', ') ?? 'all'],
    ...(budget === null
      ? []
      : ([
          ['Models', budget.models?.join(', ') ?? 'all'],
          ['Time zone of its window', budget.timezone],
          ['Window began', budget.window_start === null ? '–' : moment(budget.window_start, timezone)],
          ['Resets', budget.resets_at === null ? 'never' : moment(budget.resets_at, timezone)],
        ] as const)),
    ['Changed', moment(quota.updated_at, timezone)],
    ['Id', html`<code>${quota.quota_id}</code>`],
  ])}`
}

const holdersOf = ({ metric, holders = [], scope }: McpBudget, base: string): Html =>
  html`<h2>Nearest to their cap</h2>
    ${table({
      caption: 'Those who are nearest to their cap',
      columns: [
        {
          title: scope === 'each_user' ? 'User' : 'Department',
          cell: (holder) =>
            scope === 'each_user'
              ? personCell({ ...holder, user_id: holder.subject }, `${base}/users/${holder.subject}`)
              : holder.subject,
        },
        { title: 'Used', number: true, cell: (holder) => amountCell(metric, holder.used) },
        { title: 'Held', number: true, cell: (holder) => amountCell(metric, holder.held) },
        { title: 'Left', number: true, cell: (holder) => amountCell(metric, holder.left) },
        { title: 'Refused', number: true, cell: ({ refused }) => count(refused.enforced + refused.observed) },
      ],
      rows: holders,
      mark: ({ warning }) => warning !== null,
      empty: 'Nobody has used anything of it in this window.',
    })}`

async function limitPage(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const found = await read(c, sql)
  if (found === null) return notFound(c, 'limit')
  const { quota, names } = found
  const { timezone } = chosenZone(c.req.query())
  const path = `${c.var.base}/limits/${quota.quota_id}`
  return page(c, {
    title: titleOf(quota, names),
    path: '/limits',
    back: { address: `${c.var.base}/limits`, text: 'All limits' },
    actions: isAdmin(c)
      ? html`<a class="button quiet" href="${path}/edit">Change</a>
          <a class="button quiet" href="${path}/remove">Remove…</a>`
      : undefined,
    content: html`
      ${about(quota, timezone)}
      ${quota.kind === 'budget' && quota.holders !== undefined ? holdersOf(quota, c.var.base) : ''}
      ${isAdmin(c) ? await lookBack(c, sql, quota) : ''}
    `,
  })
}

async function askToRemove(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const found = await read(c, sql)
  if (found === null) return notFound(c, 'limit')
  const path = `${c.var.base}/limits/${found.quota.quota_id}`
  return confirmPage(c, {
    title: 'Remove this limit?',
    path: '/limits',
    text: html`<strong>${titleOf(found.quota, found.names)}</strong> holds nobody back from the next call on.
      What calls used stays on record.`,
    action: `${path}/remove`,
    button: 'Remove',
    back: path,
  })
}

async function remove(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const id = idOf(c)
  const removed = isUuid(id) && (await removeQuota(resolveSql(sql, c), id, actor(c)))
  return removed ? c.redirect(`${c.var.base}/limits`, 303) : notFound(c, 'limit')
}

/** `/limits/:id`: one limit, whom it holds, and its end. */
export const limit = (sql: SqlSource) =>
  new Hono<DashboardEnv>()
    .get('/limits/:id', (c) => limitPage(c, sql))
    .get(
      '/limits/:id/remove',
      adminsOnly((c) => askToRemove(c, sql)),
    )
    .post(
      '/limits/:id/remove',
      adminsOnly((c) => remove(c, sql)),
    )
