import { type Context, Hono } from 'hono'
import { resolveSql, type SqlSource } from '../../db/client.ts'
import { type RetentionState, retentionState, setRetention } from '../../personal-data/retention.ts'
import { actor, adminsOnly } from '../admin.ts'
import { type Faults, form, formField, sent } from '../components/form.ts'
import type { DashboardEnv } from '../env.ts'
import { html, type Html } from '../html.ts'
import { page } from '../layout.ts'

const KINDS = [
  {
    name: 'calls_days',
    label: 'Calls',
    least: 62,
    hint: 'Who called which tool when, and what it used. Sums stay for ever. At least 62 days.',
  },
  {
    name: 'sessions_days',
    label: 'Sessions',
    least: 1,
    hint: 'After their end, and as long as a call of theirs is kept.',
  },
  { name: 'errors_days', label: 'Texts of errors', least: 1, hint: 'They may say anything.' },
  { name: 'audit_days', label: 'Audit', least: 30, hint: 'Who changed what. At least 30 days.' },
] as const
type Kind = (typeof KINDS)[number]['name']
const MOST_DAYS = 36_500

type Fields = Readonly<Record<string, string>>

const fieldsOf = (state: RetentionState): Fields => ({
  ...Object.fromEntries(KINDS.map(({ name }) => [name, state[name] === null ? '' : String(state[name])])),
  names: state.stores_names ? 'on' : 'off',
})

/** The days that a form asks for, or what is wrong with them. */
function readDays(fields: Fields): { days: Partial<Record<Kind, number | null>>; faults: Faults } {
  const days: Partial<Record<Kind, number | null>> = {}
  const faults: Record<string, string> = {}
  for (const { name, least } of KINDS) {
    const text = fields[name] ?? ''
    const value = Number(text)
    if (text === '') days[name] = null
    else if (/^\d{1,5}$/.test(text) && value >= least && value <= MOST_DAYS) days[name] = value
    else faults[name] = `Give days from ${least} to ${MOST_DAYS}, or nothing to keep them for ever.`
  }
  return { days, faults }
}

function dataPage(
  c: Context<DashboardEnv>,
  state: RetentionState,
  fields: Fields = fieldsOf(state),
  faults: Faults = {},
): Response {
  const { base } = c.var
  const notes: Html[] = [
    ...(state.calls_held_by_quotas
      ? [
          html`<p class="notice">
            No call goes while a budget of all time counts them: remove that limit, or keep calls for ever.
          </p>`,
        ]
      : []),
    ...(state.calls_complete_from === null
      ? []
      : [
          html`<p>
            Every call is kept from ${state.calls_complete_from} on; of the days before there are sums.
          </p>`,
        ]),
  ]
  return page(c, {
    title: 'Data',
    path: '/data',
    status: Object.keys(faults).length > 0 ? 400 : 200,
    content: html`
      <p>
        For how many days is what kept? Empty is for ever. What is due goes within minutes, in small steps
        that nobody waits for, and does not come back.
      </p>
      ${notes}
      ${form(c, {
        action: `${base}/data`,
        button: 'Save',
        faults,
        fields: html`
          ${KINDS.map(({ name, label, hint }) =>
            formField(
              { name, label: `${label}, in days`, value: fields[name], keys: 'numeric', hint },
              faults,
            ),
          )}
          ${formField({
            name: 'names',
            label: 'E-mails and names',
            value: fields['names'],
            choices: [
              { value: 'on', text: 'Stored' },
              { value: 'off', text: 'Not stored: those that are there go at once' },
            ],
          })}
        `,
      })}
      <h2>One person's data</h2>
      <p>
        Everything about a person as one file, and their erasure with a look at what would go, are on the page
        of
        <a href="${base}/users">each user</a>.
      </p>
    `,
  })
}

async function save(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const client = resolveSql(sql, c)
  const fields = await sent(c)
  const { days, faults } = readDays(fields)
  if (Object.keys(faults).length > 0) return dataPage(c, await retentionState(client), fields, faults)
  await setRetention(client, { ...days, stores_names: fields['names'] !== 'off' }, actor(c))
  return c.redirect(`${c.var.base}/data`, 303)
}

/** `/data`: for how long what is kept. */
export const data = (sql: SqlSource) =>
  new Hono<DashboardEnv>()
    .get(
      '/data',
      adminsOnly(async (c) => dataPage(c, await retentionState(resolveSql(sql, c)))),
    )
    .post(
      '/data',
      adminsOnly((c) => save(c, sql)),
    )
