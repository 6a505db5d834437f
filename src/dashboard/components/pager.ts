import { count } from '../format.ts'
import { html, type Html } from '../html.ts'
import { withQuery } from '../navigation.ts'

/** The page and query that a pager links to. */
interface Place {
  path: string
  query: Readonly<Record<string, string>>
}

/** Which rows of a list that is there whole stand on the page that an address asks for. */
export function pageOfRows<Row>(rows: readonly Row[], asked: string | undefined, size: number) {
  const pages = Math.max(1, Math.ceil(rows.length / size))
  const number = Math.min(pages, Math.max(1, /^\d{1,6}$/.test(asked ?? '') ? Number(asked) : 1))
  return { rows: rows.slice((number - 1) * size, number * size), number, pages, from: (number - 1) * size }
}

/** Links to the pages before and after, by number. */
export function numberedPager(
  { path, query }: Place,
  { number, pages, from }: { number: number; pages: number; from: number },
  shown: number,
  total: number,
): Html | '' {
  if (pages === 1) return ''
  const link = (page: number, text: string, rel: 'prev' | 'next'): Html =>
    page < 1 || page > pages
      ? html`<span>${text}</span>`
      : html`<a rel="${rel}" href="${withQuery(path, query, { page: page === 1 ? undefined : String(page) })}"
          >${text}</a
        >`
  return html`<nav class="pager" aria-label="Pages of the table">
    ${link(number - 1, '← Previous', 'prev')}
    <span>${count(from + 1)} – ${count(from + shown)} of ${count(total)}</span>
    ${link(number + 1, 'Next →', 'next')}
  </nav>`
}

/** Links of a list that is read by a cursor: to its beginning, and on. */
export function cursorPager(
  { path, query }: Place,
  { next, shown, total }: { next: string | null; shown: number; total?: number },
): Html | '' {
  const begun = (query['cursor'] ?? '') !== ''
  if (next === null && !begun) return ''
  const of = total === undefined ? '' : ` of ${count(total)}`
  return html`<nav class="pager" aria-label="Pages of the table">
    ${begun ? html`<a href="${withQuery(path, query, { cursor: undefined })}">← To the newest</a>` : html`<span>← To the newest</span>`}
    <span>${count(shown)}${of}</span>
    ${next === null ? html`<span>Next →</span>` : html`<a rel="next" href="${withQuery(path, query, { cursor: next })}">Next →</a>`}
  </nav>`
}
