import { html, type Html, type Part } from '../html.ts'
import { withQuery } from '../navigation.ts'

/** A column of a table. */
export interface Column<Row> {
  title: string
  cell: (row: Row, index: number) => Part
  /** Numbers stand at the end, under one another. */
  number?: boolean
  /** What is read as one, such as a time, is not broken. */
  whole?: boolean
  /** What the address calls the order by this column; left out where there is none. */
  sort?: string
  /** Beside the title, for those who do not see it. */
  hint?: string
}

/** A table, and what surrounds it. */
export interface TableOptions<Row> {
  /** What the table holds, for those who do not see the page. */
  caption: string
  columns: readonly Column<Row>[]
  rows: readonly Row[]
  /** A cell of each column, under a rule. */
  total?: readonly Part[]
  /** What to say where there is no row. */
  empty: Part
  /** Links in the heads order the rows: the path and query of the page, and the order that holds. */
  sorting?: { path: string; query: Readonly<Record<string, string>>; by: string }
  /** Makes each row one that is marked, such as the one that needs attention. */
  mark?: (row: Row) => boolean
}

function head<Row>(column: Column<Row>, sorting: TableOptions<Row>['sorting']): Html {
  const { title, number, sort, hint } = column
  const align = number === true ? html` class="number"` : ''
  if (sorting === undefined || sort === undefined) {
    return html`<th scope="col" ${align}${hint === undefined ? '' : html` title="${hint}"`}>${title}</th>`
  }
  const sorted = sorting.by === sort
  const address = withQuery(sorting.path, sorting.query, { sort, page: undefined, cursor: undefined })
  const order = sort === 'name' ? 'ascending' : 'descending'
  return html`<th scope="col" ${align}${sorted ? html` aria-sort="${order}"` : ''}>
    <a href="${address}">${title}</a>
  </th>`
}

/** What to say in place of a table, a chart or a list that has nothing in it. */
export const emptyState = (text: Part): Html => html`<div class="empty"><p>${text}</p></div>`

/**
 * A table that scrolls by itself where the screen is narrow, its first column staying in sight.
 * @example table({ caption: 'Costs by tool', columns: [{ title: 'Tool', cell: (row) => row.key }], rows, empty: 'No call yet.' })
 */
export function table<Row>({ caption, columns, rows, total, empty, sorting, mark }: TableOptions<Row>): Html {
  if (rows.length === 0) return emptyState(empty)
  const cellOf = (column: Column<Row>, value: Part, i: number): Html => {
    if (i === 0) return html`<th scope="row">${value}</th>`
    const kind = column.number === true ? 'number' : column.whole === true ? 'whole' : null
    return html`<td${kind === null ? '' : html` class="${kind}"`}>${value}</td>`
  }
  return html`<div class="scroll" role="region" aria-label="${caption}" tabindex="0">
    <table>
      <caption class="unseen">
        ${caption}
      </caption>
      <thead>
        <tr>
          ${columns.map((column) => head(column, sorting))}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row, index) =>
            html`<tr${mark?.(row) === true ? html` class="marked"` : ''}>${columns.map((column, i) => cellOf(column, column.cell(row, index), i))}</tr>
`,
        )}
      </tbody>
      ${
        total === undefined
          ? ''
          : html`<tfoot>
              <tr>
                ${columns.map((column, i) => cellOf(column, total[i], i))}
              </tr>
            </tfoot>`
      }
    </table>
  </div>`
}
