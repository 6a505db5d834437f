import { html, type Html } from '../html.ts'
import { withQuery } from '../navigation.ts'
import type { Choice } from './filters.ts'

/** Links between views of one page, such as what it groups by. */
export const tabs = (
  label: string,
  name: string,
  {
    path,
    query,
    choices,
    chosen,
  }: { path: string; query: Readonly<Record<string, string>>; choices: readonly Choice[]; chosen: string },
): Html =>
  html`<nav class="tabs" aria-label="${label}">
    <ul>
      ${choices.map(
        ({ value, text }) =>
          html`<li>
            <a
              href="${withQuery(path, query, { [name]: value, page: undefined, cursor: undefined, sort: undefined })}"
              ${value === chosen ? html` aria-current="true"` : ''}
              >${text}</a
            >
          </li>`,
      )}
    </ul>
  </nav>`
