import { html, type Html } from '../html.ts'

/** What a state means, by a shape and a word beside its colour. */
const SHAPES = {
  good: '●',
  quiet: '○',
  waiting: '◐',
  warning: '▲',
  bad: '■',
} as const
export type BadgeTone = keyof typeof SHAPES

/** A state in a word. */
export const badge = (tone: BadgeTone, text: string): Html =>
  html`<span class="badge ${tone}"><span aria-hidden="true">${SHAPES[tone]}</span> ${text}</span>`

const SESSION = {
  active: badge('good', 'Active'),
  idle: badge('waiting', 'Idle'),
  disconnected: badge('quiet', 'Gone'),
}
/** What a session is at this moment. */
export const sessionBadge = (status: keyof typeof SESSION): Html => SESSION[status]

const CALL = {
  open: badge('waiting', 'Open'),
  success: badge('good', 'Success'),
  error: badge('bad', 'Error'),
  timeout: badge('warning', 'Timeout'),
}
/** How a call ended. */
export const callBadge = (status: keyof typeof CALL): Html => CALL[status]
