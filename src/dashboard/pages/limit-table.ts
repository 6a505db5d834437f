import type { Context } from 'hono'
import type { Amount, McpBudget, McpQuota } from '../../reports/quota-rows.ts'
import { badge } from '../components/badge.ts'
import { meter } from '../components/meter.ts'
import { type Column, table } from '../components/table.ts'
import type { DashboardEnv } from '../env.ts'
import { count, money, usd } from '../format.ts'
import { html, type Html, type Part } from '../html.ts'

const SCOPES: Record<McpQuota['scope'], string> = {
  user: 'One user',
  department: 'One department',
  everyone: 'Everyone together',
  each_user: 'Each user',
  each_department: 'Each department',
}
const WINDOWS: Record<McpBudget['window'], string> = {
  minute: 'a minute',
  hour: 'an hour',
  day: 'a day',
  week: 'a week',
  month: 'a month',
  total: 'in all',
}
const METRICS: Record<Exclude<McpBudget['metric'], 'cost'>, readonly [one: string, more: string]> = {
  requests: ['call', 'calls'],
  tokens: ['token', 'tokens'],
  unpriced: ['call without a price', 'calls without a price'],
}
/** How a limit acts. */
export const MODES = {
  observe: badge('quiet', 'Observes'),
  warn: badge('waiting', 'Warns'),
  enforce: badge('good', 'Enforced'),
}

/** Whom a limit holds. */
export const scopeOf = ({ scope, subject }: McpQuota, names: ReadonlyMap<string, string>): string =>
  subject === undefined ? SCOPES[scope] : (names.get(subject) ?? subject)

/** An amount of a metric, as text. */
export const amountOf = (metric: McpBudget['metric'], amount: Amount): string =>
  metric === 'cost'
    ? usd(amount)
    : `${count(Number(amount))} ${METRICS[metric][Number(amount) === 1 ? 0 : 1]}`

/** An amount of a metric, with the exact one for whoever asks. */
export const amountCell = (metric: McpBudget['metric'], amount: Amount): Part =>
  metric === 'cost' ? money(String(amount)) : count(Number(amount))

/** What a limit allows, in a line. */
export function allowanceOf(quota: McpQuota): string {
  if (quota.kind === 'rate') {
    const burst = quota.burst === quota.limit ? '' : `, ${count(quota.burst)} at once`
    return `${amountOf('requests', quota.limit)} in ${count(quota.window_seconds)} s${burst}`
  }
  return `${amountOf(quota.metric, quota.limit)} ${WINDOWS[quota.window]}`
}

const narrowing = ({ tools = [], ...quota }: McpQuota): Part => {
  const models = quota.kind === 'budget' ? (quota.models ?? []) : []
  const names = [...tools, ...models]
  return names.length === 0 ? '' : html`<span class="sub">for ${names.join(', ')} alone</span>`
}

/** How much of a limit is used and held, as a bar with its numbers. */
export function standingCell(quota: McpQuota): Part {
  if (quota.kind === 'rate' || quota.used === undefined) return '–'
  const { metric, limit, used, held = 0, left = 0 } = quota
  return html`${meter({ used: Number(used), held: Number(held), limit: Number(limit) })}
    <span class="sub block"
      >${amountCell(metric, used)} used${Number(held) > 0 ? html`, ${amountCell(metric, held)} held` : ''},
      ${amountCell(metric, left)} left</span
    >`
}

const resets = (quota: McpQuota, now: Date): Part => {
  if (quota.kind === 'rate') return 'as time passes'
  if (quota.resets_at === null) return 'never'
  return html`<time datetime="${quota.resets_at}" title="${quota.resets_at}"
    >in ${inWords(quota.resets_at, now)}</time
  >`
}

function inWords(iso: string, now: Date): string {
  const minutes = Math.max(1, Math.round((Date.parse(iso) - now.getTime()) / 60_000))
  if (minutes < 120) return `${minutes} min`
  const hours = Math.round(minutes / 60)
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`
}

const refusedCell = ({ refused }: McpQuota): Part =>
  refused.enforced + refused.observed === 0
    ? '–'
    : html`${count(refused.enforced)}${
        refused.observed === 0
          ? ''
          : html`<span class="sub block">${count(refused.observed)} would have been</span>`
      }`

/** Limits, and where each stands. */
export function limitTable(
  c: Context<DashboardEnv>,
  quotas: readonly McpQuota[],
  names: ReadonlyMap<string, string> = new Map(),
): Html {
  const columns: Column<McpQuota>[] = [
    {
      title: 'Holds',
      cell: (quota) =>
        html`<a href="${c.var.base}/limits/${quota.quota_id}">${scopeOf(quota, names)}</a
          >${narrowing(quota)}`,
    },
    { title: 'Allows', whole: true, cell: allowanceOf },
    { title: 'Where it stands', cell: standingCell },
    { title: 'Resets', cell: (quota) => resets(quota, c.var.now) },
    { title: 'Refused', number: true, hint: 'In this window, or in 30 days', cell: refusedCell },
    { title: 'Mode', cell: ({ mode }) => MODES[mode] },
  ]
  return table({
    caption: 'Limits, and where each stands',
    columns,
    rows: quotas,
    mark: (quota) => quota.kind === 'budget' && (quota.warning ?? null) !== null,
    empty: 'No limit is set that you may see.',
  })
}
