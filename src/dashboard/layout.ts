import type { Context } from 'hono'
import { ASSETS } from './assets.ts'
import type { DashboardEnv } from './env.ts'
import { formKeyField } from './form-fields.ts'
import { html, type Html, type Part } from './html.ts'
import { homeOf, keptQuery, NAVIGATION } from './navigation.ts'

/** What stands around the content of a page. */
export interface PageFrame {
  title: string
  /** The item of the navigation that is open. */
  path?: string
  /** What the page says; parts with `data-live` and an id are brought up to date while it is open. */
  content: Part
  /** Above the title: the page from which one came. */
  back?: { address: string; text: string }
  /** Beside the title, such as a link to a file. */
  actions?: Part
  /** Where the browser goes by itself. */
  goOn?: string
  status?: 200 | 400 | 403 | 404 | 409 | 413 | 500 | 503
}

const ROLES = {
  member: 'Member: your own data',
  manager: 'Manager: your department',
  finance: 'Finance: costs of everyone',
  admin: 'Administrator',
  service: 'Service',
}

function navigation(c: Context<DashboardEnv>, current: string | undefined): Html {
  const role = c.var.user?.role ?? 'service'
  const query = keptQuery(c.req.query())
  const items = NAVIGATION.filter(({ roles }) => roles === undefined || roles.includes(role))
  return html`<nav class="pages" aria-label="Pages">
    <ul>
      ${items.map(
        ({ path, title }) =>
          html`<li>
            <a
              href="${path === '' ? homeOf(c.var.base) : c.var.base + path}${query}"
              ${path === current ? html` aria-current="page"` : ''}
              >${title}</a
            >
          </li>`,
      )}
    </ul>
  </nav>`
}

function whoIsSignedIn(c: Context<DashboardEnv>): Html {
  const { user } = c.var
  const role = user?.role ?? 'service'
  return html`<div class="who">
    <div class="name" title="${user?.email ?? ''}">
      ${user?.name ?? user?.email ?? user?.subject ?? 'A program'}
    </div>
    <div class="role">
      ${ROLES[role]}${role === 'manager' && user?.department ? html` (${user.department})` : ''}
    </div>
    <form method="post" action="${c.var.base}/sign-out">
      ${formKeyField(c)}<button class="quiet" type="submit">Sign out</button>
    </form>
  </div>`
}

const document = (c: Context<DashboardEnv>, title: string, body: Part, goOn?: string): Html =>
  html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        ${goOn === undefined ? '' : html`<meta http-equiv="refresh" content="0; url=${goOn}" />`}
        <title>${title} · MCP usage</title>
        <link rel="icon" href="data:," />
        <link rel="stylesheet" href="${c.var.base}${ASSETS.style.path}" />
        <script type="module" src="${c.var.base}${ASSETS.live.path}"></script>
      </head>
      <body>
        ${body}
      </body>
    </html>`

/** A page for whoever is signed in. */
export function page(
  c: Context<DashboardEnv>,
  { title, path, content, actions, back, status = 200 }: PageFrame,
): Response {
  const body = html`<a class="skip" href="#content">Skip to content</a>
    <div class="frame">
      <header class="side">
        <a class="brand" href="${homeOf(c.var.base)}">MCP usage</a>
        ${navigation(c, path)} ${whoIsSignedIn(c)}
      </header>
      <main id="content" tabindex="-1">
        ${back === undefined ? '' : html`<p class="crumb"><a href="${back.address}">← ${back.text}</a></p>`}
        <div class="title">
          <h1>${title}</h1>
          ${actions === undefined ? '' : html`<div class="actions">${actions}</div>`}
        </div>
        ${content}
      </main>
    </div>`
  return c.html(document(c, title, body).toString(), status)
}

/** A page for anybody: the sign-in, and what can go wrong before it. */
export function plainPage(
  c: Context<DashboardEnv>,
  { title, content, goOn, status = 200 }: PageFrame,
): Response {
  const body = html`<main class="plain" id="content">
    <p class="brand">MCP usage</p>
    <h1>${title}</h1>
    ${content}
  </main>`
  return c.html(document(c, title, body, goOn).toString(), status)
}
