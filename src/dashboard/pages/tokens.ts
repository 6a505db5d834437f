import { type Context, Hono } from 'hono'
import { callerOf } from '../../as-caller.ts'
import {
  type AccessTokenAsker,
  type AccessTokenRefusal,
  allowedAccessToken,
  endsAccessTokensOf,
} from '../../auth/access-token-rules.ts'
import {
  createAccessToken,
  DEFAULT_LIFE_DAYS,
  MAX_LIFE_DAYS,
  MAX_LIVE_TOKENS,
  revokeAccessToken,
} from '../../auth/access-tokens.ts'
import { resolveSql, type SqlSource } from '../../db/client.ts'
import { accessTokenById, listAccessTokens, type McpAccessToken } from '../../reports/access-tokens.ts'
import { choicesFor } from '../../reports/choices.ts'
import { cursorOf, positionOf } from '../../reports/position.ts'
import { isUuid } from '../../uuid.ts'
import { actor, isAdmin } from '../admin.ts'
import { badge } from '../components/badge.ts'
import { confirmPage } from '../components/confirm.ts'
import { type Faults, form, formField, sent } from '../components/form.ts'
import { cursorPager } from '../components/pager.ts'
import { type Column, table } from '../components/table.ts'
import type { DashboardEnv } from '../env.ts'
import { ago, moment } from '../format.ts'
import { html } from '../html.ts'
import { page } from '../layout.ts'
import { chosenZone } from '../period.ts'
import { readAs } from '../read.ts'
import { namesOf } from '../who.ts'
import { notFound } from './message.ts'

const PAGE_ROWS = 50
const MAX_NAME = 100

const STATES = {
  live: badge('good', 'Live'),
  expired: badge('quiet', 'Expired'),
  revoked: badge('quiet', 'Revoked'),
}

function columns(c: Context<DashboardEnv>, names: ReadonlyMap<string, string>): Column<McpAccessToken>[] {
  const { base, now } = c.var
  const { timezone } = chosenZone(c.req.query())
  return [
    { title: 'Token', cell: (token) => token.name },
    {
      title: 'Whose',
      cell: (token) =>
        token.user_id !== undefined
          ? html`<a href="${base}/users/${token.user_id}">${names.get(token.user_id) ?? token.user_id}</a>`
          : html`${token.service ?? ''} <span class="sub">service</span>`,
    },
    { title: 'State', cell: ({ status }) => STATES[status] },
    { title: 'Scopes', cell: (token) => token.scopes.join(' ') || '–' },
    {
      title: 'Last used',
      cell: (token) => (token.last_used_at === undefined ? 'never' : ago(token.last_used_at, now)),
    },
    { title: 'Expires', cell: (token) => moment(token.expires_at, timezone) },
    {
      title: '',
      cell: (token) =>
        token.status === 'live' ? html`<a href="${base}/tokens/${token.token_id}/revoke">Revoke…</a>` : '',
    },
  ]
}

/** What was typed, and what is wrong with it. */
interface SentForm {
  fields?: Readonly<Record<string, string>>
  faults?: Faults
}

async function tokensPage(
  c: Context<DashboardEnv>,
  sql: SqlSource,
  { fields = {}, faults = {} }: SentForm = {},
): Promise<Response> {
  const query = c.req.query()
  const path = `${c.var.base}/tokens`
  const { list, choices } = await readAs(c, sql, async (db, caller) => {
    const status = query['status'] === 'all' ? 'all' : 'live'
    const request = { limit: PAGE_ROWS, after: positionOf(query['cursor'] ?? '') }
    const [list, choices] = await Promise.all([
      listAccessTokens(db, caller, { status }, request),
      choicesFor(db, caller),
    ])
    return { list, choices }
  })
  return page(c, {
    title: 'Access tokens',
    path: '/tokens',
    status: Object.keys(faults).length > 0 ? 400 : 200,
    content: html`
      <p>
        For clients that take a fixed header and no sign-in. A token does what its user may do at the moment
        of each call, and is refused from the next call on when it is revoked.
      </p>
      ${table({
        caption: 'Access tokens, newest first',
        columns: columns(c, namesOf(choices)),
        rows: list.tokens,
        empty: 'No live token.',
      })}
      ${cursorPager(
        { path, query },
        {
          next: list.next === null ? null : cursorOf(list.next),
          shown: list.tokens.length,
          total: list.total,
        },
      )}
      ${query['status'] === 'all' ? '' : html`<p class="hint below"><a href="${path}?status=all">Show those that have expired or were revoked</a></p>`}
      <h2>New token</h2>
      ${form(c, {
        action: path,
        button: 'Make token',
        faults,
        fields: html`
          ${formField({ name: 'name', label: 'What it is for', value: fields['name'], required: true, hint: 'Such as the client and the machine' }, faults)}
          ${formField({ name: 'days', label: 'Good for so many days', value: fields['days'] ?? String(DEFAULT_LIFE_DAYS), keys: 'numeric', hint: `${MAX_LIFE_DAYS} at most` }, faults)}
          ${isAdmin(c) ? formField({ name: 'service', label: 'For a service', value: fields['service'], hint: 'Its name. Empty: for yourself' }, faults) : ''}
        `,
      })}
    `,
  })
}

function askerOf(c: Context<DashboardEnv>): AccessTokenAsker {
  const context: Context = c
  const { auth, caller } = c.var
  return { ...callerOf(context), scopes: auth?.scopes ?? [], accessToken: caller.accessToken }
}

/** Beside which field each is told; beside none, above all of them. */
const REFUSALS: Record<AccessTokenRefusal, Faults> = {
  by_access_token: { '': 'An access token makes no access tokens: sign in.' },
  for_service: { service: 'Administrators make tokens for services.' },
  for_nobody: { service: 'Name the service whose token it is to be.' },
  beyond_own_scopes: { '': 'You do not have these scopes yourself.' },
}

async function make(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const fields = await sent(c)
  const { name = '', days = '', service = '' } = fields
  const lifeDays = Number(days)
  const faults: Record<string, string> = {}
  const isName = (text: string): boolean => text.length <= MAX_NAME && !text.includes('\0')
  if (name === '' || !isName(name)) faults['name'] = `Give a name of ${MAX_NAME} characters at most.`
  if (!/^\d{1,3}$/.test(days) || lifeDays < 1 || lifeDays > MAX_LIFE_DAYS)
    faults['days'] = `Give days from 1 to ${MAX_LIFE_DAYS}.`
  if (!isName(service)) faults['service'] = `Give a name of ${MAX_NAME} characters at most.`
  const allowed = allowedAccessToken(askerOf(c), service === '' ? {} : { service })
  if ('refused' in allowed) Object.assign(faults, REFUSALS[allowed.refused])
  if ('refused' in allowed || Object.keys(faults).length > 0)
    return await tokensPage(c, sql, { fields, faults })
  const made = await createAccessToken(
    resolveSql(sql, c),
    { ...allowed, name, lifeDays },
    { by: actor(c), issuedAt: c.var.caller.identity?.issuedAt ?? null },
  )
  if ('fault' in made) {
    const told =
      made.fault === 'too_many'
        ? `There are ${MAX_LIVE_TOKENS} live tokens already: revoke one first.`
        : 'You were cut off a moment ago: sign in again.'
    return await tokensPage(c, sql, { fields, faults: { '': told } })
  }
  c.header('cache-control', 'no-store')
  return page(c, {
    title: 'Your new token',
    path: '/tokens',
    back: { address: `${c.var.base}/tokens`, text: 'Access tokens' },
    content: html`<div class="message">
      <p>Copy it now: it is shown this once, and kept nowhere.</p>
      <p><code class="secret">${made.token}</code></p>
      <p>Clients send it as <code>Authorization: Bearer …</code>.</p>
    </div>`,
  })
}

async function askToRevoke(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const id = (c.req.param('id') ?? '').toLowerCase()
  const token = isUuid(id) ? await readAs(c, sql, (db, caller) => accessTokenById(db, caller, id)) : null
  if (token === null) return notFound(c, 'token')
  return confirmPage(c, {
    title: 'Revoke this token?',
    path: '/tokens',
    text: html`Whatever uses <strong>${token.name}</strong> is refused from its next call on.`,
    action: `${c.var.base}/tokens/${id}/revoke`,
    button: 'Revoke',
    back: `${c.var.base}/tokens`,
  })
}

async function revoke(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const id = (c.req.param('id') ?? '').toLowerCase()
  const whose = endsAccessTokensOf(askerOf(c))
  const revoked = isUuid(id) && (await revokeAccessToken(resolveSql(sql, c), id, whose, actor(c)))
  return revoked ? c.redirect(`${c.var.base}/tokens`, 303) : notFound(c, 'token')
}

/** `/tokens`: access tokens for clients that cannot sign in. */
export const tokens = (sql: SqlSource) =>
  new Hono<DashboardEnv>()
    .get('/tokens', (c) => tokensPage(c, sql))
    .post('/tokens', (c) => make(c, sql))
    .get('/tokens/:id/revoke', (c) => askToRevoke(c, sql))
    .post('/tokens/:id/revoke', (c) => revoke(c, sql))
