import type { McpCall } from '../../reports/calls.ts'
import { count, milliseconds, money } from '../format.ts'
import { html } from '../html.ts'
import { callBadge } from './badge.ts'
import type { Column } from './table.ts'

/** How a call ended and what it took and used: the last columns wherever calls are listed. */
export const OUTCOME_COLUMNS: readonly Column<McpCall>[] = [
  {
    title: 'Outcome',
    cell: (call) =>
      html`${callBadge(call.status)}${call.error_message === undefined ? '' : html`<span class="sub block">${call.error_message}</span>`}`,
  },
  {
    title: 'Took',
    number: true,
    cell: (call) => (call.duration_ms === undefined ? '–' : milliseconds(call.duration_ms)),
  },
  { title: 'Tokens', number: true, cell: (call) => count(call.total_tokens) },
  { title: 'Cost', number: true, cell: (call) => money(call.cost) },
]
