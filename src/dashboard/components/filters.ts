import { flag, html, type Html, type Part } from '../html.ts'
import { withQuery } from '../navigation.ts'
import { PRESETS, type Preset, type ShownPeriod } from '../period.ts'

/** One of the values of a drop-down. */
export interface Choice {
  value: string
  text: string
}

/** A drop-down of a form. The first line stands for no choice. */
export function choiceField(
  name: string,
  label: string,
  { any, choices, chosen }: { any: string; choices: readonly Choice[]; chosen: string | undefined },
): Html {
  // A value that is no choice any more holds all the same, and is shown.
  const all =
    chosen === undefined || chosen === '' || choices.some(({ value }) => value === chosen)
      ? choices
      : [...choices, { value: chosen, text: chosen }]
  return html`<label class="field"
    ><span>${label}</span>
    <select name="${name}">
      <option value="">${any}</option>
      ${all.map(({ value, text }) => html`<option value="${value}" ${flag('selected', value === chosen)}>${text}</option>`)}
    </select>
  </label>`
}

/** A field for text. */
export const textField = (name: string, label: string, value: string | undefined, hint = ''): Html =>
  html`<label class="field"
    ><span>${label}</span
    ><input type="search" name="${name}" value="${value ?? ''}" placeholder="${hint}" maxlength="255"
  /></label>`

/** Zones to choose from; any other can be typed. */
const ZONES =
  'UTC Europe/London Europe/Lisbon Europe/Berlin Europe/Paris Europe/Madrid Europe/Rome Europe/Warsaw Europe/Athens Europe/Istanbul Europe/Kyiv Africa/Cairo Africa/Johannesburg Africa/Lagos Asia/Dubai Asia/Kolkata Asia/Singapore Asia/Shanghai Asia/Tokyo Australia/Sydney Pacific/Auckland America/Sao_Paulo America/New_York America/Chicago America/Denver America/Los_Angeles'.split(
    ' ',
  )

const periodFields = ({ preset, first, last, timezone }: ShownPeriod): Html =>
  html`${preset === null ? '' : html`<input type="hidden" name="period" value="${preset}" />`}
    <label class="field"
      ><span>First day</span><input type="date" name="first" value="${first}" required
    /></label>
    <label class="field"
      ><span>Last day</span><input type="date" name="last" value="${last}" required
    /></label>
    <label class="field"
      ><span>Time zone</span
      ><input
        name="timezone"
        list="zones"
        value="${timezone}"
        maxlength="64"
        autocomplete="off"
        spellcheck="false"
    /></label>
    <datalist id="zones">${ZONES.map((zone) => html`<option value="${zone}"></option>`)}</datalist>`

/** What a page filters by. */
export interface FilterOptions {
  /** The address of the page, and its query. */
  path: string
  query: Readonly<Record<string, string>>
  /** Left out where the page has none. */
  period?: ShownPeriod
  /** Further fields: `choiceField()`, `textField()`. */
  fields?: Part
  /** What the form must carry along, such as by what the page groups. */
  keep?: readonly string[]
}

/** Links to the presets, and a form with dates, zone and whatever else the page filters by. */
export function filters({ path, query, period, fields, keep = [] }: FilterOptions): Html {
  const link = (preset: Preset): Html => {
    const address = withQuery(path, query, {
      period: preset,
      first: undefined,
      last: undefined,
      page: undefined,
      cursor: undefined,
    })
    return html`<li>
      <a href="${address}" ${period?.preset === preset ? html` aria-current="true"` : ''}
        >${PRESETS[preset]}</a
      >
    </li>`
  }
  const kept = keep.filter((name) => (query[name] ?? '') !== '')
  return html`<section class="filters" aria-label="Filters">
    ${
      period === undefined
        ? ''
        : html`<ul class="presets" aria-label="Period">
            ${(Object.keys(PRESETS) as Preset[]).map(link)}
          </ul>`
    }
    <form method="get" action="${path}">
      ${kept.map((name) => html`<input type="hidden" name="${name}" value="${query[name]}" />`)} ${fields}
      ${period === undefined ? '' : periodFields(period)}
      <button type="submit">Show</button>
    </form>
    ${period?.fault == null ? '' : html`<p class="notice" role="alert">${period.fault}</p>`}
  </section>`
}
