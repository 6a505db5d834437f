import type { Context } from 'hono'
import type { UserReport } from '../../reports/users.ts'
import { type Faults, form, formField } from '../components/form.ts'
import type { DashboardEnv } from '../env.ts'
import { html, type Html } from '../html.ts'

const ROLES = [
  { value: '', text: 'As the token says' },
  { value: 'member', text: 'Member: own data' },
  { value: 'manager', text: 'Manager: own department' },
  { value: 'finance', text: "Finance: everyone's costs" },
  { value: 'admin', text: 'Administrator' },
]

/** What an administrator may change of a user: department and role at once, the rest after one more question. */
export function userForms(c: Context<DashboardEnv>, user: UserReport, faults: Faults = {}): Html {
  const path = `${c.var.base}/users/${user.user_id}`
  return html`<h2>Administration</h2>
    ${form(c, {
      action: path,
      button: 'Save department and role',
      faults,
      fields: html`
        ${formField(
          {
            name: 'department',
            label: 'Department, from now on',
            value: user.assigned_department,
            hint: 'Empty: as the token says. Calls on record stay with the department of their time.',
          },
          faults,
        )}
        ${formField({ name: 'role', label: 'Role', value: user.assigned_role, choices: ROLES }, faults)}
      `,
    })}
    <p class="decide">
      <a class="button quiet" href="${path}/revoke">Sign out everywhere…</a>
      <a class="button quiet" href="${path}/block">${user.blocked ? 'Unblock…' : 'Block…'}</a>
      <a class="button quiet" href="${path}/erase">Erase…</a>
    </p>`
}
