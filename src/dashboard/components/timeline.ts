import { scaleTime } from 'd3-scale'
import { html, type Html, trusted } from '../html.ts'

/** Something that happened at a moment, in the lane of what it was. */
export interface Mark {
  at: Date
  lane: string
  tone: 'good' | 'waiting' | 'warning' | 'bad'
  /** For whoever points at it. */
  title: string
}

const LANE = 24
const AXIS = 22
const MOST_LANES = 8
const TICKS = 4

/** Each outcome has a shape of its own. */
const SHAPES = {
  good: '<circle r="4.5"/>',
  waiting: '<circle r="4" class="hollow"/>',
  warning: '<path d="M0 -6L6 5H-6Z"/>',
  bad: '<rect x="-5" y="-5" width="10" height="10"/>',
}

const percentOf = (value: number): string => `${Math.round(value * 100) / 100}%`

/** Lanes by what there is most of; what is beyond the last shares it. */
function lanesOf(marks: readonly Mark[]): { names: string[]; laneOf: (name: string) => number } {
  const counts = new Map<string, number>()
  for (const { lane } of marks) counts.set(lane, (counts.get(lane) ?? 0) + 1)
  const names = [...counts].toSorted(([, one], [, other]) => other - one).map(([name]) => name)
  const shown = names.length > MOST_LANES ? [...names.slice(0, MOST_LANES - 1), 'others'] : names
  const last = shown.length - 1
  return { names: shown, laneOf: (name) => (shown.includes(name) ? shown.indexOf(name) : last) }
}

/** As much of a moment as tells four apart that lie so many milliseconds apart in all. */
function clockFor(span: number): Intl.DateTimeFormatOptions {
  if (span > 36 * 3_600_000) return { dateStyle: 'short' }
  if (span > 600_000) return { timeStyle: 'short' }
  if (span > 8000) return { timeStyle: 'medium' }
  return { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: span > 80 ? 2 : 3 }
}

/** What happened when, a mark each, in lanes; the table beside it holds the same. Nothing where there is too little. */
export function timeline(title: string, marks: readonly Mark[], timezone: string): Html | '' {
  const times = marks.map(({ at }) => at.getTime())
  const [first, last] = [Math.min(...times), Math.max(...times)]
  if (marks.length < 3 || first === last) return ''
  const x = scaleTime([new Date(first), new Date(last)], [1, 99])
  const { names, laneOf } = lanesOf(marks)
  const height = names.length * LANE
  const clock = new Intl.DateTimeFormat('en-GB', { timeZone: timezone, ...clockFor(last - first) })
  const ticks = Array.from(
    { length: TICKS },
    (_, i) => new Date(first + ((last - first) * (i + 0.5)) / TICKS),
  )
  return html`<figure class="chart timeline">
    <figcaption>${title}</figcaption>
    <div class="plot">
      <ul class="lanes" aria-hidden="true">
        ${names.map((name) => html`<li>${name}</li>`)}
      </ul>
      <svg class="bars" width="100%" height="${height + AXIS}" role="img" aria-label="${title}">
        ${names.map((_, i) => html`<line x1="0" x2="100%" y1="${(i + 1) * LANE}" y2="${(i + 1) * LANE}"></line>`)}
        ${marks.map(
          ({ at, lane, tone, title: told }) =>
            html`<svg
              x="${percentOf(x(at))}"
              y="${laneOf(lane) * LANE + LANE / 2}"
              overflow="visible"
              class="${tone}"
            >
              ${trusted(SHAPES[tone])}
              <title>${told}</title>
            </svg>`,
        )}
        ${ticks.map(
          (at, i) =>
            html`<text
              x="${percentOf(x(at))}"
              y="${height + AXIS - 6}"
              ${i % 2 === 1 ? html` class="minor"` : ''}
              >${clock.format(at)}</text
            >`,
        )}
      </svg>
    </div>
  </figure>`
}
