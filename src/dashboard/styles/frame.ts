/** What stands around a page: navigation, title, sign-in. */
export const FRAME = `
.frame { display: grid; grid-template-columns: 13.5rem minmax(0, 1fr); min-height: 100vh; }
.side { border-right: 1px solid var(--rule); padding: 1.25rem 0.75rem; display: flex; flex-direction: column; gap: 1.25rem; position: sticky; top: 0; height: 100vh; overflow-y: auto; }
.brand { font-weight: 650; letter-spacing: -0.01em; color: var(--ink); text-decoration: none; padding: 0 0.625rem; margin: 0; }
.pages ul, .tabs ul, .presets, .legend, .plain-list { list-style: none; margin: 0; padding: 0; }
.pages a { display: block; padding: 0.375rem 0.625rem; border-radius: 6px; color: var(--ink); text-decoration: none; }
.pages a:hover { background: var(--sunk); }
.pages a[aria-current] { background: var(--accent-soft); color: var(--accent); font-weight: 600; }
.who { margin-top: auto; padding: 0 0.625rem; font-size: 0.875rem; }
.who .name { font-weight: 600; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.who .role { color: var(--soft); font-size: 0.8125rem; margin-bottom: 0.625rem; }
main { padding: 1.5rem clamp(1rem, 3vw, 2.5rem) 4rem; max-width: 78rem; min-width: 0; width: 100%; }
.title { display: flex; flex-wrap: wrap; gap: 0.75rem; align-items: center; justify-content: space-between; margin-bottom: 1rem; }
.title h1 { overflow-wrap: anywhere; min-width: 0; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 4; line-clamp: 4; overflow: hidden; }
.actions { display: flex; flex-wrap: wrap; gap: 0.5rem; }
.crumb { margin: 0 0 0.5rem; font-size: 0.875rem; }
.plain { max-width: 26rem; margin: 0 auto; padding: 12vh 1.25rem 3rem; }
.plain .brand { padding: 0; color: var(--soft); margin-bottom: 0.25rem; }
.plain h1 { margin-bottom: 1.25rem; }
.stack { display: grid; gap: 0.625rem; margin-bottom: 1.5rem; }
.stack p { margin: 0; }
.stack label { font-weight: 500; }
.wide { justify-content: space-between; width: 100%; min-height: 2.75rem; background: var(--paper); color: var(--ink); border-color: var(--rule); }
.wide .role { color: var(--soft); font-weight: 400; }
.wide:hover { border-color: var(--accent); }
.plain details .stack { margin-top: 0.75rem; }
@media (max-width: 52rem) {
  .frame { grid-template-columns: minmax(0, 1fr); grid-template-rows: auto 1fr; }
  .side { position: static; height: auto; border-right: 0; border-bottom: 1px solid var(--rule); padding: 0.75rem 0 0; gap: 0.5rem; display: grid; grid-template-columns: minmax(0, 1fr) auto; align-items: center; overflow: visible; }
  .side .brand { padding: 0 1rem; }
  .who { margin: 0; padding: 0 1rem; }
  .who .name, .who .role { display: none; }
  .pages { grid-column: 1 / -1; grid-row: 2; overflow-x: auto; padding: 0 0.5rem; }
  .pages ul { display: flex; width: max-content; }
  .pages a { padding: 0.5rem 0.625rem 0.625rem; border-radius: 0; border-bottom: 2px solid transparent; }
  .pages a[aria-current] { background: transparent; border-bottom-color: var(--accent); }
  main { padding-top: 1rem; }
}
@media print { .side, .filters, .actions, .pager { display: none; } .frame { display: block; } }
`
