import { Hono } from 'hono'
import { dashboard, type DashboardOptions } from '../../src/dashboard/dashboard.ts'
import type { Sql } from '../../src/db/client.ts'
import { COOKIE_KEY } from '../support/issuer.ts'
import { optionsFor } from '../support/mcp.ts'

export { COOKIE_KEY }
export { type Opened, signedInAs, textOf, type Visitor, visitorOf } from '../support/visitor.ts'

/** The dashboard where the deployable app mounts it. */
export const dashboardApp = (sql: Sql, options: Partial<DashboardOptions> = {}): Hono =>
  new Hono().route('/dashboard', dashboard({ ...optionsFor(sql), cookieKey: COOKIE_KEY, ...options }))
