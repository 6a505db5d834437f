import type { Context, Handler, Hono } from 'hono'
import { requestIdOf } from './request-id.ts'

function executionOf(c: Context): Context['executionCtx'] | undefined {
  try {
    return c.executionCtx
  } catch {
    return undefined // Only Workers have one.
  }
}

/**
 * An app that is made when the first request asks for it, so that a Worker which starts for a call does not pay for it.
 * @param make imports it; its paths begin as that of the route does. It may run more than once: requests share what
 *   it made and never its promise, since on Workers that of another request may never settle.
 * @example app.all('/pages/*', onDemand(async () => new Hono().route('/pages', (await import('./pages.ts')).pages())))
 */
export function onDemand(make: () => Promise<Hono>): Handler {
  let made: Hono | undefined
  return async function onDemand(c) {
    made ??= await make()
    const headers = new Headers(c.req.raw.headers)
    headers.set('x-request-id', requestIdOf(c))
    return await made.fetch(new Request(c.req.raw, { headers }), c.env, executionOf(c))
  }
}
