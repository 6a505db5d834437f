import { type Context, Hono } from 'hono'
import type { SqlSource } from '../../db/client.ts'
import { choicesFor } from '../../reports/choices.ts'
import { cursorOf, positionOf } from '../../reports/position.ts'
import { listQuotas } from '../../reports/quotas.ts'
import { isAdmin } from '../admin.ts'
import { cursorPager } from '../components/pager.ts'
import { tabs } from '../components/tabs.ts'
import type { DashboardEnv } from '../env.ts'
import { html } from '../html.ts'
import { page } from '../layout.ts'
import { readAs } from '../read.ts'
import { namesOf } from '../who.ts'
import { limitTable } from './limit-table.ts'

const PAGE_ROWS = 50

const KINDS = [
  { value: 'all', text: 'All' },
  { value: 'budget', text: 'Budgets' },
  { value: 'rate', text: 'Rates' },
] as const

async function limitsPage(c: Context<DashboardEnv>, sql: SqlSource): Promise<Response> {
  const query = c.req.query()
  const path = `${c.var.base}/limits`
  const chosen = KINDS.find(({ value }) => value === query['kind'])?.value ?? 'all'
  const filter = chosen === 'all' ? {} : { kind: chosen }
  const { list, choices } = await readAs(c, sql, async (db, caller) => {
    const request = { limit: PAGE_ROWS, after: positionOf(query['cursor'] ?? '') }
    const [list, choices] = await Promise.all([
      listQuotas(db, caller, filter, request),
      choicesFor(db, caller),
    ])
    return { list, choices }
  })
  return page(c, {
    title: 'Limits',
    path: '/limits',
    actions: isAdmin(c)
      ? html`<a class="button quiet" href="${path}/new?kind=rate">New rate</a>
          <a class="button" href="${path}/new">New budget</a>`
      : undefined,
    content: html`
      ${tabs('Kind of limit', 'kind', { path, query, choices: KINDS, chosen })}
      <div id="limits" data-live>
        ${limitTable(c, list.quotas, namesOf(choices))}
        ${cursorPager(
          { path, query },
          {
            next: list.next === null ? null : cursorOf(list.next),
            shown: list.quotas.length,
            total: list.total,
          },
        )}
      </div>
      <p class="hint below">
        A budget is an amount in a window of the calendar, a rate a number of calls in a time. What a limit of
        each user or department holds back is told on its own page.
      </p>
    `,
  })
}

/** `/limits`: what is allowed, and what is left of it. */
export const limits = (sql: SqlSource) => new Hono<DashboardEnv>().get('/limits', (c) => limitsPage(c, sql))
