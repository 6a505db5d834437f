import type { Context } from 'hono'
import type { ReportCaller } from '../reports/visible-to.ts'
import type { UserVariables } from '../variables.ts'

/** What every route finds in `c.var`. */
export interface ApiEnv {
  Variables: UserVariables
}

/** Who asks, as reports take it. The user is the row, which `ask()` has read for this request. */
export function callerOf(c: Context<ApiEnv>): ReportCaller {
  const { caller, user } = c.var
  if (caller.kind === 'service') return { role: 'service', userId: null, department: null }
  if (user === null) throw new Error('mcpApi(): an anonymous caller got past userContext()')
  return { role: user.role, userId: user.id, department: user.department }
}
