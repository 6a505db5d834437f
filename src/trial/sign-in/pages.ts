import { createHash } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { Person } from '../people.ts'

const STYLE = `
  :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
  body { max-width: 26rem; margin: 3rem auto; padding: 0 1rem }
  h1 { font-size: 1.4rem }
  button { display: block; width: 100%; margin: .5rem 0; padding: .7rem 1rem; font: inherit; text-align: start; cursor: pointer; background: Canvas; color: CanvasText; border: 1px solid; border-radius: .4rem }
  button:hover, button:focus-visible { background: CanvasText; color: Canvas }
  small { display: block }
  code { overflow-wrap: anywhere }
`
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64')

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
export const escaped = (text: string): string => text.replaceAll(/[&<>"']/g, (char) => ENTITIES[char] ?? '')

/** A whole page without a script. `content` is HTML. */
export const page = (title: string, content: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escaped(title)}</h1>
${content}
</main>
</body>
</html>
`

/**
 * The headers of a page.
 * @param redirect where its form leads in the end: browsers hold the redirects after a form to `form-action` too.
 */
export function pageHeaders(redirect?: string): Record<string, string> {
  const target = redirect === undefined ? '' : ` ${originOf(redirect)}`
  return {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': [
      "default-src 'none'",
      `style-src 'sha256-${STYLE_HASH}'`,
      'img-src data:',
      `form-action 'self'${target}`,
      "base-uri 'none'",
      "frame-ancestors 'none'",
    ].join('; '),
    // Not no-referrer: with it a form says "Origin: null".
    'referrer-policy': 'same-origin',
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
  }
}

export function sendPage(res: ServerResponse, status: number, html: string, redirect?: string): void {
  res.writeHead(status, pageHeaders(redirect)).end(html)
}

/** The origin of a web address; of an app's own scheme, the scheme. */
export function originOf(address: string): string {
  const { protocol, origin } = new URL(address)
  return /^https?:$/.test(protocol) ? origin : protocol
}

/** What somebody must know before they click. */
export interface SignInRequest {
  client: string
  /** Where the answer goes. */
  redirect: string
  resource: string
  /** Beyond plain access. */
  scopes: string[]
}

/** The page on which one click says who somebody is, and lets the client in. */
export function signInPage(request: SignInRequest, people: Person[]): string {
  const { client, redirect, resource, scopes } = request
  const further =
    scopes.length === 0
      ? ''
      : `<p>It asks for ${scopes.map((scope) => `<code>${escaped(scope)}</code>`).join(', ')} as well.</p>`
  const buttons = people.map(({ sub, user_metadata: user, app_metadata: { role, department } }) => {
    const what = [role, department].filter((part) => part !== undefined).join(', ')
    return `<button name="person" value="${escaped(sub)}">${escaped(user.full_name)}<small>${escaped(what)}</small></button>`
  })
  return page(
    'Who are you?',
    `<p><strong>${escaped(client)}</strong> wants to work with <code>${escaped(resource)}</code> in your name. The answer goes to <code>${escaped(originOf(redirect))}</code>.</p>
${further}
<form method="post">
${buttons.join('\n')}
<button name="refuse" value="yes">Do not let it in</button>
</form>
<p><small>This is a trial: nobody has a password.</small></p>`,
  )
}
