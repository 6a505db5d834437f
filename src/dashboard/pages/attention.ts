import type { CostReport, CostRow } from '../../reports/costs.ts'
import type { McpBudget, McpQuota } from '../../reports/quota-rows.ts'
import type { RefusalSums } from '../../reports/refusals.ts'
import { badge, type BadgeTone } from '../components/badge.ts'
import { count, day, percent, shareOf, usd } from '../format.ts'
import { html, type Html, type Part } from '../html.ts'

/** Something that a person should look at. */
export interface Attention {
  tone: BadgeTone
  /** In a word. */
  kind: string
  text: Part
}

/** From this share of its limit on a budget is near its end. */
const NEAR = 0.8

/** So many errors a day, and so much above the usual, are a spike. */
const SPIKE_ERRORS = 10
const SPIKE_TIMES = 3

const amountOf = ({ metric }: Pick<McpBudget, 'metric'>, amount: number | string): string =>
  metric === 'cost' ? usd(amount) : `${count(Number(amount))} ${metric}`

/** Who may use a budget up, in words. */
export type NameOf = (userId: string) => string

const holderOf = ({ scope, subject }: McpBudget, nameOf: NameOf): string => {
  if (scope === 'user' && subject !== undefined) return nameOf(subject)
  return scope === 'everyone' ? 'Everyone' : (subject ?? 'Each')
}

const window = ({ window }: McpBudget): string => (window === 'total' ? 'in all' : `this ${window}`)

function nearOf(budget: McpBudget, nameOf: NameOf): Attention[] {
  const limit = Number(budget.limit)
  const holders = [
    ...(budget.used === undefined
      ? []
      : [{ who: holderOf(budget, nameOf), used: budget.used, held: budget.held ?? 0 }]),
    ...(budget.holders ?? []).map(({ subject, name, email, used, held }) => ({
      who: name ?? email ?? subject,
      used,
      held,
    })),
  ]
  return holders.flatMap(({ who, used, held }) => {
    const share = shareOf(Number(used) + Number(held), limit)
    if (share < NEAR) return []
    return [
      {
        tone: share >= 1 ? 'bad' : 'warning',
        kind: share >= 1 ? 'Used up' : 'Near its cap',
        text: html`<strong>${who}</strong> used ${percent(share)} of ${amountOf(budget, budget.limit)}
          ${window(budget)}${budget.mode === 'enforce' ? '' : ', which only warns'}`,
      },
    ]
  })
}

/** Days on which far more calls failed than usual. */
export function spikesOf({ rows, total }: Pick<CostReport, 'rows' | 'total'>): CostRow[] {
  const usual = shareOf(total.errors, total.calls)
  return rows.filter(
    ({ calls, errors }) => errors >= SPIKE_ERRORS && shareOf(errors, calls) >= SPIKE_TIMES * usual,
  )
}

/** What needs attention, the gravest first. Pure: the reports say what there is. */
export function attentionOf(
  { quotas, refusals, byDay }: { quotas: readonly McpQuota[]; refusals: RefusalSums; byDay: CostReport },
  nameOf: NameOf,
): Attention[] {
  const near = quotas.flatMap((quota) => (quota.kind === 'budget' ? nearOf(quota, nameOf) : []))
  const { unpriced_calls: unpriced } = byDay.total
  return [
    ...near.filter(({ tone }) => tone === 'bad'),
    ...near.filter(({ tone }) => tone !== 'bad'),
    ...spikesOf(byDay).map(({ key, errors, calls }): Attention => ({
      tone: 'bad',
      kind: 'Errors',
      text: html`<strong>${percent(shareOf(errors, calls))}</strong> of the calls failed on ${day(key ?? '')},
        against ${percent(shareOf(byDay.total.errors, byDay.total.calls))} in the whole period`,
    })),
    ...(refusals.calls === 0
      ? []
      : [
          {
            tone: 'warning' as const,
            kind: 'Refused',
            text: html`<strong>${count(refusals.calls)}</strong> ${refusals.calls === 1 ? 'call' : 'calls'} of
              ${count(refusals.users)} ${refusals.users === 1 ? 'user' : 'users'} went over a limit`,
          },
        ]),
    ...(unpriced === 0
      ? []
      : [
          {
            tone: 'warning' as const,
            kind: 'No price',
            text: html`<strong>${count(unpriced)}</strong> ${unpriced === 1 ? 'call' : 'calls'} used a model
              that has no price: the costs here are too low`,
          },
        ]),
  ]
}

const MOST = 8

/** As a list; what is beyond its end is counted. */
export function attentionList(all: readonly Attention[]): Html {
  if (all.length === 0) return html`<p class="calm">${badge('good', 'Nothing needs attention.')}</p>`
  return html`<ul class="attention">
    ${all.slice(0, MOST).map(({ tone, kind, text }) => html`<li>${badge(tone, kind)}<span>${text}</span></li>`)}
    ${all.length > MOST ? html`<li><span></span><span>and ${count(all.length - MOST)} more</span></li>` : ''}
  </ul>`
}
