import { html, type Html, type Part } from '../html.ts'

/** One number or word that a page begins with. */
export interface Fact {
  title: string
  value: Part
  /** Below it, such as the change against the period before. */
  note?: Part
}

/** The few things to know first. */
export const facts = (all: readonly Fact[]): Html =>
  html`<dl class="facts">
    ${all.map(
      ({ title, value, note }) =>
        html`<div>
          <dt>${title}</dt>
          <dd>${value}</dd>
          ${note === undefined ? '' : html`<dd class="note">${note}</dd>`}
        </div>`,
    )}
  </dl>`

/** Names and values, one below the other. */
export const details = (all: readonly (readonly [title: string, value: Part])[]): Html =>
  html`<dl class="details">
    ${all.map(
      ([title, value]) =>
        html`<div>
          <dt>${title}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`
