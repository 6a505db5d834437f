import { type Context, Hono } from 'hono'
import { recordAudit } from '../../audit.ts'
import { changeUser, revokeUser, type UserChange } from '../../auth/users.ts'
import { resolveSql, type SqlSource } from '../../db/client.ts'
import { fileResponse } from '../../file-response.ts'
import { eraseUser } from '../../personal-data/erase.ts'
import { exportOfUser } from '../../reports/export.ts'
import { periodOf } from '../../reports/period.ts'
import { type UserReport, userById } from '../../reports/users.ts'
import { isUuid } from '../../uuid.ts'
import { actor, adminsOnly, isAdmin } from '../admin.ts'
import { confirmPage } from '../components/confirm.ts'
import { sent } from '../components/form.ts'
import { table } from '../components/table.ts'
import type { DashboardEnv } from '../env.ts'
import { count } from '../format.ts'
import { html, type Part } from '../html.ts'
import { page } from '../layout.ts'
import { readAs } from '../read.ts'
import { messagePage, notFound } from './message.ts'

const ROLES = ['member', 'manager', 'finance', 'admin'] as const
const MAX_DEPARTMENT = 255

const idOf = (c: Context): string => (c.req.param('id') ?? '').toLowerCase()

/** The user of the address, or null. */
async function userOf(c: Context<DashboardEnv>, sql: SqlSource): Promise<UserReport | null> {
  const id = idOf(c)
  if (!isUuid(id)) return null
  return await readAs(c, sql, async (db, caller) => {
    const period = await periodOf(db, { from: c.var.now, to: null, timezone: 'UTC' })
    return await userById(db, caller, id, period)
  })
}

const called = ({ name, email, user_id }: UserReport): string => name ?? email ?? user_id

/** Changes a user and goes back to their page; 404 for one who has never signed in here. */
async function change(c: Context<DashboardEnv>, sql: SqlSource, to: UserChange): Promise<Response> {
  const id = idOf(c)
  if (!isUuid(id) || !(await changeUser(resolveSql(sql, c), id, to, actor(c)))) return notFound(c, 'user')
  return c.redirect(`${c.var.base}/users/${id}`, 303)
}

async function save(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const { department = '', role = '' } = await sent(c)
  if (department.length > MAX_DEPARTMENT || department.includes('\0')) {
    const text = `A department has ${MAX_DEPARTMENT} characters at most. Nothing was changed.`
    return messagePage(c, { status: 400, title: 'This cannot be a department', text })
  }
  return await change(c, sql, {
    department: department === '' ? null : department,
    role: ROLES.find((known) => known === role) ?? null,
  })
}

/** A page that asks once more before something happens to a user. */
async function question(
  c: Context<DashboardEnv>,
  sql: SqlSource,
  ask: (user: UserReport) => { title: string; text: Part; action: string; button: string },
): Promise<Response> {
  const user = await userOf(c, sql)
  if (user === null) return notFound(c, 'user')
  const path = `${c.var.base}/users/${user.user_id}`
  const { action, ...asked } = ask(user)
  return confirmPage(c, { ...asked, path: '/users', action: path + action, back: path })
}

const askToBlock = (c: Context<DashboardEnv>, sql: SqlSource) =>
  question(c, sql, (user) =>
    user.blocked
      ? {
          title: 'Let this user in again?',
          text: html`<strong>${called(user)}</strong> may use their tokens again, at once and everywhere.`,
          action: '/unblock',
          button: 'Unblock',
        }
      : {
          title: 'Block this user?',
          text: html`Every token of <strong>${called(user)}</strong> is refused from the next call on, on
            every instance, until you unblock them. Their sessions end.`,
          action: '/block',
          button: 'Block',
        },
  )

const askToRevoke = (c: Context<DashboardEnv>, sql: SqlSource) =>
  question(c, sql, (user) => ({
    title: 'Sign this user out everywhere?',
    text: html`Every token of <strong>${called(user)}</strong> that was issued until now is refused from the
      next call on, and their sessions end. A new sign-in lets them in again: to keep them out, block them.`,
    action: '/revoke',
    button: 'Sign out everywhere',
  }))

async function revoke(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const id = idOf(c)
  if (!isUuid(id) || (await revokeUser(resolveSql(sql, c), id, actor(c))) === null) return notFound(c, 'user')
  return c.redirect(`${c.var.base}/users/${id}`, 303)
}

const rowsOf = (tables: Record<string, number>): Part =>
  table({
    caption: 'Rows of this person, by table',
    columns: [
      { title: 'Table', cell: ([name]) => html`<code>${name}</code>` },
      { title: 'Rows', number: true, cell: ([, rows]) => count(rows) },
    ],
    rows: Object.entries(tables),
    empty: 'Nothing.',
  })

async function askToErase(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const user = await userOf(c, sql)
  if (user === null) return notFound(c, 'user')
  const path = `${c.var.base}/users/${user.user_id}`
  const trial = await eraseUser(resolveSql(sql, c), user.user_id, true, actor(c))
  return confirmPage(c, {
    title: 'Erase this person?',
    path: '/users',
    text: html`A random id takes the place of <strong>${called(user)}</strong> everywhere; names, e-mails,
      texts of errors and access tokens go. Sums stay as they are. This cannot be undone, and calls of
      everybody wait while it happens.`,
    fields: rowsOf(trial?.tables ?? {}),
    action: `${path}/erase`,
    button: 'Erase for ever',
    back: path,
  })
}

async function erase(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const id = idOf(c)
  const receipt = isUuid(id) ? await eraseUser(resolveSql(sql, c), id, false, actor(c)) : null
  if (receipt === null) return notFound(c, 'user')
  return page(c, {
    title: 'Erased',
    path: '/users',
    content: html`<div class="message">
        <p>Nothing here leads to this person any more. Done at ${receipt.erased_at ?? ''}.</p>
        <p><a href="${c.var.base}/users">To the users</a></p>
      </div>
      <h2>What it reached</h2>
      ${rowsOf(receipt.tables)}`,
  })
}

async function exported(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const id = idOf(c)
  if (!isAdmin(c) && c.var.user?.id !== id) return notFound(c, 'user')
  const user = await userOf(c, sql)
  if (user === null) return notFound(c, 'user')
  const client = resolveSql(sql, c)
  await recordAudit(client, actor(c), { action: 'user.exported', target: { kind: 'user', id } })
  return fileResponse({ fileName: `user-${id}.json`, type: 'application/json' }, exportOfUser(client, id))
}

/** What is done to a user from their page: each asks once more where it cannot be undone. */
export const userActions = (sql: SqlSource) =>
  new Hono<DashboardEnv>()
    .get('/users/:id/export', (c) => exported(c, sql))
    .post(
      '/users/:id',
      adminsOnly((c) => save(c, sql)),
    )
    .get(
      '/users/:id/block',
      adminsOnly((c) => askToBlock(c, sql)),
    )
    .post(
      '/users/:id/block',
      adminsOnly((c) => change(c, sql, { blocked: true })),
    )
    .post(
      '/users/:id/unblock',
      adminsOnly((c) => change(c, sql, { blocked: false })),
    )
    .get(
      '/users/:id/revoke',
      adminsOnly((c) => askToRevoke(c, sql)),
    )
    .post(
      '/users/:id/revoke',
      adminsOnly((c) => revoke(c, sql)),
    )
    .get(
      '/users/:id/erase',
      adminsOnly((c) => askToErase(c, sql)),
    )
    .post(
      '/users/:id/erase',
      adminsOnly((c) => erase(c, sql)),
    )
