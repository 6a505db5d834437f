import type { Context } from 'hono'

/** Runtimes that need no telling, and where Hono would throw an error for each call to say so. */
const { navigator } = globalThis as { navigator?: { userAgent?: string } }
export const LIVES_ON = /^(Node\.js|Bun)\//.test(navigator?.userAgent ?? '')

/**
 * Lets work go on after the response: Workers end it with the request unless told, Node and Bun do not.
 * @param work never rejects.
 */
export function defer(c: Context, work: Promise<unknown>): void {
  if (LIVES_ON) return
  try {
    c.executionCtx.waitUntil(work)
  } catch {
    // No execution context: a long-lived process, which needs no telling.
  }
}
