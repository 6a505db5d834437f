import { type Context, Hono } from 'hono'
import { PriceBody, RerateBody } from '../../api/pricing-schema.ts'
import { resolveSql, type SqlSource } from '../../db/client.ts'
import {
  listPrices,
  listToolPrices,
  type McpPrice,
  type McpToolPrice,
  type UnpricedModel,
  unpricedModels,
} from '../../reports/pricing.ts'
import { putModelPrice, putToolPrice } from '../../usage/prices.ts'
import { rerate } from '../../usage/rerate.ts'
import { actor, adminsOnly, isAdmin } from '../admin.ts'
import { badge } from '../components/badge.ts'
import { confirmPage } from '../components/confirm.ts'
import { filters, textField } from '../components/filters.ts'
import { faultsOf, sent } from '../components/form.ts'
import { table } from '../components/table.ts'
import type { DashboardEnv } from '../env.ts'
import { ago, count, day, money, moment } from '../format.ts'
import { html, type Html, type Part } from '../html.ts'
import { page } from '../layout.ts'
import { chosenZone } from '../period.ts'
import { readAs } from '../read.ts'
import { priceForms, type SentForm } from './price-forms.ts'

const MOST_PRICES = 200

/** USD for 1,000 tokens, to the last digit: of these people want all. */
const exact = (usd: string | undefined): Part =>
  usd === undefined ? '–' : html`<data value="${usd}">$${usd}</data>`

const models = (rows: readonly McpPrice[]): Html =>
  table({
    caption: 'Prices of models, USD for 1,000 tokens',
    columns: [
      { title: 'Model', cell: (row) => html`${row.model_name}<span class="sub">${row.provider}</span>` },
      { title: 'Prompt', number: true, cell: (row) => exact(row.input_price_per_1k) },
      { title: 'From a cache', number: true, cell: (row) => exact(row.cached_price_per_1k) },
      { title: 'Completion', number: true, cell: (row) => exact(row.output_price_per_1k) },
      { title: 'From', whole: true, cell: (row) => day(row.effective_date) },
      ...(rows.some(({ notes }) => notes !== undefined)
        ? [{ title: 'Notes', cell: (row: McpPrice) => row.notes ?? '' }]
        : []),
    ],
    rows,
    empty: 'No price of a model of this name.',
  })

const tools = (rows: readonly McpToolPrice[], timezone: string): Html =>
  table({
    caption: 'Prices of tools, USD for each call',
    columns: [
      { title: 'Tool', cell: (row) => row.tool_name },
      { title: 'Price', number: true, cell: (row) => exact(row.price) },
      { title: 'From', cell: (row) => moment(row.effective_at, timezone) },
      { title: 'Remark', cell: (row) => row.remark ?? '' },
    ],
    rows,
    empty: 'No tool has a price of its own.',
  })

const unpriced = (rows: readonly UnpricedModel[], now: Date): Html =>
  table({
    caption: 'Models that were used without a price',
    columns: [
      { title: 'Model', cell: (row) => html`${row.model} ${badge('warning', 'No price')}` },
      { title: 'Calls', number: true, cell: (row) => count(row.calls) },
      { title: 'Prompt tokens', number: true, cell: (row) => count(row.prompt_tokens) },
      { title: 'Completion tokens', number: true, cell: (row) => count(row.completion_tokens) },
      { title: 'Last used', cell: (row) => ago(row.last_used_at, now) },
    ],
    rows,
    mark: () => true,
    empty: 'Every model that was used had a price at that time.',
  })

async function pricesPage(c: Context<DashboardEnv>, sql: SqlSource, shown: SentForm = {}): Promise<Response> {
  const query = c.req.query()
  const path = `${c.var.base}/prices`
  const model = (query['model'] ?? '').replaceAll('\0', '').trim().slice(0, 100)
  const wanted = model === '' ? undefined : model
  const [listed, ofTools, without] = await readAs(c, sql, (db, caller) =>
    Promise.all([
      listPrices(db, { model: wanted }, { limit: MOST_PRICES, after: null }),
      listToolPrices(db),
      unpricedModels(db, caller, wanted),
    ]),
  )
  return page(c, {
    title: 'Prices',
    path: '/prices',
    status: shown.faults === undefined ? 200 : 400,
    content: html`
      ${shown.faults === undefined ? '' : html`<p class="notice" role="alert">Nothing was changed yet: see below what is wrong.</p>`}
      ${filters({ path, query, fields: textField('model', 'Model', wanted, 'a part of its name') })}
      <h2>Used without a price</h2>
      ${unpriced(without, c.var.now)}
      <h2>Models, USD for 1,000 tokens</h2>
      ${models(listed.pricing)}
      ${listed.next === null ? '' : html`<p class="hint">The first ${MOST_PRICES} of ${count(listed.total)}: search for the others.</p>`}
      <h2>Tools, USD for each call</h2>
      ${tools(ofTools, chosenZone(query).timezone)} ${isAdmin(c) ? priceForms(c, shown) : ''}
    `,
  })
}

const omitEmpty = (fields: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(fields).filter(([name, text]) => text !== '' && name !== 'form_key'))

async function setPrice(c: Context<DashboardEnv>, sql: SqlSource, form: 'model' | 'tool'): Promise<Response> {
  const fields = await sent(c)
  const read = PriceBody.safeParse({ ...(form === 'tool' ? { tool_name: '' } : {}), ...omitEmpty(fields) })
  if (!read.success) return await pricesPage(c, sql, { fields, form, faults: faultsOf(read.error.issues) })
  const client = resolveSql(sql, c)
  if ('tool' in read.data) await putToolPrice(client, read.data, actor(c))
  else await putModelPrice(client, read.data, actor(c))
  return c.redirect(`${c.var.base}/prices`, 303)
}

/** What is to be priced anew, or the page with what is wrong. */
async function readRerate(c: Context<DashboardEnv>, sql: SqlSource) {
  const fields = await sent(c)
  const { from, to, model } = omitEmpty(fields)
  const read = RerateBody.safeParse({
    from,
    ...(to === undefined ? {} : { to }),
    ...(model === undefined ? {} : { models: [model] }),
  })
  if (read.success) return { request: read.data, fields }
  const faults = faultsOf(read.error.issues, { models: 'model' })
  return { answer: await pricesPage(c, sql, { fields, form: 'rerate', faults }) }
}

async function askToRerate(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const read = await readRerate(c, sql)
  if ('answer' in read) return read.answer
  const { from = '', to = '', model = '' } = read.fields
  return confirmPage(c, {
    title: 'Price these calls anew?',
    path: '/prices',
    text: html`Calls from
    ${from}${to === '' ? ' on' : ` up to ${to}, and not with it,`}${model === '' ? '' : ` of ${model}`} take
    the prices that hold for their time. Budgets and sums follow, and a record of it is kept.`,
    fields: html`<input type="hidden" name="from" value="${from}" /><input
        type="hidden"
        name="to"
        value="${to}"
      /><input type="hidden" name="model" value="${model}" />`,
    action: `${c.var.base}/prices/rerate/confirmed`,
    button: 'Price anew',
    back: `${c.var.base}/prices`,
  })
}

async function rerateNow(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const read = await readRerate(c, sql)
  if ('answer' in read) return read.answer
  const done = await rerate(resolveSql(sql, c), read.request, actor(c))
  return page(c, {
    title: 'Priced anew',
    path: '/prices',
    back: { address: `${c.var.base}/prices`, text: 'Prices' },
    content: html`<div class="message">
      <p>
        ${count(done.calls)} ${done.calls === 1 ? 'call' : 'calls'} changed: ${money(done.cost_before)}
        before,
        <strong>${money(done.cost_after)}</strong> now.
      </p>
    </div>`,
  })
}

/** `/prices`: what models and tools cost, and what was used without a price. */
export const prices = (sql: SqlSource) =>
  new Hono<DashboardEnv>()
    .get('/prices', (c) => pricesPage(c, sql))
    .post(
      '/prices/model',
      adminsOnly((c) => setPrice(c, sql, 'model')),
    )
    .post(
      '/prices/tool',
      adminsOnly((c) => setPrice(c, sql, 'tool')),
    )
    .post(
      '/prices/rerate',
      adminsOnly((c) => askToRerate(c, sql)),
    )
    .post(
      '/prices/rerate/confirmed',
      adminsOnly((c) => rerateNow(c, sql)),
    )
