import { type Context, Hono } from 'hono'
import { AUDIT_ACTIONS } from '../../audit.ts'
import type { SqlSource } from '../../db/client.ts'
import { type AuditFilter, type AuditLine, listAudit } from '../../reports/audit.ts'
import { choicesFor } from '../../reports/choices.ts'
import { cursorOf, positionOf } from '../../reports/position.ts'
import { adminsOnly } from '../admin.ts'
import { choiceField, filters, textField } from '../components/filters.ts'
import { cursorPager } from '../components/pager.ts'
import { type Column, table } from '../components/table.ts'
import type { DashboardEnv } from '../env.ts'
import { moment } from '../format.ts'
import { html, type Part } from '../html.ts'
import { page } from '../layout.ts'
import { shownPeriod } from '../period.ts'
import { readAs } from '../read.ts'
import { namesOf } from '../who.ts'

const PAGE_ROWS = 50

const ACTORS = { user: 'A user', service: 'A program', cli: 'The command line' }

const asText = (value: unknown): string => (Array.isArray(value) ? value.join(', ') : String(value))

const detailsOf = ({ details }: AuditLine): Part =>
  Object.entries(details)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => html`<span class="block">${name.replaceAll('_', ' ')}: ${asText(value)}</span>`)

const columns = (
  { base }: Context<DashboardEnv>['var'],
  names: ReadonlyMap<string, string>,
  timezone: string,
): Column<AuditLine>[] => {
  const user = (id: string): Part => html`<a href="${base}/users/${id}">${names.get(id) ?? id}</a>`
  return [
    { title: 'When', cell: ({ at }) => moment(at, timezone, 'medium') },
    {
      title: 'Who',
      cell: ({ actor, actor_id: id }) => (actor === 'user' && id !== undefined ? user(id) : ACTORS[actor]),
    },
    { title: 'Did', cell: ({ action }) => action.replace('.', ' ').replaceAll('_', ' ') },
    {
      title: 'To',
      cell: ({ target_kind: kind, target_id: id }) =>
        id === undefined ? '–' : kind === 'user' ? user(id) : html`${kind ?? ''} <code>${id}</code>`,
    },
    { title: 'In detail', cell: detailsOf },
  ]
}

async function auditPage(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const query = c.req.query()
  const path = `${c.var.base}/audit`
  const target = (query['target'] ?? '').replaceAll('\0', '').trim().slice(0, 255)
  const filter: AuditFilter = {
    action: AUDIT_ACTIONS.find((action) => action === query['action']),
    target: target === '' ? undefined : target,
  }
  const { period, list, choices } = await readAs(c, sql, async (db, caller) => {
    const period = await shownPeriod(db, query, c.var.now, '30d')
    const request = { limit: PAGE_ROWS, after: positionOf(query['cursor'] ?? '') }
    const [list, choices] = await Promise.all([
      listAudit(db, { ...filter, period }, request),
      choicesFor(db, caller),
    ])
    return { period, list, choices }
  })
  const actions = AUDIT_ACTIONS.map((value) => ({
    value,
    text: value.replace('.', ' ').replaceAll('_', ' '),
  }))
  return page(c, {
    title: 'Audit',
    path: '/audit',
    content: html`
      ${filters({
        path,
        query,
        period,
        fields: html`
          ${choiceField('action', 'Action', { any: 'All actions', choices: actions, chosen: filter.action })}
          ${textField('target', 'Done to', filter.target, 'an id or a name')}
        `,
      })}
      ${table({
        caption: `Who changed what, newest first, ${period.label}`,
        columns: columns(c.var, namesOf(choices), period.timezone),
        rows: list.audit,
        empty: 'Nobody changed anything in this period.',
      })}
      ${cursorPager(
        { path, query },
        {
          next: list.next === null ? null : cursorOf(list.next),
          shown: list.audit.length,
          total: list.total,
        },
      )}
    `,
  })
}

/** `/audit`: who changed what. */
export const audit = (sql: SqlSource) =>
  new Hono<DashboardEnv>().get(
    '/audit',
    adminsOnly((c) => auditPage(c, sql)),
  )
