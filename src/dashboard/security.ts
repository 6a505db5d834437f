import type { MiddlewareHandler } from 'hono'

/** Nothing runs or loads but our own files; forms stay here; nobody frames a page. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ')

const HEADERS = {
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'x-content-type-options': 'nosniff',
  // An address says whom one looked at.
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
}

/** Puts the headers on every answer that make a page safe to open. */
export const securityHeaders: MiddlewareHandler = async function securityHeaders(c, next) {
  await next()
  for (const [name, value] of Object.entries(HEADERS)) c.res.headers.set(name, value)
  // Pages are somebody's own. Files of ours say otherwise themselves.
  if (!c.res.headers.has('cache-control')) c.res.headers.set('cache-control', 'no-store')
}
