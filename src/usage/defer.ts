import type { Context } from 'hono'

/**
 * Lets work go on after the response: Workers end it with the request unless told, Node and Bun do not.
 * @param work never rejects.
 */
export function defer(c: Context, work: Promise<unknown>): void {
  try {
    c.executionCtx.waitUntil(work)
  } catch {
    // No execution context: a long-lived process, which needs no telling.
  }
}
