import type { Context } from 'hono'
import type { DashboardEnv } from '../env.ts'
import { formKeyField } from '../form-fields.ts'
import { html, type Part } from '../html.ts'
import { page } from '../layout.ts'

/** What is asked before something happens that cannot be undone. */
export interface Confirmation {
  title: string
  /** The item of the navigation that is open. */
  path?: string
  /** What will happen, and to whom. */
  text: Part
  /** Where the form goes, and what its button says. */
  action: string
  button: string
  /** Further fields, such as what was entered before. */
  fields?: Part
  /** Where to go back to. */
  back: string
}

/** A page that asks once more, and does nothing by itself. */
export const confirmPage = (
  c: Context<DashboardEnv>,
  { title, path, text, action, button, fields, back }: Confirmation,
): Response =>
  page(c, {
    title,
    ...(path === undefined ? {} : { path }),
    content: html`<div class="message">
      <p>${text}</p>
      <form method="post" action="${action}" class="decide">
        ${formKeyField(c)} ${fields}
        <button type="submit" class="danger">${button}</button>
        <a href="${back}">Cancel</a>
      </form>
    </div>`,
  })
