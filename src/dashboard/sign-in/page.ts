import type { Context } from 'hono'
import type { DashboardEnv, DashboardOptions } from '../env.ts'
import { formKeyField } from '../form-fields.ts'
import { flag, html, type Html } from '../html.ts'
import { plainPage } from '../layout.ts'

/** Why somebody stands before the sign-in. */
const REASONS: Readonly<Record<string, string>> = {
  over: 'Your sign-in is over, or was ended. Sign in again to go on.',
  out: 'You are signed out.',
  refused: 'The provider did not let you in. Try again, or ask your administrator.',
}

const provider = (c: Context<DashboardEnv>, to: string): Html =>
  html`<p>
    <a class="button" href="${c.var.base}/sign-in/start?${new URLSearchParams({ to }).toString()}"
      >Sign in with your organisation</a
    >
  </p>`

const samples = (
  c: Context<DashboardEnv>,
  to: string,
  users: readonly { name: string; role: string }[],
): Html =>
  html`<form method="post" action="${c.var.base}/sign-in" class="stack">
    ${formKeyField(c)}<input type="hidden" name="to" value="${to}" />
    <p>A trial with sample data. Look around as:</p>
    ${users.map(
      ({ name, role }, i) =>
        html`<button type="submit" name="sample" value="${i}" class="wide">
          <span>${name}</span><span class="role">${role}</span>
        </button>`,
    )}
  </form>`

const tokenForm = (c: Context<DashboardEnv>, to: string, wrong: string | undefined): Html =>
  html`<form method="post" action="${c.var.base}/sign-in" class="stack">
    ${formKeyField(c)}<input type="hidden" name="to" value="${to}" />
    <label for="token">Access token</label>
    <textarea
      id="token"
      name="token"
      rows="4"
      required
      autocomplete="off"
      spellcheck="false"
      autocapitalize="off"
      ${wrong === undefined ? '' : html` aria-invalid="true" aria-describedby="wrong"`}
    ></textarea>
    <p class="hint">
      The token with which your MCP client calls. It is kept encrypted in a cookie of this browser, and
      nowhere else.
    </p>
    <button type="submit">Sign in</button>
  </form>`

/** The sign-in: with the provider, as a sample user, or with a token, whichever there is. */
export function signInPage(
  c: Context<DashboardEnv>,
  { oidc, sampleUsers = [] }: DashboardOptions,
  { to, reason, wrong }: { to: string; reason?: string | undefined; wrong?: string | undefined },
): Response {
  const why = wrong ?? REASONS[reason ?? '']
  const form = tokenForm(c, to, wrong)
  const content = html`
    ${why === undefined ? '' : html`<p id="wrong" class="notice" role="${wrong === undefined ? 'status' : 'alert'}">${why}</p>`}
    ${oidc === undefined ? '' : provider(c, to)}
    ${sampleUsers.length === 0 ? '' : samples(c, to, sampleUsers)}
    ${
      sampleUsers.length > 0
        ? html`<details${flag('open', wrong !== undefined)}>
            <summary>With a token</summary>
            ${form}
          </details>`
        : oidc === undefined
          ? form
          : ''
    }
  `
  return plainPage(c, { title: 'Sign in', content, status: wrong === undefined ? 200 : 403 })
}

/**
 * Goes on to the provider, where its session ends too. A page, not a redirect: `form-action` would hold for that, since
 * it is a form that signs out.
 */
export const goOnPage = (c: Context<DashboardEnv>, address: URL): Response =>
  plainPage(c, {
    title: 'You are signed out here',
    goOn: address.href,
    content: html`<p>
      Next comes your organisation’s own sign-out.
      <a href="${address.href}">Go on</a>
    </p>`,
  })
