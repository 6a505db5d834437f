import type { Context } from 'hono'
import { asServer } from '../../as-caller.ts'
import type { SqlSource } from '../../db/client.ts'
import { previewQuota, type QuotaPreview } from '../../reports/quota-preview.ts'
import type { McpQuota } from '../../reports/quota-rows.ts'
import { table } from '../components/table.ts'
import { tabs } from '../components/tabs.ts'
import type { DashboardEnv } from '../env.ts'
import { count, moment } from '../format.ts'
import { html, type Html, type Part } from '../html.ts'
import { chosenZone } from '../period.ts'
import { definitionOf } from './limit-fields.ts'
import { personCell } from './users.ts'

/** Over how many days a look back goes. */
const LOOKS = [
  { value: '7', text: '7 days' },
  { value: '30', text: '30 days' },
] as const

const previewOf = ({ calls, refused, holders, total }: QuotaPreview, base: string, timezone: string): Part =>
  html`<p>
      ${
        refused === 0
          ? html`None of ${count(calls)} calls.`
          : html`<strong>${count(refused)}</strong> of ${count(calls)} calls, by ${count(total)}
              ${total === 1 ? 'user' : 'users'}.`
      }
    </p>
    ${
      refused === 0
        ? ''
        : table({
            caption: 'Whom it would have refused',
            columns: [
              {
                title: 'User',
                cell: (holder) =>
                  personCell(holder, holder.user_id === undefined ? null : `${base}/users/${holder.user_id}`),
              },
              { title: 'Department', cell: (holder) => holder.department ?? '–' },
              { title: 'Calls refused', number: true, cell: (holder) => count(holder.calls_refused) },
              { title: 'First', cell: (holder) => moment(holder.first_refused_at, timezone) },
              { title: 'Last', cell: (holder) => moment(holder.last_refused_at, timezone) },
            ],
            rows: holders,
            empty: '',
          })
    }`

/** Judges past calls by it, for those who may set one: when asked, since it reads every one of them. */
export async function lookBack(c: Context<DashboardEnv>, sql: SqlSource, quota: McpQuota): Promise<Html> {
  const query = c.req.query()
  const { base } = c.var
  const chosen = LOOKS.find(({ value }) => value === query['preview'])?.value ?? ''
  const context: Context = c
  const preview =
    chosen === ''
      ? null
      : await asServer(context, sql, (db) => previewQuota(db, definitionOf(quota), Number(chosen)))
  const path = `${base}/limits/${quota.quota_id}`
  return html`<h2>What would it have refused in the last…</h2>
    ${tabs('Days to look back', 'preview', { path, query, choices: LOOKS, chosen })}
    ${preview === null ? '' : previewOf(preview, base, chosenZone(query).timezone)}`
}
