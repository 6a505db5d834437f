import type { Context } from 'hono'
import type { DashboardEnv } from '../env.ts'
import { html, type Part } from '../html.ts'
import { page, plainPage } from '../layout.ts'
import { homeOf } from '../navigation.ts'

/** A page that only says something: not found, not allowed, out of order. */
export interface Message {
  status: 400 | 403 | 404 | 409 | 413 | 500 | 503
  title: string
  text: Part
}

/** Answers with a message, in the frame where somebody is signed in. */
export function messagePage(c: Context, { status, title, text }: Message): Response {
  const context: Context<DashboardEnv> = c
  const { base, user, caller } = context.var
  const known = caller?.kind === 'service' || (user ?? null) !== null
  const content = html`<div class="message" role="${status >= 500 ? 'alert' : 'status'}">
    <p>${text}</p>
    <p><a href="${homeOf(base)}">${known ? 'To the overview' : 'To the sign-in'}</a></p>
  </div>`
  return known ? page(context, { title, content, status }) : plainPage(context, { title, content, status })
}

/** What is not there, or not for this person: the two look alike. */
export const notFound = (c: Context, what = 'page'): Response =>
  messagePage(c, {
    status: 404,
    title: 'Not found',
    text: `There is no such ${what}, or it is not yours to see.`,
  })

/** What this person may not do. */
export const notAllowed = (c: Context, text: string): Response =>
  messagePage(c, { status: 403, title: 'Not allowed', text })
