import { html as tag, raw } from 'hono/html'
import type { HtmlEscapedString } from 'hono/utils/html'

/** Markup that is safe to send. */
export type Html = HtmlEscapedString

/** What may stand in markup: text is escaped, markup is not, and what is nothing leaves no trace. */
export type Part = string | number | Html | false | null | undefined | readonly Part[]

/**
 * Markup with every value escaped, in text and in double-quoted attributes alike.
 * @example html`<a href="${address}">${name}</a>`
 */
export const html = (strings: TemplateStringsArray, ...values: Part[]): Html =>
  // A promise only where one is put in, which `Part` does not let happen.
  tag(strings, ...values) as Html

/** Markup of our own, from a constant. */
export const trusted = (markup: string): Html => raw(markup)

/** An attribute that is there or not. */
export const flag = (
  name: 'selected' | 'checked' | 'open' | 'required' | 'hidden' | 'data-live',
  on: boolean,
): Html => trusted(on ? ` ${name}` : '')
