import { type Context, Hono } from 'hono'
import { QuotaBody } from '../../api/quota-schema.ts'
import { resolveSql, type SqlSource } from '../../db/client.ts'
import { putQuota, QuotaError } from '../../limits/quotas.ts'
import type { McpQuota } from '../../reports/quota-rows.ts'
import { quotaById } from '../../reports/quotas.ts'
import { isUuid } from '../../uuid.ts'
import { actor, adminsOnly } from '../admin.ts'
import { type Faults, faultsOf, form, formField, sent } from '../components/form.ts'
import type { DashboardEnv } from '../env.ts'
import { html, type Html } from '../html.ts'
import { page } from '../layout.ts'
import { readAs } from '../read.ts'
import { bodyOf, fieldsOf, type LimitFields, NEW_LIMIT } from './limit-fields.ts'
import { notFound } from './message.ts'

const choices = (all: Readonly<Record<string, string>>) =>
  Object.entries(all).map(([value, text]) => ({ value, text }))

const SCOPES = choices({
  each_user: 'Each user',
  each_department: 'Each department',
  everyone: 'Everyone together',
  user: 'One user',
  department: 'One department',
})
const METRICS = choices({
  cost: 'Cost in USD',
  requests: 'Calls',
  tokens: 'Tokens',
  unpriced: 'Calls without a price',
})
const WINDOWS = choices({
  minute: 'Minute',
  hour: 'Hour',
  day: 'Day',
  week: 'Week',
  month: 'Month',
  total: 'All time',
})
const MODES = choices({
  observe: 'Observe: only count',
  warn: 'Warn: refuse nobody, tell clients',
  enforce: 'Enforce: refuse',
})

/** Where faults of the body stand in the form. */
const FIELD_OF = {
  anchor: 'day',
  'anchor.hour': 'hour',
  warn_at: 'warn_at',
  tools: 'tools',
  models: 'models',
}

const budgetFields = (fields: LimitFields, faults: Faults): Html => html`
  ${formField({ name: 'metric', label: 'What is counted', value: fields['metric'], choices: METRICS }, faults)}
  ${formField({ name: 'limit', label: 'How much', value: fields['limit'], required: true, keys: 'decimal' }, faults)}
  ${formField({ name: 'window', label: 'In which window', value: fields['window'], choices: WINDOWS }, faults)}
  ${formField({ name: 'timezone', label: 'Time zone of the window', value: fields['timezone'], hint: 'Such as Europe/Berlin' }, faults)}
  ${formField({ name: 'day', label: 'Begins on day', value: fields['day'], keys: 'numeric', hint: 'Of the month, or of the week with Monday as 1. Empty: the first.' }, faults)}
  ${formField({ name: 'hour', label: 'Begins at hour', value: fields['hour'], keys: 'numeric', hint: '0 to 23. Empty: midnight.' }, faults)}
  ${formField({ name: 'models', label: 'For these models alone', value: fields['models'], hint: 'Names with commas between. Which model a call uses is known afterwards: the next one is refused.' }, faults)}
`

const rateFields = (fields: LimitFields, faults: Faults): Html => html`
  ${formField({ name: 'limit', label: 'So many calls', value: fields['limit'], required: true, keys: 'numeric' }, faults)}
  ${formField({ name: 'window_seconds', label: 'In so many seconds', value: fields['window_seconds'], required: true, keys: 'numeric' }, faults)}
  ${formField({ name: 'burst', label: 'At once at most', value: fields['burst'], keys: 'numeric', hint: 'Empty: all of them' }, faults)}
`

interface Shown {
  title: string
  /** Where the form goes. */
  action: string
  fields: LimitFields
  faults?: Faults
  back: string
}

function formPage(c: Context<DashboardEnv>, { title, action, fields, faults = {}, back }: Shown): Response {
  const isRate = fields['kind'] === 'rate'
  const wrong = Object.keys(faults).length > 0
  return page(c, {
    title,
    path: '/limits',
    status: wrong ? 400 : 200,
    back: { address: back, text: 'Back' },
    content: html`
      ${wrong ? html`<p class="notice" role="alert">Nothing was changed yet: see below what is wrong.</p>` : ''}
      ${form(c, {
        action,
        button: 'Save',
        faults,
        fields: html`
          <input type="hidden" name="kind" value="${isRate ? 'rate' : 'budget'}" />
          ${formField({ name: 'scope', label: 'Whom it holds', value: fields['scope'], choices: SCOPES }, faults)}
          ${formField({ name: 'subject', label: 'Which user or department', value: fields['subject'], hint: "For one alone: a user's id, or the name of a department" }, faults)}
          ${isRate ? rateFields(fields, faults) : budgetFields(fields, faults)}
          ${formField({ name: 'tools', label: 'For these tools alone', value: fields['tools'], hint: 'Names with commas between. Empty: all.' }, faults)}
          ${formField({ name: 'mode', label: 'Mode', value: fields['mode'], choices: MODES }, faults)}
          ${formField({ name: 'warn_at', label: 'Warn at percent', value: fields['warn_at'], hint: 'Such as 80, 95' }, faults)}
        `,
      })}
    `,
  })
}

/** Saves what a form asks for, or shows it again with what is wrong. */
async function save(
  c: Context<DashboardEnv>,
  sql: SqlSource,
  shown: Omit<Shown, 'fields'>,
  id: string | null,
) {
  const fields = await sent(c)
  const again = (faults: Faults): Response => formPage(c, { ...shown, fields, faults })
  const read = QuotaBody.safeParse(bodyOf(fields, id))
  if (!read.success) return again(faultsOf(read.error.issues, FIELD_OF))
  try {
    const { quotaId } = await putQuota(resolveSql(sql, c), read.data, actor(c))
    return c.redirect(`${c.var.base}/limits/${quotaId}`, 303)
  } catch (error) {
    if (!(error instanceof QuotaError)) throw error
    const field = error.field === 'quota_id' ? '' : error.field
    return again({ [field]: `The ${field === '' ? 'limit' : 'time zone'} ${error.message}.` })
  }
}

async function limitOf(c: Context<DashboardEnv>, sql: SqlSource): Promise<McpQuota | null> {
  const id = (c.req.param('id') ?? '').toLowerCase()
  return isUuid(id) ? await readAs(c, sql, (db, caller) => quotaById(db, caller, id)) : null
}

const newLimit = (c: Context<DashboardEnv>, rate: boolean) => ({
  title: rate ? 'New rate' : 'New budget',
  action: `${c.var.base}/limits/new`,
  back: `${c.var.base}/limits`,
})

const changed = (c: Context<DashboardEnv>, { quota_id: id }: McpQuota) => ({
  title: 'Change this limit',
  action: `${c.var.base}/limits/${id}/edit`,
  back: `${c.var.base}/limits/${id}`,
})

async function editPage(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const quota = await limitOf(c, sql)
  return quota === null
    ? notFound(c, 'limit')
    : formPage(c, { ...changed(c, quota), fields: fieldsOf(quota) })
}

async function edit(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const quota = await limitOf(c, sql)
  return quota === null ? notFound(c, 'limit') : await save(c, sql, changed(c, quota), quota.quota_id)
}

/** `/limits/new` and `/limits/:id/edit`: the form of a limit. */
export const limitForm = (sql: SqlSource) =>
  new Hono<DashboardEnv>()
    .get(
      '/limits/new',
      adminsOnly(async (c) => {
        const rate = c.req.query('kind') === 'rate'
        return formPage(c, {
          ...newLimit(c, rate),
          fields: rate ? { ...NEW_LIMIT, kind: 'rate' } : NEW_LIMIT,
        })
      }),
    )
    .post(
      '/limits/new',
      adminsOnly(async (c) => save(c, sql, newLimit(c, (await sent(c))['kind'] === 'rate'), null)),
    )
    .get(
      '/limits/:id/edit',
      adminsOnly((c) => editPage(c, sql)),
    )
    .post(
      '/limits/:id/edit',
      adminsOnly((c) => edit(c, sql)),
    )
