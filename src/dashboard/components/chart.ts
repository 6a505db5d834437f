import { scaleBand, scaleLinear } from 'd3-scale'
import { stack } from 'd3-shape'
import { html, type Html, type Part, trusted } from '../html.ts'

/** One of the things that a chart stacks. */
export interface Series {
  key: string
  label: string
}

/** One column of a chart, such as a day: a value for each series, in their order. */
export interface Bucket {
  /** Below the axis. */
  label: string
  /** In the table, where the axis says less. */
  title?: string
  values: readonly number[]
}

/** A chart of columns over time, and the table of the same numbers. */
export interface ChartOptions {
  /** What it shows, in a sentence. */
  title: string
  /** Above the labels of buckets in the table, such as `Day`. */
  unit: string
  series: readonly Series[]
  buckets: readonly Bucket[]
  /** How a value reads on the axis, and how in the table. */
  axis: (value: number) => string
  /** A cell of the table: `bucket` and `series` are positions; the last series is the sum. */
  cell: (bucket: number, series: number) => Part
  /** Ids of one page must differ. */
  id: string
}

/** Series beyond these have no pattern of their own: sum them up as others. */
export const MOST_SERIES = 7

const HEIGHT = 240
const TOP = 12
const BOTTOM = 24
const TICKS = 4

/** Each is told apart without its colour: the first is plain and dark, the last plain and light. */
const MARKS = [
  '',
  '<path d="M0 8L8 0M-2 2L2 -2M6 10L10 6"/>',
  '<circle cx="4" cy="4" r="1.7"/>',
  '<path d="M0 4H8"/>',
  '<path d="M0 0L8 8M-2 6L2 10M6 -2L10 2"/>',
  '<path d="M4 0V8"/>',
  '',
]

const patterns = (id: string, number: number): Html =>
  html`<defs>
    ${MARKS.slice(0, number).map(
      (mark, i) =>
        html`<pattern id="${id}-${i}" width="8" height="8" patternUnits="userSpaceOnUse"
          ><rect width="8" height="8" class="s${i}"></rect><g class="mark">${trusted(mark)}</g></pattern
        >`,
    )}
  </defs>`

const legend = (id: string, series: readonly Series[]): Html =>
  html`<ul class="legend">
    ${series.map(
      ({ label }, i) =>
        html`<li>
          <svg width="14" height="14" aria-hidden="true">
            <rect width="14" height="14" rx="2" fill="url(#${id}-${i})"></rect></svg
          >${label}
        </li>`,
    )}
  </ul>`

/** Half as many labels on a phone, and never more than people read. */
const everyNth = (buckets: number): number => Math.max(1, Math.ceil(buckets / 8))

const round = (value: number): string => String(Math.round(value * 100) / 100)

function plot({ id, series, buckets, axis, title }: ChartOptions): Html {
  const sums = buckets.map(({ values }) => values.reduce((sum, value) => sum + value, 0))
  const y = scaleLinear([0, Math.max(...sums) || 1], [HEIGHT - BOTTOM, TOP]).nice(TICKS)
  const x = scaleBand<number>(
    buckets.map((_, i) => i),
    [0, 100],
  )
    .paddingInner(buckets.length > 1 ? 0.25 : 0)
    .paddingOuter(0.1)
  const width = round(x.bandwidth())
  const layers = stack<unknown, Bucket, number>()
    .keys(series.map((_, i) => i))
    .value(({ values }, key) => values[key] ?? 0)(buckets)
  const nth = everyNth(buckets.length)
  const ticks = y.ticks(TICKS)
  return html`<div class="plot">
    <svg class="axis" width="56" height="${HEIGHT}" aria-hidden="true">
      ${ticks.map((tick) => html`<text x="50" y="${round(y(tick) + 4)}">${axis(tick)}</text>`)}
    </svg>
    <svg class="bars" width="100%" height="${HEIGHT}" role="img" aria-label="${title}">
      ${patterns(id, series.length)}
      ${ticks.map((tick) => html`<line x1="0" x2="100%" y1="${round(y(tick))}" y2="${round(y(tick))}" ${tick === 0 ? html` class="base"` : ''}></line>`)}
      ${layers.map(
        (layer, i) =>
          html`<g fill="url(#${id}-${i})"
            >${layer.map(([from, to], bucket) =>
              to - from > 0
                ? html`<rect
                    x="${round(x(bucket) ?? 0)}%"
                    width="${width}%"
                    y="${round(y(to))}"
                    height="${round(Math.max(y(from) - y(to), 0.5))}"
                  ></rect>`
                : '',
            )}</g
          >`,
      )}
      ${buckets.map(({ label, title: full = label }, bucket) => {
        const middle = round((x(bucket) ?? 0) + x.bandwidth() / 2)
        const text =
          bucket % nth === 0
            ? html`<text
                x="${middle}%"
                y="${HEIGHT - 6}"
                ${(bucket / nth) % 2 === 1 ? html` class="minor"` : ''}
                >${label}</text
              >`
            : ''
        return html`${text}<rect
            class="hit"
            x="${round(x(bucket) ?? 0)}%"
            width="${width}%"
            y="0"
            height="${HEIGHT - BOTTOM}"
            ><title>${full}: ${axis(sums[bucket] ?? 0)}</title></rect
          >`
      })}
    </svg>
  </div>`
}

const numbers = ({ title, unit, series, buckets, cell }: ChartOptions): Html => {
  const summed = series.length > 1 ? [...series, { key: 'sum', label: 'Total' }] : series
  return html`<details class="numbers">
    <summary>The same as a table</summary>
    <div class="scroll" role="region" aria-label="${title}, as a table" tabindex="0">
      <table>
        <caption class="unseen">
          ${title}
        </caption>
        <thead>
          <tr>
            <th scope="col">${unit}</th>
            ${summed.map(({ label }) => html`<th scope="col" class="number">${label}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${buckets.map(
            ({ label, title: full = label }, bucket) =>
              html`<tr>
                <th scope="row">${full}</th>
                ${summed.map((_, i) => html`<td class="number">${cell(bucket, i)}</td>`)}
              </tr> `,
          )}
        </tbody>
      </table>
    </div>
  </details>`
}

/** Columns over time, stacked where there are several series, drawn on the server: patterns beside colours. */
export const chart = (options: ChartOptions): Html =>
  html`<figure class="chart">
    <figcaption>${options.title}</figcaption>
    ${options.series.length > 1 ? legend(options.id, options.series) : ''} ${plot(options)}
    ${numbers(options)}
  </figure>`
