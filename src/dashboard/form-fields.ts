import type { Context } from 'hono'
import type { DashboardEnv } from './env.ts'
import { html, type Html } from './html.ts'

/** The name of the field that every form carries which changes something. */
export const FORM_KEY = 'form_key'

/** That field, with what only a page of this visit knows. */
export const formKeyField = (c: Context<DashboardEnv>): Html =>
  html`<input type="hidden" name="${FORM_KEY}" value="${c.var.formKey}" />`

/** The text of a field; empty where it is missing, or a file. */
export async function field(c: Context, name: string): Promise<string> {
  const value = (await c.req.parseBody())[name]
  return typeof value === 'string' ? value.trim() : ''
}
