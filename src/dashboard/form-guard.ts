import type { Context, MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import type { DashboardEnv } from './env.ts'
import { field, FORM_KEY } from './form-fields.ts'
import { messagePage } from './pages/message.ts'

const MAX_BODY_BYTES = 64 * 1024

/** By the time that takes, nobody learns how much of a key was right. */
function isSame(one: string, other: string): boolean {
  let difference = one.length ^ other.length
  for (let i = 0; i < one.length; i++) difference |= one.charCodeAt(i) ^ other.charCodeAt(i)
  return difference === 0
}

/** Whether a browser says that another site sent this. */
function comesFromElsewhere(c: Context): boolean {
  const site = c.req.header('sec-fetch-site')
  if (site !== undefined) return site !== 'same-origin'
  const origin = c.req.header('origin')
  if (origin === undefined) return false
  return !URL.canParse(origin) || new URL(origin).host !== (c.req.header('host') ?? new URL(c.req.url).host)
}

const tooLarge = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: (c) =>
    messagePage(c, { status: 413, title: 'Too much at once', text: 'A form has 64 KiB at most.' }),
})

/**
 * Lets a form through that this visit's own page holds, and nothing that another site makes a browser send: by what
 * browsers say of its origin, and by a key that only our pages know.
 */
export const formGuard: MiddlewareHandler<DashboardEnv> = async function formGuard(c, next) {
  if (c.req.method === 'GET' || c.req.method === 'HEAD') return await next()
  return await tooLarge(c, async () => {
    if (!comesFromElsewhere(c) && isSame(await field(c, FORM_KEY), c.var.formKey)) return await next()
    c.res = messagePage(c, {
      status: 403,
      title: 'This form is out of date',
      text: 'It was opened before you signed in, or it comes from elsewhere. Nothing was changed: go back, load the page again and repeat.',
    })
  })
}
