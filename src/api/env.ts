import type { Context } from 'hono'
import type { UserContext, UserVariables } from '../variables.ts'

/** What every route finds in `c.var`. */
export interface ApiEnv {
  Variables: UserVariables
}

/** The user who calls a route that is for users alone. */
export function requireUser(c: Context<ApiEnv>): UserContext {
  if (c.var.user === null) throw new Error('a program got past the roles of a route')
  return c.var.user
}
