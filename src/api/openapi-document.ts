import type { Handler } from 'hono'
import { openApi } from './openapi.ts'
import type { Route } from './route.ts'

const MAX_AGE_SECONDS = 300

/**
 * `/openapi.json`: the document of routes, for everybody: it holds nobody's data, and the tools that read it send no
 * token.
 */
export const openApiDocument = (routes: readonly Route[]): Handler => {
  let made: Record<string, unknown> | undefined
  return function openApiDocument(c) {
    made ??= openApi(routes)
    const base = c.req.path.slice(0, -'/openapi.json'.length)
    return c.json({ ...made, servers: [{ url: base === '' ? '/' : base }] }, 200, {
      'cache-control': `public, max-age=${MAX_AGE_SECONDS}`,
    })
  }
}
