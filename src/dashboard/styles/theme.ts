/** Colours, sizes and the plain elements. Every text has 4.5:1 against what it stands on, every mark 3:1. */
export const THEME = `
:root {
  color-scheme: light dark;
  --ground: #f6f6f3; --paper: #ffffff; --sunk: #f0f0ec; --ink: #1b1e22; --soft: #565c64; --rule: #dfdfd9; --edge: #8a8f96;
  --accent: #1c5a88; --accent-ink: #ffffff; --accent-soft: #e6eff6;
  --good: #1d6b42; --warn: #8a5200; --bad: #a8261d; --warn-soft: #fdf3df; --bad-soft: #fbeae8;
  --s0: #2b6ca3; --s1: #c46a1b; --s2: #3f8a5f; --s3: #8b5aa8; --s4: #b23b4b; --s5: #7a7032; --s6: #b9bec5; --mark: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #121518; --paper: #191d21; --sunk: #20252a; --ink: #e7e9eb; --soft: #a3abb3; --rule: #2e343a; --edge: #6d757d;
    --accent: #86bfe6; --accent-ink: #0f1418; --accent-soft: #1d2f3d;
    --good: #74c797; --warn: #e6b45c; --bad: #f08a80; --warn-soft: #2d2617; --bad-soft: #331d1b;
    --s0: #6ba9dc; --s1: #e0935a; --s2: #74bd93; --s3: #b78fd1; --s4: #e0808c; --s5: #b5aa63; --s6: #4a525a; --mark: #14181b;
  }
}
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: break-word;
}
h1, h2, h3 { line-height: 1.25; font-weight: 600; margin: 0; text-wrap: balance; }
h1 { font-size: 1.5rem; letter-spacing: -0.01em; }
h2 { font-size: 1.0625rem; margin: 2rem 0 0.75rem; }
h3 { font-size: 0.9375rem; }
p { margin: 0 0 0.75rem; max-width: 68ch; }
a { color: var(--accent); text-underline-offset: 0.15em; }
a:hover { text-decoration-thickness: 2px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
main:focus { outline: none; }
button, .button, input, select, textarea { font: inherit; color: inherit; border-radius: 6px; }
button, .button {
  display: inline-flex; align-items: center; justify-content: center; gap: 0.5rem; min-height: 2.25rem; padding: 0.25rem 0.875rem; cursor: pointer;
  border: 1px solid var(--accent); background: var(--accent); color: var(--accent-ink); font-weight: 500; text-decoration: none; white-space: nowrap;
}
button:hover, .button:hover { filter: brightness(1.08); }
button.quiet, .button.quiet { background: transparent; border-color: var(--rule); color: var(--ink); font-weight: 400; }
button.quiet:hover, .button.quiet:hover { background: var(--sunk); }
button.danger { background: var(--bad); border-color: var(--bad); color: var(--paper); }
input, select, textarea { background: var(--paper); border: 1px solid var(--edge); padding: 0.25rem 0.5rem; min-height: 2.25rem; width: 100%; }
textarea { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: 0.8125rem; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: 0.875em; }
summary { cursor: pointer; color: var(--accent); }
hr { border: 0; border-top: 1px solid var(--rule); margin: 1.5rem 0; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.sub, .hint { color: var(--soft); font-size: 0.8125rem; }
.skip { position: absolute; left: 1rem; top: -4rem; z-index: 2; background: var(--paper); padding: 0.5rem 1rem; }
.skip:focus { top: 0.5rem; }
`
