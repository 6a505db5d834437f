import type { Context } from 'hono'
import type { DashboardEnv } from '../env.ts'
import { formKeyField } from '../form-fields.ts'
import { flag, html, type Html, type Part } from '../html.ts'
import type { Choice } from './filters.ts'

/** What is wrong with the field of a form. */
export type Faults = Readonly<Record<string, string>>

/** How a field of a form is asked for. */
export interface Field {
  name: string
  label: string
  value?: string | undefined
  /** Below the field. */
  hint?: string
  required?: boolean
  /** @default 'text' */
  type?: 'text' | 'date' | 'datetime-local' | 'email'
  /** For phones: which keys to offer. */
  keys?: 'decimal' | 'numeric'
  /** Values to choose from, in place of text. */
  choices?: readonly Choice[]
}

/** A field with its label, its hint and its fault, tied together for those who do not see them. */
export function formField(
  { name, label, value = '', hint, required = false, type = 'text', keys, choices }: Field,
  faults: Faults = {},
): Html {
  const fault = faults[name]
  const [hintId, faultId] = [`${name}-hint`, `${name}-fault`]
  const told = [hint === undefined ? '' : hintId, fault === undefined ? '' : faultId].filter(Boolean)
  const state = html`${told.length === 0 ? '' : html` aria-describedby="${told.join(' ')}"`}${
    fault === undefined ? '' : html` aria-invalid="true"`
  }${flag('required', required)}`
  const input =
    choices === undefined
      ? html`<input
          id="f-${name}"
          name="${name}"
          type="${type}"
          value="${value}"
          maxlength="1000"
          autocomplete="off"
          ${keys === undefined ? '' : html` inputmode="${keys}"`}${state}
        />`
      : html`<select id="f-${name}" name="${name}" ${state}>
          ${choices.map(
            (choice) =>
              html`<option value="${choice.value}" ${flag('selected', choice.value === value)}>
                ${choice.text}
              </option>`,
          )}
        </select>`
  return html`<div class="entry">
    <label for="f-${name}">${label}</label>
    ${input}${hint === undefined ? '' : html`<span class="hint" id="${hintId}">${hint}</span>`}${
      fault === undefined ? '' : html`<span class="fault" id="${faultId}">${fault}</span>`
    }
  </div>`
}

/** A form that changes something. */
export const form = (
  c: Context<DashboardEnv>,
  { action, fields, button, faults = {} }: { action: string; fields: Part; button: string; faults?: Faults },
): Html => {
  const general = faults['']
  return html`<form method="post" action="${action}" class="entries">
    ${formKeyField(c)}${general === undefined ? '' : html`<p class="notice" role="alert">${general}</p>`}${fields}
    <div class="decide"><button type="submit">${button}</button></div>
  </form>`
}

/** The texts of a form that was sent; files are left out. */
export async function sent(c: Context): Promise<Record<string, string>> {
  const entries = Object.entries(await c.req.parseBody())
  return Object.fromEntries(
    entries.flatMap(([name, value]) => (typeof value === 'string' ? [[name, value.trim()]] : [])),
  )
}

/** Names in a field, one between each comma; undefined for none. */
export const namesIn = (text: string | undefined): string[] | undefined => {
  const names = (text ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  return names.length === 0 ? undefined : names
}

/** Faults of a schema by the field that each is told at; what belongs to none stands above the form. */
export function faultsOf(
  issues: readonly { path: PropertyKey[]; message: string }[],
  fields: Readonly<Record<string, string>> = {},
): Faults {
  const faults: Record<string, string> = {}
  for (const { path, message } of issues) {
    const name = path.map(String).join('.')
    const field = fields[name] ?? fields[String(path[0] ?? '')] ?? name
    faults[field] ??= message.charAt(0).toUpperCase() + message.slice(1)
  }
  return faults
}
