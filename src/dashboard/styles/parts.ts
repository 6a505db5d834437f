/** Filters, tables, charts and states. */
export const PARTS = `
.filters { margin-bottom: 1rem; }
.filters form { display: flex; flex-wrap: wrap; gap: 0.625rem; align-items: end; }
.field { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0.125rem; flex: 1 1 8.75rem; min-width: 8.5rem; max-width: 10.5rem; }
.field > span { font-size: 0.8125rem; color: var(--soft); }
.presets, .tabs ul { display: flex; flex-wrap: wrap; gap: 0.25rem; }
.presets { margin-bottom: 0.75rem; }
.presets a { display: inline-block; padding: 0.1875rem 0.6875rem; border: 1px solid var(--rule); border-radius: 999px; color: var(--ink); text-decoration: none; font-size: 0.875rem; background: var(--paper); }
.presets a:hover { border-color: var(--accent); }
.presets a[aria-current] { background: var(--accent); border-color: var(--accent); color: var(--accent-ink); }
.tabs { border-bottom: 1px solid var(--rule); margin: 0 0 1.25rem; overflow-x: auto; overflow-y: hidden; }
.tabs ul { flex-wrap: nowrap; width: max-content; }
.tabs a { display: block; padding: 0.375rem 0.625rem; color: var(--soft); text-decoration: none; border-bottom: 2px solid transparent; }
.tabs a:hover { color: var(--ink); }
.tabs a[aria-current] { color: var(--ink); font-weight: 600; border-bottom-color: var(--accent); }
.scroll { overflow-x: auto; background: var(--paper); border: 1px solid var(--rule); border-radius: 8px; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: 0.875rem; }
th, td { text-align: left; padding: 0.4375rem 0.875rem; vertical-align: baseline; border-bottom: 1px solid var(--rule); font-weight: 400; }
tbody tr:last-child > * { border-bottom: 0; }
thead th { color: var(--soft); font-size: 0.8125rem; font-weight: 500; white-space: nowrap; }
thead a { color: inherit; text-decoration: none; }
thead a:hover { color: var(--accent); text-decoration: underline; }
th[aria-sort] a { color: var(--ink); font-weight: 600; }
th[aria-sort="descending"] a::after { content: " ↓"; }
th[aria-sort="ascending"] a::after { content: " ↑"; }
tbody tr:hover > * { background: var(--sunk); }
tfoot > tr > * { border-top: 1px solid var(--edge); border-bottom: 0; font-weight: 600; }
.number { text-align: right; white-space: nowrap; }
.whole, th time, td time { white-space: nowrap; }
th[scope="row"] { min-width: 14rem; max-width: 24rem; overflow-wrap: anywhere; }
th[scope="row"] .sub { display: block; }
.marked > :first-child { box-shadow: inset 3px 0 0 var(--warn); }
data[title] { cursor: help; }
.badge { white-space: nowrap; font-size: 0.8125rem; }
.badge.good > span { color: var(--good); } .badge.quiet, .badge.quiet > span { color: var(--soft); }
.badge.waiting > span { color: var(--warn); } .badge.warning { color: var(--warn); } .badge.bad { color: var(--bad); }
.pager { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; justify-content: space-between; padding: 0.625rem 0.25rem; font-size: 0.875rem; color: var(--soft); }
.scroll + .hint, .pager + .hint { margin-top: 0.625rem; }
.empty { border: 1px dashed var(--edge); border-radius: 8px; padding: 2rem 1.25rem; text-align: center; color: var(--soft); margin-bottom: 1.25rem; }
.empty p { margin: 0 auto; }
.notice { background: var(--warn-soft); border-left: 3px solid var(--warn); padding: 0.5rem 0.875rem; border-radius: 0 6px 6px 0; margin: 0.75rem 0; }
.message { background: var(--paper); border: 1px solid var(--rule); border-radius: 8px; padding: 1.25rem; max-width: 44rem; }
.message p:last-child { margin-bottom: 0; }
.plain .message { background: transparent; border: 0; padding: 0; }
th[scope="row"] code { overflow-wrap: normal; }
.decide > .scroll { flex: 0 0 100%; }
.long { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; line-clamp: 2; overflow: hidden; overflow-wrap: anywhere; min-width: 9rem; }
.decide { display: flex; flex-wrap: wrap; gap: 1rem; align-items: center; margin-top: 1rem; }
.chart { margin: 0 0 1.5rem; background: var(--paper); border: 1px solid var(--rule); border-radius: 8px; padding: 1rem 1rem 0.875rem; }
.chart figcaption { font-weight: 600; font-size: 0.9375rem; margin-bottom: 0.625rem; }
.legend { display: flex; flex-wrap: wrap; gap: 0.25rem 1.125rem; font-size: 0.8125rem; margin-bottom: 0.5rem; }
.legend li { display: inline-flex; gap: 0.4375rem; align-items: center; max-width: 100%; overflow-wrap: anywhere; }
.legend svg { flex: none; }
.plot { display: grid; grid-template-columns: auto minmax(0, 1fr); margin-bottom: 0.375rem; }
.plot text { font-size: 11.5px; fill: var(--soft); text-anchor: middle; }
.axis text { text-anchor: end; }
.bars { overflow: visible; }
.bars line { stroke: var(--rule); } .bars line.base { stroke: var(--edge); }
.hit { fill: transparent; } .hit:hover { fill: var(--ink); fill-opacity: 0.07; }
.s0 { fill: var(--s0); } .s1 { fill: var(--s1); } .s2 { fill: var(--s2); } .s3 { fill: var(--s3); } .s4 { fill: var(--s4); } .s5 { fill: var(--s5); } .s6 { fill: var(--s6); }
.mark { stroke: var(--mark); stroke-width: 1.4; fill: none; opacity: 0.75; } .mark circle { fill: var(--mark); stroke: none; }
.lanes { list-style: none; margin: 0; padding: 0 0.75rem 0 0; font-size: 0.8125rem; color: var(--soft); max-width: 12rem; }
.lanes li { height: 24px; line-height: 24px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.timeline .good { fill: var(--good); } .timeline .bad { fill: var(--bad); } .timeline .warning { fill: var(--warn); }
.timeline .waiting { fill: none; stroke: var(--warn); stroke-width: 2; }
.numbers summary { font-size: 0.875rem; padding: 0.25rem 0; }
.numbers .scroll { margin-top: 0.5rem; max-height: 24rem; overflow: auto; }
.facts { display: flex; flex-wrap: wrap; gap: 1px; background: var(--rule); border: 1px solid var(--rule); border-radius: 8px; overflow: hidden; margin: 0 0 1.5rem; }
.facts > div { flex: 1 1 9.5rem; background: var(--paper); padding: 0.875rem 1rem; }
.facts dt { color: var(--soft); font-size: 0.8125rem; }
.facts dd { margin: 0; font-size: 1.375rem; font-weight: 600; letter-spacing: -0.01em; line-height: 1.35; }
.facts .badge { font-size: 1.0625rem; }
.facts dd.note { font-size: 0.8125rem; font-weight: 400; letter-spacing: 0; color: var(--soft); }
.attention { list-style: none; margin: 0 0 1.5rem; padding: 0; background: var(--paper); border: 1px solid var(--rule); border-radius: 8px; }
.attention li { display: grid; grid-template-columns: 8.5rem minmax(0, 1fr); gap: 0 0.75rem; padding: 0.5rem 1rem; border-bottom: 1px solid var(--rule); align-items: baseline; }
.attention li:last-child { border-bottom: 0; }
.calm { margin-bottom: 1.5rem; color: var(--soft); }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 0 1.5rem; }
.beside h2 { margin-top: 0.5rem; }
.beside section { min-width: 0; margin-bottom: 1.25rem; }
h2 a { color: inherit; text-decoration-color: var(--edge); }
.details { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 0.75rem 1.5rem; margin: 0 0 1.5rem; }
.details dt { color: var(--soft); font-size: 0.8125rem; }
.details dd { margin: 0; overflow-wrap: anywhere; }
.version { color: var(--soft); }
.block { display: block; }
.secret { display: block; padding: 0.625rem 0.75rem; background: var(--sunk); border-radius: 6px; overflow-wrap: anywhere; user-select: all; }
.below { margin-top: 0.75rem; }
.entries { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 0.875rem 1.25rem; margin: 0 0 1.25rem; align-items: start; }
.entries > .notice, .entries > .decide { grid-column: 1 / -1; margin: 0; }
.entry { display: grid; gap: 0.1875rem; }
.entry label { font-weight: 500; font-size: 0.875rem; }
.fault { color: var(--bad); font-size: 0.8125rem; }
[aria-invalid="true"] { border-color: var(--bad); }
.panel { background: var(--paper); border: 1px solid var(--rule); border-radius: 8px; padding: 0.625rem 1rem; margin: 0 0 0.75rem; }
.panel > :nth-child(2) { margin-top: 0.875rem; }
.meter .ground { fill: var(--sunk); stroke: var(--edge); }
.meter .used { fill: var(--accent); } .meter.near .used { fill: var(--warn); } .meter.full .used { fill: var(--bad); }
.meter .held { stroke: var(--ink); stroke-width: 4; stroke-dasharray: 2 2; }
@media (max-width: 40rem) {
  .lanes { max-width: 6rem; }
  .attention li { grid-template-columns: minmax(0, 1fr); }
  .minor { display: none; }
  .field { flex: 1 1 8.5rem; max-width: none; }
  .filters form > button { flex: 1 1 6rem; }
  .chart { padding: 0.75rem 0.75rem 0.625rem; }
  thead th:first-child, tbody th[scope="row"], tfoot th { position: sticky; left: 0; background: var(--paper); max-width: 45vw; min-width: 7rem; z-index: 1; }
  tbody th[scope="row"]:has(.sub) { min-width: 45vw; }
  .message th[scope="row"] { max-width: none; }
  th, td { padding-left: 0.625rem; padding-right: 0.625rem; }
}
@media (forced-colors: active) { .bars, .legend svg { forced-color-adjust: none; } }
`
